"""The figures of made-up crowds: what changes nothing, what perfection gives, JSON and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.evaluation.posetrack.people import crowd, frame, measure, person, sequence
from tracker.evaluation.posetrack.measure import MeasuredSequence, measure_sequence, note_on_scores
from tracker.evaluation.posetrack.summary import (
    as_json,
    sequence_table,
    summarise_all,
    summarise_sequence,
    total_table,
)
from tracker.formats.posetrack import PoseTrackFrame

SEEDS = range(3)
ROWS = ("track_ids", "keypoints", "visibilities", "scores", "pose_scores", "boxes", "head_boxes", "has_points")


def figures(*measured: MeasuredSequence) -> Any:
    return as_json(measured, summarise_all(measured))


def flat(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {key: leaf for name, item in value.items() for key, leaf in flat(item, f"{path}/{name}").items()}
    if isinstance(value, list):
        return {key: leaf for row, item in enumerate(value) for key, leaf in flat(item, f"{path}/{row}").items()}
    return {path: value}


def assert_same(first: Any, second: Any) -> None:
    first, second = flat(first), flat(second)
    assert first.keys() == second.keys()
    differing = {
        key: (value, second[key])
        for key, value in first.items()
        if value != second[key] and not (isinstance(value, float) and value == pytest.approx(second[key], abs=1e-9))
    }
    assert differing == {}


def shuffle_people(one: PoseTrackFrame, rng: np.random.Generator) -> PoseTrackFrame:
    order = rng.permutation(len(one))
    return replace(one, **{name: getattr(one, name)[order] for name in ROWS})


@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_of_people_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pair = crowd(seed)
    shuffled = (replace(part, frames=tuple(shuffle_people(one, rng) for one in part.frames)) for part in pair)
    assert_same(figures(measure_sequence(*pair)), figures(measure_sequence(*shuffled)))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_of_predicted_images_changes_nothing_but_the_note(seed: int) -> None:
    truth, predicted = crowd(seed)
    backwards = measure_sequence(truth, replace(predicted, frames=predicted.frames[::-1]))
    assert backwards.note is not None
    assert_same(figures(measure_sequence(truth, predicted)), figures(backwards))


@pytest.mark.parametrize("seed", SEEDS)
def test_other_track_ids_change_nothing(seed: int) -> None:
    truth, predicted = crowd(seed)
    renamed = (
        replace(part, frames=tuple(replace(one, track_ids=997 - 3 * one.track_ids) for one in part.frames))
        for part in (truth, predicted)
    )
    assert_same(figures(measure_sequence(truth, predicted)), figures(measure_sequence(*renamed)))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_truth_is_perfect(seed: int) -> None:
    truth = crowd(seed)[0]
    total = summarise_all([measure_sequence(truth, truth)])
    for table in (total.ap, total.ap21, total.mot, total.every_person):
        assert all(values == pytest.approx(100) for values in table.values())
    assert all(table == pytest.approx(1) for table in total.hota.values())


def test_a_sequence_without_predictions() -> None:
    """Counted as poseval counts it: a miss, a false alarm and an object for each frame but the last."""
    truth = crowd(0)[0]
    nobody = replace(truth, frames=tuple(frame(number=number) for number in range(len(truth.frames))))
    found = figures(measure_sequence(truth, nobody))
    assert found["poseval"]["total"]["ap"]["ap"] == [0] * 16
    assert found["poseval"]["total"]["mot"]["mota"] == [-100] * 16
    assert found["every_person_counted"]["total"]["mota"] == [0] * 16
    assert found["poseval_counts"]["total"][0] == {
        "num_objects": 5, "num_detections": 0, "num_misses": 5, "num_false_positives": 5, "num_switches": 0,
        "sum_dist_matched": 0,
    }  # fmt: skip
    assert found["posetrack21"]["frame_flags_before_ignore_regions"][truth.name] == {
        "labeled_frames_without_gt": 0,
        "labeled_frames_without_prediction": 6,
    }


def test_tables() -> None:
    """Aligned, so that they can be read in a terminal."""
    measured = [measure_sequence(*crowd(seed)) for seed in SEEDS]
    total = summarise_all(measured)
    lines = total_table(total).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert cells(lines[0]) == ["", "Head", "Shou", "Elb", "Wri", "Hip", "Knee", "Ankl", "Total", "MOTP", "Prec", "Rec"]
    rows = {row[0]: row[1:] for row in map(cells, lines[2:])}
    assert rows["MOTA"][7:] == [f"{total.mot[name][-1]:.1f}" for name in ("mota", "motp", "pre", "rec")]
    assert rows["AP"][7:] == [
        f"{total.ap['ap'][-1]:.1f}",
        "–",
        *(f"{total.ap[name][-1]:.1f}" for name in ("pre", "rec")),
    ]
    assert rows["MOTA, every person counted"][7] == f"{total.every_person['mota'][-1]:.1f}"
    assert rows["HOTA (PoseTrack21)"][7:] == [f"{100 * total.hota['HOTA'][:, -1].mean():.1f}", "–", "–", "–"]
    per_sequence = sequence_table([summarise_sequence(one) for one in measured]).splitlines()
    assert len({len(line) for line in per_sequence}) == 1
    assert [cells(line)[0] for line in per_sequence[2:]] == [one.name for one in measured]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("|")[1:-1]]


@pytest.mark.parametrize(
    ("scores", "note"),
    [
        pytest.param([0.5, 0.5], None, id="all have some"),
        pytest.param([0.5, np.nan], "15 of 30 predicted keypoints have no score", id="some have none"),
        pytest.param([np.nan, np.nan], "30 of 30 predicted", id="none has any"),
        pytest.param([], None, id="nobody"),
    ],
)
def test_missing_scores_are_noted(scores: Sequence[float], note: str | None) -> None:
    people = [person(7 + row, 100 + row, score=score) for row, score in enumerate(scores)]
    found = note_on_scores([measure([frame([person(1)])], [frame(people)])])
    assert found is None if note is None else note in str(found)


@pytest.mark.parametrize(
    ("predicted", "holders"),
    [
        pytest.param([person(7)], [7], id="one"),
        pytest.param([person(7, 300)], [-1], id="nobody"),
        pytest.param(
            [person(7, only=["nose"]), person(8, 101, only=["left_hip", "right_hip"])], [8], id="most keypoints"
        ),
        pytest.param([person(8, only=["nose"]), person(7, only=["left_hip"])], [7], id="of equals the lowest id"),
    ],
)
def test_who_has_a_person(predicted: list[Any], holders: list[int]) -> None:
    timeline = measure([frame([person(1)])], [frame(predicted)]).timeline
    assert timeline.holders.tolist() == holders
    assert (timeline.track_ids.tolist(), timeline.frames.tolist(), timeline.num_frames) == ([1], [0], 1)


@pytest.mark.parametrize(
    ("score", "recall"),
    [
        pytest.param(0.5, 100, id="equality passes"),
        pytest.param(0.499, 0, id="weak"),
        pytest.param(np.nan, 100, id="unknown"),
    ],
)
def test_what_a_weak_keypoint_is(score: float, recall: float) -> None:
    frames = [frame([person(1, score=score)], number=number) for number in range(2)]
    measured = measure_sequence(sequence(frames), sequence(frames), 0.5)
    assert measured.mot.figures()["rec"][-1] == recall
    assert summarise_all([measured]).ap["rec"][-1] == 100
