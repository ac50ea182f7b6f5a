"""Results of networks are computed once, and their times counted each time."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.evaluation.staged import Stage, Walk, write_images
from tracker.evaluation import recording
from tracker.evaluation.recording import Recording
from tracker.flow.still import SceneCut, Stillness
from tracker.pipeline import StageTimes
from tracker.types import Candidates, Detections

STORY = [{1: 100.0, 2: 200.0}, {1: 110.0, 2: 200.0}, {1: 120.0, 2: 200.0}]


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Networks on the story, which alone take time: reading a picture 2 ms."""
    stage = Stage(STORY, box_scores={1: 0.4, 2: 0.8})
    read = recording.read_image

    def read_slowly(path: Path) -> object:
        stage.clock.now_s += 0.002
        return read(path)

    monkeypatch.setattr(recording, "time", SimpleNamespace(perf_counter=stage.clock.perf_counter))
    monkeypatch.setattr(recording, "read_image", read_slowly)
    return stage


@pytest.fixture
def recorded(stage: Stage, tmp_path: Path) -> Recording:
    return Recording(write_images(tmp_path, len(STORY)), stage.networks)


def boxes(*xs: float) -> Candidates:
    detections = Detections(
        np.array([[x - 20, 40, x + 20, 160] for x in xs], np.float32).reshape(-1, 4), np.ones(len(xs), np.float32)
    )
    return Candidates.from_detections(detections)


def spent(times: StageTimes) -> dict[str, float]:
    return {stage: pytest.approx(seconds, abs=1e-9) for stage, seconds in times.busy_s.items()}


@pytest.mark.parametrize(
    ("min_score", "scores"),
    [
        pytest.param(0.5, [0.8], id="the first is too weak"),
        pytest.param(0.4, [0.4, 0.8], id="equality passes"),
        pytest.param(0.9, [], id="nobody"),
    ],
)
def test_detections_are_those_of_that_score_or_more(recorded: Recording, min_score: float, scores: list[float]) -> None:
    assert recorded.detect(0, 0, min_score, StageTimes()).scores.tolist() == pytest.approx(scores)


def test_a_detector_is_asked_once_for_all_scores_and_its_time_counted_each_time(
    recorded: Recording, stage: Stage
) -> None:
    first, second = StageTimes(), StageTimes()
    for number in (0, 1, 2):
        recorded.detect(number, 0, 0.3, first)
    for number in (2, 0):
        recorded.detect(number, 0, 0.7, second)
    assert stage.asked == [0, 1, 2]
    assert spent(first) == {"detect": 0.3, "decode": 0.006}
    assert spent(second) == {"detect": 0.2, "decode": 0.004}


def test_flow_is_computed_once_for_each_pair(recorded: Recording, stage: Stage) -> None:
    for _ in range(2):
        times = StageTimes()
        first, *others = [recorded.motion(number, True, times) for number in range(3)]
        assert first is None
        assert others == [Walk(STORY[0], STORY[1]), Walk(STORY[1], STORY[2])]
        assert spent(times) == {"flow": 0.1}
    assert stage.motions == [(0, 1), (1, 2)]


def test_without_need_of_motion_only_cuts_are_looked_for(recorded: Recording, stage: Stage) -> None:
    for number in range(3):
        motion = recorded.motion(number, False, StageTimes())
        assert motion is None if number == 0 else isinstance(motion, Stillness | SceneCut)
    assert stage.motions == []
    recorded.motion(0, True, StageTimes())
    assert isinstance(recorded.motion(1, True, StageTimes()), Walk)


def test_only_boxes_that_are_new_are_estimated(recorded: Recording, stage: Stage) -> None:
    times = StageTimes()
    recorded.estimate(0, boxes(100, 200), times)
    poses = recorded.estimate(0, boxes(200, 120, 100), times)
    assert [box[0] for _, box in stage.boxes] == [80, 180, 100]
    assert poses.keypoints[:, 0, 0].tolist() == [200, 100, 100]  # of the noses
    assert spent(times) == {"pose": 0.05}
    recorded.estimate(1, boxes(100), times)
    assert [number for number, _ in stage.boxes] == [0, 0, 0, 1]


def test_a_picture_is_read_once_for_all_networks(recorded: Recording, stage: Stage) -> None:
    for number in range(3):
        recorded.detect(number, 0, 0.5, StageTimes())
        recorded.motion(number, True, StageTimes())
        recorded.estimate(number, boxes(100), StageTimes())
    assert stage.clock.now_s == pytest.approx(3 * 0.1 + 2 * 0.05 + 3 * 0.01 + 3 * 0.002)
