"""Moments that deserve a look: each kind is found where it is, and taking the line mends it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.after.walks import results, walk
from tracker.after.edits import apply_edits, read_edits
from tracker.after.suggestions import Suggestion, find_suggestions
from tracker.after.table import PeopleTable
from tracker.formats import Results
from tracker.skeletons import COCO_17


def suggestions(given: Results) -> list[Suggestion]:
    return find_suggestions(PeopleTable.of(given), COCO_17, 0.4)


def exchanged() -> Results:
    """Two who stand apart and get one another's ids in frame 20."""
    places = {1: (100.0, 400.0), 2: (400.0, 100.0)}
    return results({track_id: {f: x[f >= 20] for f in range(40)} for track_id, x in places.items()}, 40)


def met() -> Results:
    """Two who walk through one another and leave as one another."""
    ways = [100.0 + 8 * np.arange(40), 412.0 - 8 * np.arange(40)]
    left, right = np.minimum(*ways), np.maximum(*ways)
    return results({1: dict(enumerate(left.tolist())), 2: dict(enumerate(right.tolist()))}, 40)


def lost() -> Results:
    return results({1: walk(0, 15, 100, 4), 2: walk(0, 40, 500), 5: walk(25, 40, 200, 4)}, 40)


def jumped() -> Results:
    return results({3: {f: 100.0 if f < 17 else 300.0 for f in range(40)}}, 40)


def weak() -> Results:
    given = results({3: walk(0, 40, 100)}, 40)
    given.frames[17].tracked.similarities[0] = 0.05
    return given


def turned() -> Results:
    given = results({3: walk(0, 40, 100)}, 40)
    for frame in given.frames:
        keypoints = frame.tracked.poses.keypoints
        for left, right in COCO_17.flip_pairs:
            keypoints[0, left], keypoints[0, right] = keypoints[0, left] + [40, 0], keypoints[0, left] - [40, 0]
        if 17 <= frame.index < 22:
            keypoints[:] = keypoints[:, COCO_17.flip_order]
    return given


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (exchanged, "swap 1 2 @ 0.800"),
        (met, "swap 1 2 @"),
        (lost, "merge 5 -> 1"),
        (jumped, "split 3 @ 0.680"),
        (weak, "split 3 @ 0.680"),
        (turned, "sides 3 @ 0.680 - 0.880"),
    ],
)
def test_the_worst_moment_is_the_one_and_its_line_mends_it(given: Callable[[], Results], line: str) -> None:
    worst = suggestions(given())[0]
    assert worst.line.startswith(line)
    assert 0 < worst.score <= 1
    mended = apply_edits(given(), read_edits(worst.line, "edits.txt"))
    left = suggestions(mended)
    assert worst.line not in [moment.line for moment in left]
    assert sum(moment.score for moment in left) < 0.3 or given is weak


def test_nothing_is_said_of_people_who_pass_at_a_distance_or_run() -> None:
    runners = {1: walk(0, 60, 0, 12), 2: walk(0, 60, 900, -12)}
    apart = {1: runners[1], 2: {f: x + 200 for f, x in runners[2].items() if abs(x - runners[1][f]) > 160}}
    assert suggestions(results({1: runners[1]}, 60)) == []
    assert suggestions(results({1: apart[1]}, 60)) == []
