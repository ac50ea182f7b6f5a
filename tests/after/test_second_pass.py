"""Stitching, short tracks, gaps and segments, with the first state kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.after.walks import HEADER, results, walk
from tracker.after.second_pass import SecondPass, run_second_pass, without_smoothing
from tracker.after.suggestions import find_suggestions
from tracker.after.table import PeopleTable
from tracker.errors import InputError
from tracker.formats import Results
from tracker.types import Origin


def ids_of(found: Results) -> list[list[int]]:
    return [frame.tracked.track_ids.tolist() for frame in found.frames]


@pytest.mark.parametrize(
    ("tracks", "edits"),
    [
        pytest.param({1: walk(0, 20, 0, 5), 2: walk(30, 50, 150, 5)}, ("stitch 2 -> 1",), id="where the pace leads"),
        pytest.param({1: walk(0, 20, 0), 2: walk(30, 50, 300)}, (), id="too far"),
        pytest.param({1: walk(0, 20, 0), 2: walk(90, 100, 0)}, (), id="too late"),
        pytest.param({1: walk(0, 20, 0), 2: walk(10, 50, 0)}, (), id="both are there"),
        pytest.param({1: walk(0, 20, 0), 2: walk(20, 50, 0)}, (), id="a cut"),
        pytest.param({1: walk(0, 20, 0), 2: walk(0, 20, 20), 3: walk(30, 50, 10)}, (), id="two who may be it"),
        pytest.param(
            {1: walk(0, 20, 0), 2: walk(0, 20, 90), 3: walk(30, 50, 0)}, ("stitch 3 -> 1",), id="one clearly nearer"
        ),
        pytest.param(
            {1: walk(0, 20, 0), 2: walk(30, 50, 0), 3: walk(60, 70, 0)},
            ("stitch 2 -> 1", "stitch 3 -> 1"),
            id="a chain",
        ),
    ],
)
def test_stitching(tracks: dict[int, dict[int, float]], edits: Sequence[str]) -> None:
    found = run_second_pass(results(tracks, 100), SecondPass(stitch_s=1), 0.4)
    assert found.header.edits == edits
    originals = [
        np.sort(f.tracked.track_ids if f.tracked.original_ids is None else f.tracked.original_ids).tolist()
        for f in found.frames
    ]
    assert originals == ids_of(results(tracks, 100))
    assert found.track_ids == tracks.keys() - {int(edit.split()[1]) for edit in edits}


# Somebody walks past somebody who stands; both are not seen for half a second.
WALKS, STANDS = (walk(0, 20, 0, 9), walk(33, 53, 297, 9)), (walk(0, 20, 120), walk(33, 53, 120))


@pytest.mark.parametrize(
    ("tracks", "edits"),
    [
        pytest.param(
            {1: WALKS[0] | STANDS[1], 2: STANDS[0] | WALKS[1]},
            ("stitch 1 -> 2 @ 1.320", "stitch 2 -> 1 @ 1.320"),
            id="exchanged where they crossed",
        ),
        pytest.param({1: WALKS[0] | WALKS[1], 2: STANDS[0] | STANDS[1]}, (), id="rightly told where they crossed"),
        pytest.param(
            {1: WALKS[0] | STANDS[1], 2: STANDS[0], 3: WALKS[1]},
            ("stitch 1 -> 2 @ 1.320", "stitch 3 -> 1"),
            id="one has the other's, who gets a new one",
        ),
        pytest.param(
            {1: walk(0, 20, 0) | walk(60, 80, 200), 2: walk(0, 55, 200)}, ("stitch 1 -> 2 @ 2.400",), id="long gone"
        ),
        pytest.param(
            {1: walk(0, 10, 0) | walk(30, 50, 400) | walk(55, 80, 0), 2: walk(0, 20, 400) | walk(70, 90, 400)},
            ("stitch 1 -> 2 @ 1.200", "stitch 1 -> 1 @ 2.200"),
            id="for a while",
        ),
        pytest.param(
            {1: walk(0, 20, 0) | walk(30, 50, 12), 2: walk(0, 20, 12) | walk(30, 50, 0)}, (), id="too near to tell"
        ),
        pytest.param({1: walk(0, 20, 0) | walk(30, 50, 500)}, (), id="nobody else it could be"),
    ],
)
def test_who_was_found_again_as_another_gets_their_own_id_back(
    tracks: dict[int, dict[int, float]], edits: Sequence[str]
) -> None:
    given = results(tracks, 100)
    found = run_second_pass(given, SecondPass(stitch_s=2), 0.4)
    assert found.header.edits == edits
    originals = [
        people.track_ids if people.original_ids is None else people.original_ids
        for people in (frame.tracked for frame in found.frames)
    ]
    assert [ids.tolist() for ids in originals] == ids_of(given)


def test_a_part_that_another_takes_over_has_an_id_of_its_own() -> None:
    """1 comes back as 2, and 3, whom the tracker took for 1 after that, is nobody who was there before."""
    tracks = {1: walk(0, 20, 0) | walk(60, 80, 400), 2: walk(25, 50, 0)}
    found = run_second_pass(results(tracks, 100), SecondPass(stitch_s=2), 0.4)
    assert found.header.edits == ("stitch 1 -> 3 @ 2.400", "stitch 2 -> 1")
    assert [sorted(ids) for ids in ids_of(found)] == [
        [1] * (f in range(20) or f in range(25, 50)) + [3] * (f in range(60, 80)) for f in range(100)
    ]


def test_short_tracks_are_dropped() -> None:
    given = results({1: walk(0, 50, 0), 2: walk(10, 15, 300), 3: walk(10, 14, 500)}, 50)
    assert run_second_pass(given, SecondPass(drop_shorter_s=0.2), 0.4).track_ids == {1, 2}


def test_gaps_are_filled_marked_and_can_be_undone() -> None:
    given = results({1: walk(0, 10, 0, 2) | walk(14, 30, 28, 2) | walk(36, 40, 72, 2), 4: walk(0, 40, 400)}, 40)
    weak = given.frames[20].tracked.poses
    weak.scores[0, 3], weak.keypoints[0, 3] = 0.2, 999
    found = run_second_pass(given, SecondPass(fill_gaps_s=0.2), 0.4)
    assert [frame.index for frame in found.frames if 1 not in frame.tracked.track_ids] == list(range(30, 36))
    filled = found.frames[11].tracked
    row = filled.track_ids.tolist().index(1)
    assert (filled.original_ids is not None, filled.poses.origin[row]) == (True, Origin.INTERPOLATED)
    assert filled.original_ids is not None
    assert filled.original_ids[row] == -1
    assert filled.interpolated[row].all()
    np.testing.assert_allclose(filled.poses.keypoints[row, 8], [22, 100], atol=1e-3)
    np.testing.assert_allclose(filled.poses.boxes[row], [-8, 0, 52, 200], atol=1e-3)
    mended = found.frames[20].tracked
    assert np.flatnonzero(mended.interpolated[0]).tolist() == [3]
    np.testing.assert_allclose(mended.poses.keypoints[0, 3, 0], 40 - 9 + 18 * 3 / 16, atol=1e-3)
    again = without_smoothing(found)
    assert ids_of(again) == ids_of(given)
    for frame, first in zip(again.frames, given.frames, strict=True):
        np.testing.assert_array_equal(frame.tracked.poses.keypoints, first.tracked.poses.keypoints)


@pytest.mark.parametrize("smooth", ["one-euro", "butterworth"])
def test_smoothing_anew_begins_from_what_the_network_gave(smooth: str) -> None:
    given = results({1: {f: 5 * np.sin(f) for f in range(60)}}, 60)
    once = run_second_pass(given, SecondPass(smooth=smooth), 0.4)
    twice = run_second_pass(once, SecondPass(smooth=smooth), 0.4)
    keypoints = [[frame.tracked.poses.keypoints for frame in each.frames] for each in (given, once, twice)]
    assert not np.allclose(keypoints[0], keypoints[1], atol=1)
    np.testing.assert_array_equal(keypoints[1], keypoints[2])


def test_butterworth_crosses_neither_what_is_missing_nor_pauses() -> None:
    step = {f: 0.0 if f < 20 else 100.0 for f in range(40)}
    given = results({1: {f: x for f, x in step.items() if f not in range(18, 24)}, 2: step}, 40)
    for frame in given.frames[18:24]:
        frame.tracked.poses.scores[-1, :] = 0.1  # person 2 is weak where person 1 is away
    found = run_second_pass(given, SecondPass(smooth="butterworth"), 0.4)
    for frame, first in zip(found.frames, given.frames, strict=True):
        np.testing.assert_allclose(frame.tracked.poses.keypoints, first.tracked.poses.keypoints, atol=1e-3)


@pytest.mark.parametrize("num_frames", [1, 2])
def test_nobody_and_moments_are_no_trouble(num_frames: int) -> None:
    todo = SecondPass(stitch_s=1, drop_shorter_s=0.01, fill_gaps_s=1, smooth="butterworth")
    for tracks in ({}, {1: walk(0, 1, 5)}):
        given = results(tracks, num_frames)
        assert ids_of(run_second_pass(given, todo, 0.4)) == ids_of(given)
        assert find_suggestions(PeopleTable.of(given), given.header.skeleton, 0.4) == []


def test_what_it_cannot_do_is_told() -> None:
    given = results({1: walk(0, 20, 0, 9)}, 20)
    with pytest.raises(InputError, match=r"25 frames per second tell nothing above 12.5 Hz.*--cutoff-hz"):
        run_second_pass(given, SecondPass(smooth="butterworth", cutoff_hz=12.5), 0.4)
    slow = Results(given.header, tuple(replace(frame, time_s=frame.index / 8) for frame in given.frames))
    with pytest.raises(InputError, match=r"8 frames per second tell nothing above 4 Hz.*at 4;"):
        run_second_pass(slow, SecondPass(smooth="butterworth"), 0.4)
    timeless = Results(replace(HEADER, fps=None), tuple(replace(frame, time_s=np.nan) for frame in given.frames))
    with pytest.raises(InputError, match="--fps"):
        run_second_pass(timeless, SecondPass(smooth="one-euro"), 0.4)
    known = replace(timeless, header=HEADER)
    assert run_second_pass(known, SecondPass(smooth="one-euro"), 0.4).frames[3].tracked.raw is not None
    for wrong in ({"smooth": "kalman"}, {"stitch_s": -1}, {"fill_gaps_s": np.inf}, {"cutoff_hz": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            SecondPass(**wrong)
