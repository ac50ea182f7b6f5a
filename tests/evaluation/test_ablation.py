"""Settings on hand-made sequences, with networks that know the story, or parts that know the truth."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.evaluation.posetrack.people import frame, person, sequence
from tests.evaluation.staged import (
    Clock,
    Places,
    Stage,
    recorder,
    staged,
    true_frame,
    true_person,
    true_sequence,
    write_images,
)
from tracker import pipeline
from tracker.evaluation import recording
from tracker.evaluation.ablation import (
    Ablation,
    Outcome,
    Setting,
    true_candidates,
    true_ids,
    true_poses,
)
from tracker.evaluation.posetrack.measure import measure_sequence
from tracker.evaluation.posetrack.summary import by_group, mot_columns, summarise_all
from tracker.formats.posetrack import read_posetrack
from tracker.formats.posetrack_conversion import open_predictions
from tracker.formats.record import Header
from tracker.pipeline import Pipeline
from tracker.skeletons import COCO_17
from tracker.tracking.config import TrackerConfig
from tracker.types import Candidates, Detections
from tracker.video.source import open_images

# Two people who stand, and walk by 5 px a frame, far from each other.
CALM = [{1: 100.0 + 5 * number, 2: 300.0} for number in range(8)]
# Two people who have changed places in the sixth picture, as no flow tells.
SWAPPED = [{1: 100.0, 2: 300.0}] * 5 + [{1: 300.0, 2: 100.0}] * 5
DEFAULT = Setting(TrackerConfig())
ALL_TRUE = replace(DEFAULT, true_boxes=True, true_keypoints=True, true_ids=True)


class Blind(Stage):
    """Networks on the story whose flow sees nothing move."""

    def between(self, previous: int, current: int) -> Any:
        return super().between(previous, previous)


def outcome(folder: Path, stage: Stage, setting: Setting = DEFAULT, story: Sequence[Places] | None = None) -> Outcome:
    """What a setting gives on the networks' own story, or on another one that is true."""
    truth = true_sequence(stage.story if story is None else story)
    return Ablation([staged(folder, truth)], recorder(stage.networks)).run([setting])[setting]


def test_networks_that_are_right_have_all_there_is(tmp_path: Path) -> None:
    result = outcome(tmp_path, Stage(CALM))
    assert set(result.ap.values()) == {100}
    assert {result.mot[name] for name in ("Head", "Ankl", "Total", "Prec", "Rec")} == {100}
    assert result.num_switches == 0


def test_flow_finds_whom_the_detector_misses(tmp_path: Path) -> None:
    stage = Stage(CALM, missed={3: {1}, 4: {1, 2}})
    without = outcome(tmp_path, stage, Setting(TrackerConfig(propagation=False)))
    # seven of the frames count, and the one without predictions as a single miss
    assert without.mot["Rec"] == pytest.approx(100 * 11 / 13)
    assert outcome(tmp_path, stage).mot["Rec"] == 100


@pytest.mark.parametrize(
    ("setting", "switches"),
    [
        pytest.param(DEFAULT, 30, id="the tracker is misled: two people, 15 keypoints each"),
        pytest.param(replace(DEFAULT, true_ids=True), 0, id="the truth is not"),
    ],
)
def test_true_ids_leave_no_switches(tmp_path: Path, setting: Setting, switches: int) -> None:
    result = outcome(tmp_path, Blind(SWAPPED), setting)
    assert result.num_switches == switches
    assert result.mot["Rec"] == 100


def test_true_boxes_find_whom_the_detector_never_finds(tmp_path: Path) -> None:
    stage = Stage(CALM, missed={number: {2} for number in range(8)})
    assert outcome(tmp_path, stage).mot["Rec"] == 50
    assert outcome(tmp_path, stage, replace(DEFAULT, true_boxes=True)).mot["Total"] == 100
    assert outcome(tmp_path, stage, replace(DEFAULT, true_keypoints=True)).mot["Rec"] == 50


def test_true_keypoints_put_a_bad_network_right(tmp_path: Path) -> None:
    stage = Stage(CALM, wrong_px=15)
    assert outcome(tmp_path, stage).mot["Rec"] == 0
    assert outcome(tmp_path, stage, replace(DEFAULT, true_keypoints=True)).mot["Total"] == 100


def test_all_three_true_need_no_network(tmp_path: Path) -> None:
    stage = Stage([{} for _ in SWAPPED], wrong_px=100)
    result = outcome(tmp_path, stage, ALL_TRUE, SWAPPED)
    assert (result.ap["Total"], result.mot["Total"], result.num_switches) == (100, 100, 0)
    assert stage.boxes == []


def test_where_the_truth_is_not_known_networks_are_asked(tmp_path: Path) -> None:
    """Of three images one is labeled and lists nobody, one is not labeled."""
    truth = sequence(
        [true_frame(CALM[0]), true_frame({}, 1), true_frame({}, 2, is_labeled=False), true_frame(CALM[3], 3)]
    )
    stage = Stage(CALM)
    Ablation([staged(tmp_path, truth)], recorder(stage.networks)).run([replace(ALL_TRUE, true_ids=False)])
    assert {number for number, _ in stage.boxes} == {2}


