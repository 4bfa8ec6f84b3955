"""Output goes to the log, to files, and its beginning into the record."""

import pytest

from bacalhau_nats.compute.results import OutputTee
from bacalhau_nats.domain.execution import OUTPUT_LIMIT, Reason, RunOutput
from bacalhau_nats.ports import Stream, WorkFailed
from bacalhau_nats.testing.storage import RecordedLog

OUT, ERR = Stream.STDOUT, Stream.STDERR


@pytest.fixture
def log():
    return RecordedLog()


async def say(tee, *pieces, stream=OUT):
    for piece in pieces:
        await tee.write(stream, piece)


async def test_every_piece_goes_to_the_log_and_to_its_file(log, tmp_path):
    with OutputTee(log, tmp_path / "e/results") as tee:
        await say(tee, b"one ", b"two")
        await say(tee, b"oops", stream=ERR)
        await tee.event("pulling")
    assert log.pieces == {OUT: b"one two", ERR: b"oops"}
    assert log.events == ["pulling"]
    assert (tmp_path / "e/results/stdout").read_bytes() == b"one two"
    assert (tmp_path / "e/results/stderr").read_bytes() == b"oops"
    assert tee.output(3) == RunOutput(stdout="one two", stderr="oops", exit_code=3)


async def test_silence_and_unpublished_output_make_no_files(log, tmp_path):
    with OutputTee(log, tmp_path / "results") as silent:
        pass
    with OutputTee(log) as unpublished:
        await say(unpublished, b"hello")
    assert silent.output(0) == RunOutput()
    assert unpublished.output(0).stdout == "hello"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pieces", [1, 7, 100])
async def test_the_beginning_is_kept_over_many_pieces_and_the_rest_is_told(pieces, log):
    tee = OutputTee(log)
    data = bytes(97 + n % 26 for n in range(OUTPUT_LIMIT + 100))
    step = -(-len(data) // pieces)
    await say(tee, *(data[at : at + step] for at in range(0, len(data), step)))
    kept = tee.output(0)
    assert kept.stdout == data[:OUTPUT_LIMIT].decode()
    assert kept.stdout_truncated
    assert not kept.stderr_truncated


async def test_output_of_just_the_limit_is_not_truncated(log):
    tee = OutputTee(log)
    await say(tee, b"x" * OUTPUT_LIMIT)
    assert not tee.output(0).stdout_truncated


async def test_a_character_that_the_limit_cuts_is_left_out_whole(log):
    tee = OutputTee(log)
    await say(tee, b"x" * (OUTPUT_LIMIT - 1) + "\u20ac".encode())
    assert tee.output(0).stdout == "x" * (OUTPUT_LIMIT - 1)


async def test_bytes_that_are_no_text_are_replaced(log):
    tee = OutputTee(log)
    await say(tee, b"a\xffb", b"\xe2\x82")
    assert tee.output(0).stdout == "a\ufffdb\ufffd"


async def test_a_character_split_over_two_pieces_is_whole(log):
    tee = OutputTee(log)
    await say(tee, b"\xe2\x82", b"\xac")
    assert tee.output(0).stdout == "\u20ac"


async def test_files_are_capped_and_the_log_is_not(log, tmp_path):
    with OutputTee(log, tmp_path, limit=10) as tee:
        await say(tee, b"12345678", b"90ab", b"cd")
    assert (tmp_path / "stdout").read_bytes() == b"1234567890"
    assert log.pieces[OUT] == b"1234567890abcd"


async def test_a_large_piece_is_written_whole(log, tmp_path):
    with OutputTee(log, tmp_path) as tee:
        await say(tee, b"x" * 1_000_000)
    assert (tmp_path / "stdout").stat().st_size == 1_000_000


async def test_a_full_disk_fails_the_work(log, tmp_path):
    (tmp_path / "stdout").symlink_to("/dev/full")
    with OutputTee(log, tmp_path) as tee, pytest.raises(WorkFailed, match="No space left") as caught:
        await say(tee, b"hello")
    assert caught.value.failure.reason is Reason.DISK
    assert OUT not in log.pieces


async def test_going_on_after_a_crash_neither_doubles_nor_loses(log, tmp_path):
    """The file is ahead of the log, never behind; the engine sends again what the log lacks."""
    with OutputTee(log, tmp_path) as before:
        await say(before, b"x" * 3000, b"lost in the log")
    with OutputTee(log, tmp_path) as after:
        after.resume({OUT: 3000})
        await say(after, b"lost in the log", b"!")
        assert after.output(0).stdout == "x" * OUTPUT_LIMIT
    assert (tmp_path / "stdout").read_bytes() == b"x" * 3000 + b"lost in the log!"


async def test_going_on_without_files_takes_the_beginning_from_the_log(log):
    tee = OutputTee(log)
    tee.resume({OUT: 3}, {OUT: b"abc"})
    await say(tee, b"def")
    assert tee.output(0) == RunOutput(stdout="abcdef")
