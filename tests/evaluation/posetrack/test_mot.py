"""CLEAR-MOT: hand-made walks along a line, all keypoints of a person at one place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tests.evaluation.posetrack.people import HEAD, Places, frame, measure, on_a_line, person
from tracker.evaluation.posetrack.comparison import NUM_KEYPOINTS
from tracker.evaluation.posetrack.measure import MeasuredSequence, measure_sequence
from tracker.evaluation.posetrack.mot import MotCounts

FAR = 500.0


def counts_of(counts: MotCounts) -> list[int]:
    """Objects, hypotheses, detections and switches, which every keypoint must have alike."""
    table = np.array([counts.num_objects, counts.num_hypotheses, counts.num_detections, counts.num_switches])
    assert table.shape == (4, NUM_KEYPOINTS)
    assert (table == table[:, :1]).all()
    return [int(value) for value in table[:, 0]]


def distance_px(counts: MotCounts) -> float:
    assert (counts.distance == counts.distance[0]).all()
    return float(counts.distance[0] * HEAD)


def walk(truth: Sequence[Places], predicted: Sequence[Places]) -> MeasuredSequence:
    """Measured with a frame more, which poseval leaves out: person 1 is there and nobody finds them."""
    return measure_sequence(on_a_line([*truth, {1: FAR}]), on_a_line([*predicted, {}]))


@pytest.mark.parametrize(
    ("truth", "predicted", "expected"),
    [
        pytest.param([{1: 0}, {1: 5}], [{7: 0}, {7: 5}], [2, 2, 2, 0], id="found and kept"),
        pytest.param([{1: 0}], [{7: 15}], [1, 1, 1, 0], id="half a head away is a match"),
        pytest.param([{1: 0}], [{7: 15.001}], [1, 1, 0, 0], id="more is none: a miss and a false positive"),
        pytest.param([{1: 0}, {1: 0}], [{7: 0}, {8: 0}], [2, 2, 2, 1], id="a switch is a detection too"),
        pytest.param([{1: 0}] * 3, [{7: 0}, {7: FAR}, {7: 0}], [3, 3, 2, 0], id="an id is kept over a miss"),
        pytest.param([{1: 0}] * 3, [{7: 0}, {7: FAR}, {8: 0}], [3, 3, 2, 1], id="and a switch is noticed after one"),
        pytest.param([{1: 0}, {2: FAR}, {1: 0}], [{7: 0}, {7: FAR}, {7: 0}], [3, 3, 3, 0], id="whoever had it between"),
        pytest.param([{1: 0}] * 3, [{7: 0}, {8: 0}, {7: 0}], [3, 3, 3, 2], id="back again is a second switch"),
        pytest.param(
            [{1: 0}] * 2, [{7: 0}, {8: 1, 7: 14}], [2, 3, 2, 0], id="the known id is preferred to a nearer one"
        ),
        pytest.param([{1: 0}] * 2, [{7: 0}, {8: 1, 7: 16}], [2, 3, 2, 1], id="unless it is out of reach"),
        pytest.param([{1: 0, 2: 15}], [{7: 1, 8: -14}], [2, 2, 2, 0], id="most matches first, though they are farther"),
        pytest.param(
            [{1: 0, 2: 40}, {1: 0, 2: 5}],
            [{7: 0, 8: 40}, {8: 0, 7: 5}],
            [4, 4, 4, 0],
            id="two who cross keep their ids, though the other is nearer",
        ),
        pytest.param(
            [{1: 0, 2: 100}, {1: 0, 2: 9}],
            [{7: 0}, {7: 9, 8: 0}],
            [4, 3, 3, 0],
            id="the known id is taken by who had it, so that the other gets the rest",
        ),
        pytest.param(
            [{1: 0}, {}, {1: 0}], [{7: 0}, {7: 0}, {7: 0}], [2, 2, 2, 0], id="a frame without truth is dropped"
        ),
        pytest.param(
            [{1: 0}, {1: 0}, {1: 0}], [{7: 0}, {}, {7: 0}], [3, 3, 2, 0], id="a dummy frame between two matches"
        ),
        pytest.param(
            [{1: 0}, {1: 0, 2: 90, 3: 200}, {1: 0}],
            [{7: 0}, {}, {7: 0}],
            [3, 3, 2, 0],
            id="is one object, whoever is there",
        ),
        pytest.param(
            [{1: 0}, {1: 0}, {1: 0}], [{7: 0}, {}, {8: 0}], [3, 3, 2, 1], id="and the last match is remembered"
        ),
        pytest.param([{1: 0}, {2: 0}], [{}, {}], [2, 2, 0, 0], id="nothing predicted"),
    ],
)
def test_events(truth: list[Places], predicted: list[Places], expected: list[int]) -> None:
    assert counts_of(walk(truth, predicted).mot) == expected


@pytest.mark.parametrize(
    ("truth", "predicted", "pixels"),
    [
        pytest.param([{1: 0, 2: 15}], [{7: 1, 8: -14}], 14 + 14, id="most matches: 1 to 8 and 2 to 7"),
        pytest.param([{1: 0, 2: 10}], [{7: 9, 8: 1}], 1 + 1, id="of equally many the nearest"),
        pytest.param([{1: 0, 2: 10}], [{7: 4}], 4, id="the nearer of two"),
        pytest.param([{1: 0}] * 2, [{7: 0}, {8: 1, 7: 14}], 0 + 14, id="the known id"),
    ],
)
def test_distances_of_matches(truth: list[Places], predicted: list[Places], pixels: float) -> None:
    assert distance_px(walk(truth, predicted).mot) == pytest.approx(pixels)


def test_the_first_of_equals_is_taken() -> None:
    """Whichever is first in the file gets the person, as in motmetrics; the next frame tells which it was."""
    truth = [{1: 0}, {1: 0}]
    assert counts_of(walk(truth, [{7: 5, 8: -5}, {7: 0}]).mot) == [2, 3, 2, 0]
    assert counts_of(walk(truth, [{8: -5, 7: 5}, {7: 0}]).mot) == [2, 3, 2, 1]


def test_of_two_people_who_had_the_same_id_the_first_keeps_it() -> None:
    truth = [{1: 0, 2: 100}, {1: FAR, 2: 0}]
    predicted = [{7: 0}, {7: 0}, {7: 2}]
    first, second = ({1: 0, 2: 5}, {2: 5, 1: 0})
    assert distance_px(walk([*truth, first], predicted).mot) == pytest.approx(2)
    assert distance_px(walk([*truth, second], predicted).mot) == pytest.approx(3)
    assert counts_of(walk([*truth, second], predicted).mot) == [6, 3, 3, 0]


def test_keypoints_are_tracked_each_for_itself() -> None:
    """The pose of 8 is nearer as a whole, but has no nose; only there 7 is kept."""
    truth = [frame([person(1)], number=number) for number in range(3)]
    limbs = person(8, 101)
    limbs.keypoints[0] = np.nan
    predicted = [frame([person(7)], number=0), frame([limbs, person(7, 105, only=["nose"])], number=1), frame(number=2)]
    counts = measure(truth, predicted).mot
    assert counts.num_switches.sum() == 14
    assert counts.num_detections.tolist() == [2] * 15


def test_every_person_counts_in_empty_and_last_frames() -> None:
    """Where poseval has one of each, the second way counts the three missed people, and the one in the last frame."""
    measured = walk([{1: 0}, {1: 0, 2: 90, 3: 200}, {1: 0}], [{7: 0}, {}, {7: 0}])
    assert counts_of(measured.mot) == [3, 3, 2, 0]
    assert counts_of(measured.mot_every_person) == [6, 2, 2, 0]
    assert measured.mot.figures()["mota"][-1] == pytest.approx(100 / 3)
    assert measured.mot_every_person.figures()["mota"][-1] == pytest.approx(100 / 3)
    assert measured.mot_every_person.figures()["pre"][-1] == 100


def test_every_false_alarm_counts_in_frames_whose_people_are_ignored() -> None:
    everywhere = [[(0, 0), (200, 0), (200, 200), (0, 200)]]
    truth = [frame([person(1)], everywhere, number=0), frame([person(1)], number=1)]
    predicted = [frame([person(7, 300), person(8, 400)], number=0), frame([person(7)], number=1)]
    measured = measure(truth, predicted)
    assert counts_of(measured.mot) == [1, 1, 0, 0]
    assert counts_of(measured.mot_every_person) == [1, 3, 1, 0]


def test_people_without_a_list_of_keypoints_make_a_dummy_frame() -> None:
    """So PoseTrack17 states them; those of 18 have a list, if of nothing, and hide no false alarm."""
    for has_points, expected in ((False, [1, 1, 0, 0]), (True, [0, 1, 0, 0])):
        nobody = person(1, only=[], has_points=has_points)
        truth = [frame([nobody], number=0), frame([person(1)], number=1)]
        assert counts_of(measure(truth, [frame([person(7)], number=number) for number in range(2)]).mot) == expected


def test_one_frame_has_no_figures() -> None:
    """poseval fails there. It leaves out the last frame, so that nothing is left; the second way has it."""
    measured = walk([], [])
    assert counts_of(measured.mot) == [0, 0, 0, 0]
    figures = measured.mot.figures()
    assert {name: values[-1] for name, values in figures.items()} == pytest.approx(
        {"mota": np.nan, "motp": 0, "pre": np.nan, "rec": np.nan}, nan_ok=True
    )
    assert counts_of(measured.mot_every_person) == [1, 0, 0, 0]


def test_figures() -> None:
    """4 objects, 3 found, one of them with another id, 2 false alarms; 0, 3 and 6 px away."""
    measured = walk([{1: 0, 2: 100}, {1: 0, 2: 100}], [{7: 0, 8: 103}, {9: 6, 5: 200, 6: 300}])
    assert counts_of(measured.mot) == [4, 5, 3, 1]
    figures = measured.mot.figures()
    assert figures["mota"] == pytest.approx(100 * (1 - (1 + 1 + 2) / 4))
    assert figures["motp"] == pytest.approx(100 * (1 - 9 / HEAD / 3))
    assert figures["pre"] == pytest.approx(60)
    assert figures["rec"] == pytest.approx(75)


def test_the_total_leaves_out_what_is_undefined_but_motp() -> None:
    """Only noses are there: MOTA is theirs, and MOTP the mean with fourteen zeros."""
    truth = [frame([person(1, only=["nose"])], number=number) for number in range(3)]
    predicted = [frame([person(7, only=["nose"])], number=number) for number in range(3)]
    totals = {name: values[-1] for name, values in measure(truth, predicted).mot.figures().items()}
    assert totals == pytest.approx({"mota": 100, "motp": 100 / 15, "pre": 100, "rec": 100})
