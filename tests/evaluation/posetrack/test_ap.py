"""Average precision: which pose is whose, and what is made of scores and labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tests.evaluation.posetrack.people import Person, frame, measure, person
from tracker.evaluation.posetrack.ap import Ranking, ap_figures, average_precision, pool
from tracker.skeletons import POSETRACK_15

NAMES = POSETRACK_15.keypoint_names
NOSE = NAMES.index("nose")
LIMBS = NAMES[:12]


def ranking(*rows: tuple[float, bool], num_true: int = 2) -> Ranking:
    """Scores and labels of noses."""
    scores, hits = zip(*rows, strict=True) if rows else ((), ())
    counts = np.zeros(15, np.int64)
    counts[NOSE] = num_true
    keypoints = np.full(len(rows), NOSE, np.int8)
    return Ranking(keypoints, np.array(scores, float), np.array(hits, np.bool_), counts)


def labels(truth: Sequence[Person], predicted: Sequence[Person], keypoint: str = "nose") -> list[bool]:
    """Of the predicted people, in their order."""
    measured = measure([frame(truth)], [frame(predicted)])
    return measured.ranking.hits[measured.ranking.keypoints == NAMES.index(keypoint)].tolist()


@pytest.mark.parametrize(
    ("recall", "precision", "area"),
    [
        pytest.param([1.0], [1.0], 1, id="perfect"),
        pytest.param([0.5], [1.0], 0.5, id="half is found"),
        pytest.param([0, 0.5, 1], [0, 0.5, 2 / 3], 2 / 3, id="a false alarm first: a higher precision comes later"),
        pytest.param([0.5, 0.5, 1], [1, 0.5, 2 / 3], 0.5 + 0.5 * 2 / 3, id="a false alarm between"),
        pytest.param([0.0, 0.0], [0, 0], 0, id="nothing right"),
        pytest.param([], [], 0, id="nothing predicted"),
    ],
)
def test_area(recall: list[float], precision: list[float], area: float) -> None:
    assert average_precision(np.array(recall), np.array(precision)) == pytest.approx(area)


@pytest.mark.parametrize(
    ("found", "num_true", "ap", "pre", "rec"),
    [
        pytest.param([(0.9, True), (0.8, False), (0.7, True)], 2, 100 * 5 / 6, 200 / 3, 100, id="by falling score"),
        pytest.param([(0.7, True), (0.8, False), (0.9, True)], 2, 100 * 5 / 6, 200 / 3, 100, id="in any order"),
        pytest.param([], 2, 0, 0, 0, id="truth without predictions counts"),
        pytest.param([(0.5, False)], 0, np.nan, 0, np.nan, id="predictions without truth"),
        pytest.param([], 0, 0, 0, 0, id="neither counts as 0"),
    ],
)
def test_figures_of_a_keypoint(
    found: list[tuple[float, bool]], num_true: int, ap: float, pre: float, rec: float
) -> None:
    figures = ap_figures(ranking(*found, num_true=num_true))
    assert [figures[name][NOSE] for name in ("ap", "pre", "rec")] == pytest.approx([ap, pre, rec], nan_ok=True)


def test_the_total_leaves_out_what_is_undefined() -> None:
    figures = ap_figures(pool([ranking((0.5, False), num_true=0), perfect_ankle()]))
    assert figures["ap"][-1] == pytest.approx(100 / 14)  # one of 14; the other 13 have neither and count as 0
    assert figures["pre"][-1] == pytest.approx(100 / 15)
    assert np.isnan(figures["ap"][NOSE])


def test_the_kit_of_posetrack21_has_0_for_what_is_undefined() -> None:
    figures = ap_figures(pool([ranking((0.5, False), num_true=0), perfect_ankle()]), undefined=0)
    assert figures["ap"][-1] == pytest.approx(100 / 15)
    assert figures["rec"][NOSE] == 0


def perfect_ankle() -> Ranking:
    counts = np.zeros(15, np.int64)
    counts[0] = 1
    return Ranking(np.zeros(1, np.int8), np.ones(1), np.ones(1, np.bool_), counts)


def test_equal_scores_come_together() -> None:
    rows = [(0.5, True), (0.5, False), (0.5, True), (0.4, True)]
    figures = [ap_figures(ranking(*order, num_true=4))["ap"][NOSE] for order in (rows, rows[::-1])]
    # recall 1/2 at precision 2/3, then 3/4 at 3/4, which is the higher precision
    assert figures == pytest.approx([100 * 0.75 * 0.75] * 2)


@pytest.mark.parametrize(
    ("truth", "predicted", "expected"),
    [
        pytest.param([person(1, 100)], [person(7, 115)], [True], id="half a head away counts"),
        pytest.param([person(1, 100)], [person(7, 115.001)], [False], id="more does not"),
        pytest.param(
            [person(1, 100)], [person(7, 110), person(8, 100)], [True, False], id="equally many right: the first"
        ),
        pytest.param(
            [person(1, 100)],
            [person(7, 100, only=LIMBS), person(8, 110)],
            [True],
            id="a larger share is better than a shorter distance",
        ),
        pytest.param(
            [person(1, 100), person(2, 110)], [person(7, 110)], [True], id="a pose that fits two goes for the first"
        ),
        pytest.param(
            [person(1, 100, only=["nose"]), person(2, 110)],
            [person(7, 105), person(8, 120, only=["nose"])],
            [True, True],
            id="a poor pose gets who is left, if it went for them",
        ),
        pytest.param(
            [person(1, 100), person(2, 112)],
            [person(7, 100), person(8, 101)],
            [True, False],
            id="nobody chooses a second time",
        ),
        pytest.param([person(1, 100)], [person(7, 300), person(8, 100)], [False, True], id="the other one is nobody"),
        pytest.param([], [person(7)], [], id="a frame whose truth lists nobody does not count"),
        pytest.param([person(1, only=[])], [person(7)], [False], id="one that lists somebody without keypoints does"),
    ],
)
def test_which_pose_is_whose(truth: list[Person], predicted: list[Person], expected: list[bool]) -> None:
    assert labels(truth, predicted) == expected


def test_a_keypoint_without_truth_is_a_false_alarm() -> None:
    assert labels([person(1, 100, only=LIMBS)], [person(7, 100)]) == [False]


def test_keypoints_without_scores_come_last() -> None:
    truth, predicted = [frame([person(1)])], [frame([person(7, score=np.nan), person(8, 400, score=0.1)])]
    measured = measure(truth, predicted)
    assert measured.ranking.num_unscored == 15
    assert ap_figures(measured.ranking)["ap"][-1] == 50


def test_a_head_without_size_is_hit_by_nothing() -> None:
    assert labels([person(1, head_box=(5, 5, 5, 5))], [person(7)]) == [False]
