from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from bacalhau_nats.executors.docker_home import HOME_FILE, home_of


def test_a_data_folder_keeps_its_identity_and_shares_it_with_no_other(tmp_path):
    first = home_of(tmp_path / "one")
    assert home_of(tmp_path / "one") == first
    assert home_of(tmp_path / "two") != first


def test_all_who_ask_at_once_hear_the_same(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: home_of(tmp_path / "data"), range(50)))) == 1
    assert [path.name for path in (tmp_path / "data").iterdir()] == [HOME_FILE]
