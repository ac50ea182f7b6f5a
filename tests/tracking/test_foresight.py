"""Confirmation reaches back to a person's first frame; who is cut off is told from who is doubtful."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
import pytest

from tracker.tracking.foresight import look_ahead
from tracker.types import Poses, TrackedPoses

# Signs of a person in a frame, by whether they are confirmed and cut off.
SIGNS = {(False, False): "?", (True, False): "x", (False, True): "1"}


def people(track_ids: Sequence[int], confirmed: Sequence[bool]) -> TrackedPoses:
    count = len(track_ids)
    poses = Poses(
        keypoints=np.zeros((count, 17, 2), np.float32),
        scores=np.zeros((count, 17), np.float32),
        boxes=np.zeros((count, 4), np.float32),
        box_scores=np.zeros(count, np.float32),
        origin=np.zeros(count, np.int8),
    )
    return TrackedPoses(poses, np.array(track_ids, np.int64), np.zeros(count, np.float32), np.array(confirmed, bool))


def follow(seen: Sequence[str], min_hits: int, cuts: Sequence[int] = (), ahead: int | None = None) -> list[str]:
    """Signs of each person (`x` seen, a space not) as they come out; ids are places in `seen`."""

    def tracked() -> Generator[tuple[int, TrackedPoses, bool]]:
        hits = [0] * len(seen)
        for number in range(len(seen[0])):
            ids = [i for i, person in enumerate(seen) if person[number] == "x"]
            for i in ids:
                hits[i] += 1
            yield number, people(ids, [hits[i] >= min_hits for i in ids]), number in cuts

    signs = [[" "] * len(person) for person in seen]
    for frame, found in look_ahead(tracked(), min_hits if ahead is None else ahead):
        for row, i in enumerate(found.track_ids.tolist()):
            signs[i][frame] = SIGNS[bool(found.confirmed[row]), bool(found.cut_off[row])]
    return ["".join(person) for person in signs]


@pytest.mark.parametrize(
    ("seen", "cuts", "expected"),
    [
        pytest.param(["xxxxxx"], [], ["xxxxxx"], id="from the first frame"),
        pytest.param(["  xxx "], [], ["  xxx "], id="who comes later"),
        pytest.param(["xx x  "], [], ["xx x  "], id="with a gap"),
        pytest.param(["xx    "], [], ["??    "], id="who goes"),
        pytest.param(["    xx"], [], ["    11"], id="cut off by the end"),
        pytest.param(["xx"], [], ["11"], id="a short video"),
        pytest.param(["x"], [], ["1"], id="a picture"),
        pytest.param(["x   ", " x  ", "  x ", "   x"], [1, 2, 3], ["1   ", " 1  ", "  1 ", "   1"], id="photos"),
        pytest.param(["xxx   ", "   xxx"], [3], ["xxx   ", "   xxx"], id="scenes that are long enough"),
        pytest.param(["xxxx   ", " xx    "], [4], ["xxxx   ", " ??    "], id="a scene that was long enough"),
        pytest.param(["xxxx   ", "  xx   "], [4], ["xxxx   ", "  11   "], id="cut off by a cut"),
    ],
)
def test_who_is_confirmed_and_who_is_cut_off(seen: list[str], cuts: list[int], expected: list[str]) -> None:
    assert follow(seen, min_hits=3, cuts=cuts) == expected


def test_live_sources_are_not_looked_ahead_in() -> None:
    assert follow(["xxxxx", "   xx"], min_hits=3, ahead=0) == ["??xxx", "   ??"]


def test_no_more_frames_wait_than_are_needed() -> None:
    made: list[int] = []

    def endless() -> Generator[tuple[int, TrackedPoses, bool]]:
        for number in range(10**6):
            made.append(number)
            yield number, people([1], [number >= 2]), False

    coming = look_ahead(endless(), 3)
    assert next(coming)[0] == 0
    assert len(made) == 4
    coming.close()


def test_what_was_tracked_before_a_failure_comes_out_before_it() -> None:
    def failing() -> Generator[tuple[int, TrackedPoses, bool]]:
        yield 0, people([1], [False]), False
        yield 1, people([1], [False]), False
        raise RuntimeError("broken")

    coming = look_ahead(failing(), 3)
    for number in range(2):
        frame, found = next(coming)
        assert (frame, bool(found.cut_off[0])) == (number, False)
    with pytest.raises(RuntimeError, match="broken"):
        next(coming)


def test_nobody_stays_nobody() -> None:
    assert follow(["    "], min_hits=3) == ["    "]
    assert list(look_ahead((item for item in ()), 3)) == []
