"""What a node offers is what its plugins can do right now."""

import asyncio

from bacalhau_nats.compute.disk import DiskReserve
from bacalhau_nats.compute.runner import Plugins
from bacalhau_nats.compute.survey import Survey
from bacalhau_nats.executors.noop import NoopExecutor
from bacalhau_nats.ports import Health
from tests.support.builders import a_node
from tests.support.roles import LoopClock, virtually


class Plugin:
    def __init__(self):
        self.health = Health(ok=True)
        self.hangs = False

    async def check(self):
        if self.hangs:
            await asyncio.sleep(3600)
        return self.health


def a_survey():
    docker, s3, local = Plugin(), Plugin(), Plugin()
    plugins = Plugins({"noop": NoopExecutor(), "docker": docker}, {"s3": s3}, {"local": local})
    return Survey(a_node(engines=("none yet",)), plugins), docker, local


@virtually
async def test_the_first_look_is_news_the_second_is_not():
    survey, *_ = a_survey()
    assert survey.report.engines == ()
    assert await survey.look()
    found = survey.report
    assert (found.engines, found.storages, found.publishers) == (("docker", "noop"), ("s3",), ("local",))
    assert not await survey.look()


@virtually
async def test_an_engine_that_goes_is_not_advertised_until_it_is_back(caplog):
    caplog.set_level("INFO", "bacalhau_nats.compute.survey")
    survey, docker, _ = a_survey()
    await survey.look()
    docker.health = Health(ok=False, why="no socket")
    assert await survey.look()
    assert survey.report.engines == ("noop",)
    assert survey.unavailable == {"engine docker": "no socket"}
    assert not await survey.look()
    docker.health = Health(ok=True)
    assert await survey.look()
    assert (survey.report.engines, survey.unavailable) == (("docker", "noop"), {})
    assert [r.getMessage() for r in caplog.records] == [
        "engine docker is not available: no socket",
        "engine docker is available now",
    ]


@virtually
async def test_what_nobody_has_set_up_is_no_trouble_to_warn_of(caplog):
    survey, docker, _ = a_survey()
    docker.health = Health(ok=False, why="no credentials", configured=False)
    await survey.look()
    assert survey.report.engines == ("noop",)
    assert survey.unavailable == {"engine docker": "no credentials"}
    assert caplog.records == []


@virtually
async def test_another_reason_is_said_again(caplog):
    survey, _, local = a_survey()
    for why in ("disk full", "disk full", "no disk"):
        local.health = Health(ok=False, why=why)
        await survey.look()
    assert len(caplog.records) == 2
    assert survey.unavailable == {"publisher local": "no disk"}


@virtually
async def test_a_plugin_that_hangs_is_not_there_and_delays_no_longer_than_three_seconds():
    survey, docker, local = a_survey()
    docker.hangs = local.hangs = True
    clock = LoopClock()
    began = clock.monotonic()
    await survey.look()
    assert clock.monotonic() - began <= 6.01
    assert survey.report.engines == ("noop",)
    assert survey.unavailable["engine docker"] == "it did not answer within 3 seconds"


@virtually
async def test_draining_and_leaving_are_part_of_the_report():
    survey, *_ = a_survey()
    await survey.look()
    survey.draining = True
    assert await survey.look()
    assert survey.report.draining
    survey.left = True
    assert survey.report.left


@virtually
async def test_a_report_that_could_not_be_stored_is_news_again():
    survey, *_ = a_survey()
    await survey.look()
    survey.forget()
    assert await survey.look()


async def test_a_node_without_disk_to_spare_says_so_until_there_is_room(tmp_path):
    room = 10
    plugins = Plugins({}, {}, {})
    survey = Survey(a_node(), plugins, DiskReserve(tmp_path, 100, lambda _: room))
    assert await survey.look()
    why = "has no disk to spare: less than the 100 B it keeps in reserve is free"
    assert survey.report.busy == why
    assert not await survey.look_at_disk()
    room = 50
    assert not await survey.look_at_disk()  # the words are the same: nothing to report
    room = 100
    assert await survey.look_at_disk()
    assert survey.report.busy == ""


class Keeper(Plugin):
    """A storage that keeps inputs until it is asked to give back."""

    def __init__(self):
        super().__init__()
        self.kept = {}

    def held(self):
        return self.kept

    def shrink(self):
        self.kept = {}


async def test_what_a_node_keeps_is_in_its_report_and_given_back_when_the_disk_is_full(tmp_path):
    room, keeper = 1000, Keeper()
    plugins = Plugins({}, {"urldownload": keeper, "plain": Plugin()}, {})
    survey = Survey(a_node(), plugins, DiskReserve(tmp_path, 100, lambda _: room if keeper.kept else 500))
    await survey.look()
    keeper.kept = {"a" * 64: 10**6, "b" * 64: 10}
    room = 50
    assert await survey.look()
    assert survey.report.busy == ""  # giving back made room
    assert keeper.kept == {}
    keeper.kept, room = {"a" * 64: 10**6, "b" * 64: 10}, 1000
    await survey.look()
    assert survey.report.holds == {"a" * 16: 10**6}  # what is small is not worth telling
    assert not await survey.look()