def test_each_result_is_computed_once_whatever_the_settings(tmp_path: Path) -> None:
    stage, other = Stage(CALM, missed={3: {1}}), Stage(CALM, missed={5: {2}})
    settings = [
        Setting(TrackerConfig(similarity=similarity, propagation=propagation), detector)
        for similarity, propagation, detector in itertools.product(("bbox", "multi-flow"), (False, True), (0, 1))
    ]
    settings += [replace(DEFAULT, box_score=0.7), Setting(TrackerConfig(queue_length=1))]
    settings += [replace(DEFAULT, true_boxes=True), replace(DEFAULT, true_keypoints=True), ALL_TRUE]
    networks = replace(stage.networks, detectors=[stage, other])
    ablation = Ablation([staged(tmp_path, true_sequence(CALM))], recorder(networks))
    assert list(ablation.run(settings)) == settings
    assert sorted(stage.asked) == sorted(other.asked) == list(range(8))
    assert len(set(stage.boxes)) == len(stage.boxes)
    assert stage.motions == [(number, number + 1) for number in range(7)]
    ablation.run([replace(DEFAULT, box_score=0.6)])
    assert (len(stage.asked), len(stage.motions)) == (8, 14)  # flow is not kept


def test_sequences_count_together_with_a_fresh_tracker_each(tmp_path: Path) -> None:
    """The second sequence goes on where the first did not: its people are new ones."""
    stories = {"a": SWAPPED, "b": SWAPPED[5:]}
    sequences = [staged(tmp_path / name, true_sequence(story)) for name, story in stories.items()]
    steps: list[None] = []
    result = Ablation(sequences, recorder(Blind(SWAPPED).networks)).run([DEFAULT], lambda: steps.append(None))[DEFAULT]
    assert len(steps) == 2
    # nine frames count of the first and four of the second, in which the networks see the first story
    assert result.num_switches == 30
    assert result.mot["Rec"] == 100


def test_the_figures_are_those_of_prediction_files(tmp_path: Path) -> None:
    """As `track` writes and `evaluate posetrack` measures them."""
    stage = Stage(CALM, missed={4: {1}, 5: {1}, 6: {1, 2}}, wrong_px=5.3)
    stage.story = [{**places, 3: 15.0} for places in CALM]  # somebody across the edge, whom the truth has not
    truth, paths = true_sequence(CALM), write_images(tmp_path / "images", len(CALM))
    file = tmp_path / f"{truth.name}.json"
    frames = open_images("staged", paths, Fraction(25))
    with open_predictions(file, Header(COCO_17), truth) as writer:
        for image, people in Pipeline(stage, stage, stage).run(frames):
            writer.write(image, people)
    total = summarise_all([measure_sequence(truth, read_posetrack(file), 0.4)])
    result = outcome(tmp_path / "images", stage, story=CALM)
    assert result.ap == by_group(total.ap["ap"])
    assert result.mot == mot_columns(total.mot)
    assert 0 < result.ap["Total"] < 100


def test_speed_is_made_up_of_what_the_setting_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    for module in (recording, pipeline):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=clock.perf_counter, thread_time=float))
    stage = Stage(CALM, clock=clock)
    weak = Setting(TrackerConfig(propagation=False, similarity="bbox"))
    ablation = Ablation([staged(tmp_path, true_sequence(CALM))], recorder(stage.networks))
    outcomes = ablation.run([DEFAULT, weak, ALL_TRUE])
    # 100 ms an image, 10 ms a box, of which there are two, and 50 ms for each image but the first
    assert outcomes[DEFAULT].ms == pytest.approx(
        {"detect": 100, "decode": 0, "flow": 50 * 7 / 8, "track": 0, "pose": 20}
    )
    assert outcomes[DEFAULT].fps == pytest.approx(1000 / (120 + 50 * 7 / 8))
    assert outcomes[weak].fps == pytest.approx(1000 / 120)
    assert np.isnan(outcomes[ALL_TRUE].fps)


# --- the truth ---


def candidates(*boxes: Sequence[float]) -> Candidates:
    table = np.array(boxes, np.float32).reshape(-1, 4)
    return Candidates.from_detections(Detections(table, np.full(len(table), 0.7, np.float32)))


def test_true_boxes_are_around_the_keypoints() -> None:
    people = [true_person(1, 100), person(2, 40, 50, only=["nose"]), person(3, only=[])]
    found = true_candidates(frame(people), 1.15)
    # from the top of the head at -52.5 to the ankles at 48, from hand to hand 32 px, and half a pixel beyond
    np.testing.assert_allclose(
        found.boxes,
        [
            [100 - 18.4 - 0.5, 97.75 - 100.5 * 0.575 - 0.5, 100 + 18.4 + 0.5, 97.75 + 100.5 * 0.575 + 0.5],
            [39.5, 49.5, 40.5, 50.5],
        ],
        rtol=1e-5,
    )
    assert found.scores.tolist() == [1, 1]
    assert len(true_candidates(frame(), 1.15)) == 0


def test_the_best_pairs_of_box_and_person_come_together() -> None:
    truth = frame([true_person(1, 100), true_person(2, 112), person(3, only=[])])
    boxes = true_candidates(truth, 1.15).boxes
    # the second is nearer to the first person, whom the first box has already
    wanted = candidates(boxes[0], boxes[0] + 4, [300, 0, 320, 90])
    poses = true_poses(truth, wanted, 1.15)
    np.testing.assert_array_equal(poses.keypoints[:2], truth.keypoints[:2].astype(np.float32))
    assert np.isnan(poses.keypoints[2]).all()
    assert poses.scores.sum(axis=1).tolist() == [15, 15, 0]
    np.testing.assert_array_equal(poses.boxes, wanted.boxes)
    assert poses.box_scores.tolist() == pytest.approx([0.7] * 3)


def test_true_ids_are_those_of_the_people_who_are_met_best() -> None:
    truth = true_frame({11: 100, 12: 120})
    # as near to one as to the other, the neighbour; exactly the second; elsewhere
    found = true_frame({1: 110, 2: 120, 3: 300})
    assert true_ids(truth, found).tolist() == [11, 12, -4]
    assert true_ids(truth, true_frame({})).tolist() == []
    assert true_ids(true_frame({}), found).tolist() == [-2, -3, -4]
