"""Edits of ids: what each does, in whatever order, and what is wrong with a line."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from tests.after.walks import results, walk
from tracker.after.edits import apply_edits, read_edits
from tracker.after.second_pass import SecondPass, run_second_pass
from tracker.errors import InputError
from tracker.formats import Results

# 40 frames, 25 per second; 7 is there from the first frame to the last, 3 to frame 19, 9 from 25 on, 12 for a moment.
GIVEN = results({3: walk(0, 20, 100), 7: walk(0, 40, 300), 9: walk(25, 40, 105), 12: walk(30, 32, 500)}, 40)


def edited(*lines: str, given: Results = GIVEN) -> Results:
    return apply_edits(given, read_edits("\n".join(lines), "edits.txt"))


def spans(found: Results) -> dict[int, list[tuple[int, int, int]]]:
    """Where each id is: runs of frames with the place in pixels."""
    spans: dict[int, list[tuple[int, int, int]]] = {}
    for frame in found.frames:
        for person in frame.tracked:
            x = round(float(person.box[0] + person.box[2]) / 2)
            runs = spans.setdefault(person.track_id, [])
            if runs and runs[-1][1:] == (frame.index - 1, x):
                runs[-1] = runs[-1][0], frame.index, x
            else:
                runs.append((frame.index, frame.index, x))
    return spans


@pytest.mark.parametrize(
    ("lines", "changed"),
    [
        (["swap 3 7 @ 0.40"], {3: [(0, 9, 100), (10, 39, 300)], 7: [(0, 9, 300), (10, 19, 100)]}),
        (["swap 7 9 @ 0"], {7: [(25, 39, 105)], 9: [(0, 39, 300)]}),
        (["merge 9 -> 3"], {3: [(0, 19, 100), (25, 39, 105)], 9: None}),
        (["split 7 @ 0.4"], {7: [(0, 9, 300)], 13: [(10, 39, 300)]}),
        (["  drop   12   # a dog"], {12: None}),
        (["split 7 @ 0.4", "drop 13"], {7: [(0, 9, 300)]}),
        (["merge 13 -> 3", "split 7 @ 1.0"], {7: [(0, 24, 300)], 3: [(0, 19, 100), (25, 39, 300)]}),
        (["merge 9 -> 3", "drop 9"], {9: None, 3: None}),
        (["name 3 Anna B.", "# nothing", ""], {}),
        (["Merge 9->3"], {3: [(0, 19, 100), (25, 39, 105)], 9: None}),
        (["SWAP 3 7@0.40"], {3: [(0, 9, 100), (10, 39, 300)], 7: [(0, 9, 300), (10, 19, 100)]}),
    ],
)
def test_what_lines_do(lines: list[str], changed: dict[int, list[tuple[int, int, int]] | None]) -> None:
    found = edited(*lines)
    expected = {track_id: runs for track_id, runs in (spans(GIVEN) | changed).items() if runs}
    assert spans(found) == expected
    assert found.header.names == ({3: "Anna B."} if "name" in lines[0] else {})
    for frame, first in zip(found.frames, GIVEN.frames, strict=True):
        originals = frame.tracked.track_ids if frame.tracked.original_ids is None else frame.tracked.original_ids
        assert set(originals.tolist()) <= set(first.tracked.track_ids.tolist())
    assert edited(*lines, given=found) is found


def test_ids_are_those_of_the_results_in_whatever_order_the_lines_stand() -> None:
    """3 and 7 were exchanged at 0.2 s, 7 and 12 at 0.4 s: the second exchange is of 3, who is called 7."""
    wrong = results(
        {
            3: {f: 100 if f < 5 else 300 for f in range(20)},
            7: {f: 300 if f < 5 else 100 if f < 10 else 500 for f in range(20)},
            12: {f: 500 if f < 10 else 100 for f in range(20)},
        },
        20,
    )
    for lines in permutations(["swap 3 7 @ 0.2", "swap 7 12 @ 0.4", "name 3 Anna"]):
        found = edited(*lines, given=wrong)
        assert spans(found) == {3: [(0, 19, 100)], 7: [(0, 19, 300)], 12: [(0, 19, 500)]}
        assert found.header.names == {3: "Anna"}


def test_sides_are_exchanged_and_the_raw_ones_too() -> None:
    smooth = run_second_pass(results({1: walk(0, 20, 100, 3)}, 20), SecondPass(smooth="one-euro"), 0.4)
    found = edited("sides 1 @ 0.2 - 0.4", given=smooth)
    order = GIVEN.header.skeleton.flip_order
    for frame, first in zip(found.frames, smooth.frames, strict=True):
        wanted = order if 5 <= frame.index < 10 else slice(None)
        np.testing.assert_array_equal(frame.tracked.poses.keypoints, first.tracked.poses.keypoints[:, wanted])
        assert frame.tracked.raw is not None
        assert first.tracked.raw is not None
        np.testing.assert_array_equal(frame.tracked.raw, first.tracked.raw[:, wanted])


def test_stitched_results_can_be_edited_and_edited_ones_once_more() -> None:
    stitched = run_second_pass(GIVEN, SecondPass(stitch_s=1), 0.4)
    assert stitched.header.edits == ("stitch 9 -> 3",)
    found = edited("drop 12", given=edited("swap 3 7 @ 1.0", given=stitched))
    assert found.header.edits == ("stitch 9 -> 3", "swap 3 7 @ 1.0", "drop 12")
    originals = found.frames[30].tracked.original_ids
    assert originals is not None
    assert dict(zip(found.frames[30].tracked.track_ids.tolist(), originals.tolist(), strict=True)) == {7: 9, 3: 7}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["", "swp 3 7"], r"edits.txt: line 2: 'swp' is no edit; lines are swap 3 7 @ 12.40, merge 9 -> 3,"),
        (["swap 3 @ 1"], r"line 1: 'swap 3 @ 1' cannot be read; write it as swap 3 7 @ 12.40"),
        (["name 3"], r"cannot be read; write it as name 3 Anna"),
        (["drop 4"], r"line 1 \(drop 4\): there is no 4; ids are 3, 7, 9, 12"),
        (["swap 3 7 @ 9.5"], r"9.5 s is outside the results, which go from 0.000 to 1.560 s"),
        (["swap 3 12 @ 1.4"], r"neither is there from then on: 3 is there from 0.000 to 0.760 s, 12 is there from"),
        (["swap 3 3 @ 1.4"], r"these are the same"),
        (["merge 3 -> 3"], r"these are the same; name two"),
        (["merge 9 -> 3", "merge 9->3"], r"this stands in edits.txt: line 1 already"),
        (["merge 7 -> 3"], r"both are there at 0.000 s, so they are two; split one of them before"),
        (["split 3 @ 0"], r"a split leaves something on both sides: 3 is there from 0.000 to 0.760 s"),
        (["sides 12 @ 0 - 1"], r"nobody of that id is there then: 12 is there from 1.200 to 1.240 s"),
        (["drop 12", "name 12 Bo"], r"line 2 \(name 12 Bo\): there is no 12"),
        (["drop 12", "drop 12"], r"line 2 \(drop 12\): this stands in edits.txt: line 1 already"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(lines: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        edited(*lines)


def test_what_was_applied_in_part_is_not_applied_again() -> None:
    found = edited("drop 12", "merge 9 -> 3")
    with pytest.raises(
        InputError, match=r"line 1 \(merge 9 -> 3\): this was applied already; edit the results from before"
    ):
        edited("merge 9 -> 3", "name 3 Anna", given=found)
