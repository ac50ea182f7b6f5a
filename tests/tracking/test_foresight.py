"""Confirmation reaches back to a person's first frame; who is cut off is told from who is doubtful."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
import pytest

from tests.people import poses_of, with_ids
from tracker.tracking.foresight import Tracked, look_ahead
from tracker.types import Frame, TrackedPoses

# What confirming takes.
CONFIRM_AFTER_S, NUM_DETECTIONS = 0.05, 3
# Signs of a person in a frame, by whether they are confirmed and cut off.
SIGNS = {(False, False): "?", (True, False): "x", (False, True): "1"}


def frame(number: int, fps: float = 25, side: int = 1) -> Frame:
    return Frame(number, number / fps, np.broadcast_to(np.uint8(0), (side, side, 3)))


def people(track_ids: Sequence[int], confirmed: Sequence[bool]) -> TrackedPoses:
    return with_ids(poses_of(np.zeros((len(track_ids), 17, 2))), track_ids, confirmed=confirmed)


def follow(
    seen: Sequence[str], cuts: Sequence[int] = (), confirm_after_s: float = CONFIRM_AFTER_S, every: int = 1
) -> list[str]:
    """Signs of each person (`x` seen, a space not) as they come out, confirmed by their third look; ids are places.

    every: people are looked for in every so many frames.
    """

    def tracked() -> Generator[Tracked[Frame]]:
        hits = [0] * len(seen)
        for number in range(len(seen[0])):
            has_looked = number % every == 0
            ids = [i for i, person in enumerate(seen) if person[number] == "x"]
            for i in ids:
                hits[i] += has_looked
            yield frame(number), people(ids, [hits[i] >= NUM_DETECTIONS for i in ids]), number in cuts, has_looked

    signs = [[" "] * len(person) for person in seen]
    for now, found in look_ahead(tracked(), confirm_after_s, NUM_DETECTIONS):
        for row, i in enumerate(found.track_ids.tolist()):
            signs[i][now.index] = SIGNS[bool(found.confirmed[row]), bool(found.cut_off[row])]
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
    assert follow(seen, cuts) == expected


@pytest.mark.parametrize(
    ("seen", "cuts", "expected"),
    [
        pytest.param("xxxxxxxxxxx     ", [], "xxxxxxxxxxx     ", id="from the first frame"),
        pytest.param("xxxxx xxxxxx    ", [], "xxxxx xxxxxx    ", id="with a gap"),
        pytest.param("xxxx            ", [], "????            ", id="who is looked for in vain"),
        pytest.param("xxxxxxx", [], "1111111", id="cut off by the end"),
        pytest.param("xxxxxx     ", [6], "111111     ", id="cut off by a cut"),
    ],
)
def test_where_people_are_looked_for_now_and_then(seen: str, cuts: list[int], expected: str) -> None:
    assert follow([seen], cuts, every=4) == [expected]


def test_live_sources_are_not_looked_ahead_in() -> None:
    assert follow(["xxxxx", "   xx"], confirm_after_s=0) == ["??xxx", "   ??"]


@pytest.mark.parametrize(
    ("fps", "confirm_after_s", "every", "num_made"), [(24, 0.05, 1, 4), (25, 0.05, 1, 4), (30, 0.05, 1, 4),
        (5, 0.05, 1, 4), (120, 0.05, 1, 12), (25, 0.05, 4, 13), (25, 0, 1, 1), (25, 100, 1, 61), (25, 0.05, 100, 61)]
)  # fmt: skip
@pytest.mark.parametrize("is_doubtful", [True, False])
def test_no_more_frames_wait_than_are_needed(
    fps: float, confirm_after_s: float, every: int, num_made: int, is_doubtful: bool
) -> None:
    made: list[int] = []

    def endless() -> Generator[Tracked[Frame]]:
        for number in range(10**6):
            made.append(number)
            yield frame(number, fps), people([1], [not is_doubtful]), False, number % every == 0

    coming = look_ahead(endless(), confirm_after_s, NUM_DETECTIONS)
    assert next(coming)[0].index == 0
    assert len(made) == (num_made if is_doubtful else 1)
    coming.close()


def test_large_frames_wait_in_fewer_numbers() -> None:
    made = 0

    def endless() -> Generator[Tracked[Frame]]:
        nonlocal made
        for made in range(1, 10**6):
            yield frame(made, side=4000), people([1], [False]), False, False

    coming = look_ahead(endless(), CONFIRM_AFTER_S, NUM_DETECTIONS)
    next(coming)
    assert made == 2**29 // (3 * 4000**2) + 1
    coming.close()


def test_what_was_tracked_before_a_failure_comes_out_before_it() -> None:
    def failing() -> Generator[Tracked[Frame]]:
        for number in range(2):
            yield frame(number), people([1], [False]), False, True
        raise RuntimeError("broken")

    coming = look_ahead(failing(), CONFIRM_AFTER_S)
    for number in range(2):
        now, found = next(coming)
        assert (now.index, bool(found.cut_off[0])) == (number, False)
    with pytest.raises(RuntimeError, match="broken"):
        next(coming)


def test_nobody_stays_nobody() -> None:
    assert follow(["    "]) == ["    "]
    assert list(look_ahead((item for item in ()), CONFIRM_AFTER_S)) == []
