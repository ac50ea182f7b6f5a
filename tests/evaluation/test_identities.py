"""Figures of ids against cases worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.people import poses_of, with_ids
from tests.scenes.test_oracle import people
from tracker.evaluation.identities import count_switches, measure_identities, sum_identities
from tracker.types import TrackedPoses


def tracked(*places: tuple[int, float]) -> TrackedPoses:
    """Poses of (id, x), exactly where `people` puts them."""
    truth = people(*places)
    return with_ids(poses_of(truth.keypoints, boxes=truth.boxes), truth.track_ids)


BOTH = people((1, 20), (2, 200))


@pytest.mark.parametrize(
    ("pairs", "switches", "idf1", "found", "false_ids"),
    [
        pytest.param([(BOTH, tracked((7, 20), (8, 200)))] * 4, 0, 100, 100, 0, id="all right"),
        # of 8 true and 8 tracked poses, 6 are together: ids 7 and 8 for 3 frames each
        pytest.param(
            [(BOTH, tracked((7, 20), (8, 200)))] * 3 + [(BOTH, tracked((8, 20), (7, 200)))],
            2, 200 * 6 / 16, 100, 0, id="exchanged in one of four",
        ),
        # 7 for one frame, then 9 for two: of 3 true and 3 tracked poses two are together
        pytest.param(
            [(people((1, 20)), tracked((7, 20)))] + [(people((1, 20)), tracked((9, 20)))] * 2,
            1, 200 * 2 / 6, 100, 0, id="a new id",
        ),
        # of 4 true and 6 tracked poses, 4 are together
        pytest.param(
            [(BOTH, tracked((7, 20), (8, 200), (5, 330)))] * 2,
            0, 200 * 4 / 10, 100, 1, id="somebody who is nobody",
        ),
        pytest.param([(BOTH, tracked((7, 20)))] * 2, 0, 200 * 2 / 6, 50, 0, id="one is not found"),
        pytest.param([(BOTH, tracked())] * 2, 0, 0, 0, 0, id="nobody is found"),
    ],
)  # fmt: skip
def test_figures_worked_out_by_hand(pairs, switches, idf1, found, false_ids):
    figures = measure_identities(pairs)
    assert (figures.switches, figures.false_ids) == (switches, false_ids)
    assert figures.idf1 == pytest.approx(idf1)
    assert figures.found == pytest.approx(found)
    # Exact poses: HOTA is 100 where every id is right, and the less the more is missing or wrong.
    hota = figures.figures()[2]
    assert hota == pytest.approx(100) if idf1 == 100 else hota < 90


def test_who_is_not_confirmed_is_neither_found_twice_nor_false():
    truth, guess = people((1, 20)), tracked((7, 20), (5, 330))
    figures = measure_identities([(truth, replace(guess, confirmed=np.array([True, False])))] * 3)
    assert figures.idf1 == 100
    assert figures.false_ids == 0


def test_a_frame_in_which_nobody_is_found_costs_what_it_shows_alone():
    seen = [(people((1, 20)), tracked((7, 20)))]
    few, many = (measure_identities(seen * n + [(people((1, 20)), tracked())]) for n in (3, 30))
    # det_a is n / (n + 1), ass_a likewise
    assert few.figures()[2] == pytest.approx(75)
    assert many.figures()[2] == pytest.approx(100 * 30 / 31)


def test_scenes_are_summed_up_before_they_are_divided():
    right, wrong = measure_identities([(BOTH, tracked((7, 20), (8, 200)))]), measure_identities([(BOTH, tracked())] * 3)
    both = sum_identities([right, wrong])
    assert both.idf1 == pytest.approx(200 * 2 / (8 + 2))
    assert both.found == 25


def test_ids_that_stay_are_no_switch():
    count = count_switches([(people((1, 20), (2, 200)), tracked((7, 20), (8, 200)))] * 3)
    assert count.switches == 0
    assert count.ids == {1: (7,), 2: (8,)}
    assert count.num_matched == count.num_people == 6


def test_a_gap_is_no_switch_but_another_id_after_it_is():
    truth, nobody = people((1, 20)), people()
    same = [(truth, tracked((7, 20))), (truth, tracked()), (nobody, tracked()), (truth, tracked((7, 20)))]
    other = [*same[:3], (truth, tracked((9, 20)))]
    assert count_switches(same).switches == 0
    assert count_switches(other).switches == 1
    assert count_switches(same).num_matched == 2
    assert count_switches(same).num_people == 3


def test_a_match_is_kept_while_it_is_good_enough():
    # Both tracks are near person 1; id 7 had it and keeps it although id 8 is nearer now.
    count = count_switches([(people((1, 20)), tracked((7, 20))), (people((1, 20)), tracked((7, 21), (8, 20)))])
    assert count.switches == 0


def test_far_poses_and_missing_keypoints_do_not_match():
    far = count_switches([(people((1, 20)), tracked((7, 200)))])
    assert far.num_matched == 0
    assert far.ids == {}
    missing = tracked((7, 20))
    missing.poses.keypoints[...] = np.nan
    assert count_switches([(people((1, 20)), missing)]).num_matched == 0
