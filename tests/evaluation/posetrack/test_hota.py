"""HOTA: hand-made walks along a line, all keypoints of a person at one place."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add

import numpy as np
import pytest

from tests.evaluation.posetrack.people import HEAD, Places, frame, measure, on_a_line, person
from tracker.evaluation.posetrack.comparison import compare_frames
from tracker.evaluation.posetrack.hota import ALPHAS, HotaSums, sequence_figures, sum_up
from tracker.evaluation.posetrack.measure import measure_sequence

FAR = 500.0


def sums(truth: Sequence[Places], predicted: Sequence[Places]) -> HotaSums:
    found = measure_sequence(on_a_line(truth), on_a_line(predicted)).hota
    assert all((table == table[:, :1]).all() for table in vars(found).values())
    return found


def figures(truth: Sequence[Places], predicted: Sequence[Places]) -> dict[str, float]:
    """Of walks in which every match is exact, so that all thresholds agree."""
    tables = sequence_figures(sums(truth, predicted))
    assert all(table.shape == (19, 16) and np.allclose(table, table[0, 0]) for table in tables.values())
    return {name: float(table[0, 0]) for name, table in tables.items()}


def counts(found: HotaSums) -> list[float]:
    """TP, FN and FP at the first threshold, of any keypoint."""
    return [float(table[0, 0]) for table in (found.tp, found.fn, found.fp)]


def test_perfect() -> None:
    assert figures([{1: 0}] * 3, [{7: 0}] * 3) == dict.fromkeys(
        ("HOTA", "RHOTA", "FA-HOTA", "FA-RHOTA", "DetA", "DetRe", "DetPr", "AssA", "AssRe", "AssPr", "FragA", "LocA"), 1
    )


def test_a_switch_halves_the_association() -> None:
    """Each half is with the person for 2 of their 4 frames: M²/U is 4/4 twice, over 4 matches."""
    found = figures([{1: 0}] * 4, [{7: 0}, {7: 0}, {8: 0}, {8: 0}])
    assert (found["DetA"], found["AssA"], found["AssRe"], found["AssPr"]) == (1, 0.5, 0.5, 1)
    assert found["FragA"] == 0.5
    assert found["HOTA"] == pytest.approx(0.5**0.5)


def test_ids_that_come_back_make_fragments() -> None:
    """The same pairs of tracks, but four fragments of one frame: 1/4 four times, over 4 matches."""
    found = figures([{1: 0}] * 4, [{7: 0}, {8: 0}, {7: 0}, {8: 0}])
    assert (found["AssA"], found["FragA"]) == (0.5, 0.25)
    assert found["FA-HOTA"] == pytest.approx((0.5 * 0.25) ** 0.25)


def test_a_miss_ends_no_fragment() -> None:
    found = figures([{1: 0}] * 3, [{7: 0}, {8: FAR}, {7: 0}])
    assert found["AssA"] == found["FragA"] == pytest.approx(2 * 2 / 3 / 2)
    assert found["DetA"] == pytest.approx(2 / 4)
    assert found["DetRe"] == pytest.approx(2 / 3)


def test_similarity_falls_to_0_at_half_a_head() -> None:
    """3 px of 30 are a tenth of a head: the similarity is 1 − 0.1/0.5001, above 0.8 by a hair."""
    found = sums([{1: 0}], [{7: 3}])
    similarity = 1 - 3 / HEAD / 0.5001
    assert found.tp[:, 0].tolist() == [float(alpha < similarity) for alpha in ALPHAS]
    assert found.tp[:, 0].sum() == 16
    assert found.loc_a[0, 0] == pytest.approx(similarity)
    assert found.fn[-1, 0] == found.fp[-1, 0] == 1


@pytest.mark.parametrize("place", [0, 4, 9, 14, 18])
def test_a_similarity_that_equals_the_threshold_reaches_it(place: int) -> None:
    """The distance is that at which the similarity is the threshold, but for rounding."""
    size = 1000.0
    for distance, expected in (
        (0.5001 * (1 - ALPHAS[place]), place + 1),
        (0.5001 * (1 - ALPHAS[place]) + 1e-12, place),
    ):
        truth = frame([person(1, 1, 1, head_box=(0, 0, 0, size / 0.6))])
        found = sum_up(compare_frames([truth], [frame([person(7, 1 + size * distance, 1)])])[1])
        assert found.tp[:, 0].sum() == expected


def test_the_largest_sum_of_similarities_is_taken() -> None:
    """7 is nearer to 1 than 8 is, but 2 needs 7: two matches of 10 px are more than one exact match."""
    found = sums([{1: 0, 2: 10}], [{7: 0, 8: -5}])
    assert counts(found) == [2, 0, 0]
    assert found.loc_a[0, 0] == pytest.approx(2 - 15 / HEAD / 0.5001)
    # 14 px on both sides give less than the exact match of 7 to 1, unlike in CLEAR-MOT.
    assert counts(sums([{1: 0, 2: 14}], [{7: 0, 8: -14}])) == [1, 1, 1]


def test_a_frame_without_predictions_misses_the_whole_sequence() -> None:
    """The kit adds the people of all 4 frames for it: 2 found, 1 missed among others, and 4."""
    assert counts(sums([{1: 0}] * 4, [{7: 0}, {7: FAR}, {}, {7: 0}])) == [2, 5, 1]


def test_so_does_one_whose_predictions_are_all_ignored() -> None:
    region = [[(300, 50), (400, 50), (400, 150), (300, 150)]]
    truth = [frame([person(1)], region, number=number) for number in range(3)]
    predicted = [frame([person(7, 350 if number == 1 else 100)], number=number) for number in range(3)]
    assert counts(measure(truth, predicted).hota) == [2, 3, 0]


def test_a_sequence_without_predictions_misses_its_people_once() -> None:
    assert counts(sums([{1: 0}, {1: 0, 2: 50}], [{}, {}])) == [0, 3, 0]


def test_a_frame_whose_people_are_ignored_has_false_alarms_alone() -> None:
    """The kit fails there."""
    region = [[(50, 50), (150, 50), (150, 150), (50, 150)]]
    truth = [frame([person(1)], region, number=0), frame([person(1)], number=1)]
    predicted = [frame([person(7, 300)], number=0), frame([person(7)], number=1)]
    assert counts(measure(truth, predicted).hota) == [1, 0, 1]


def test_sequences_are_summed_up() -> None:
    """Counts add up; what is of matches is weighted by their number."""
    whole = sums([{1: 0}] * 4, [{7: 0}] * 4)
    halved = sums([{1: 0}] * 4, [{7: 0}, {7: 0}, {8: 0}, {8: 0}])
    lost = sums([{1: 0}] * 4, [{7: FAR}] * 4)
    total = reduce(add, (part.with_total() for part in (whole, halved, lost)))
    found = {name: table[0, -1] for name, table in total.figures().items()}
    assert (total.tp[0, -1], total.fn[0, -1], total.fp[0, -1]) == (15 * 8, 15 * 4, 15 * 4)
    assert found["AssA"] == pytest.approx(0.75)
    assert found["DetA"] == pytest.approx(0.5)
    assert found["HOTA"] == pytest.approx((0.5 * 0.75) ** 0.5)
    assert found["LocA"] == 1


def test_the_total_of_one_sequence_is_a_mean_and_that_of_several_is_not() -> None:
    """Noses are found in both frames, the other 14 keypoints in none: the mean of DetA is 1/15, as is 2/30 of all."""
    truth = [frame([person(1)], number=number) for number in range(2)]
    predicted = [frame([person(7, only=["nose"])], number=number) for number in range(2)]
    found = measure(truth, predicted).hota
    assert sequence_figures(found)["HOTA"][:, -1] == pytest.approx(1 / 15)
    combined = found.with_total().figures()
    # The total's AssA, too, is a mean of keypoints, most of which have 0, and weighs as much as the two matches.
    assert combined["AssA"][:, -1] == pytest.approx(1 / 15)
    assert combined["DetA"][:, -1] == pytest.approx(1 / 15)
    assert combined["HOTA"][:, -1] == pytest.approx(1 / 15)
