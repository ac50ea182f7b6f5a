"""Threads run ahead, carry errors, and end; stages do what the settings say."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pytest

from tracker.errors import UsageError
from tracker.flow import DenseFlow, SparseFlow
from tracker.pace import SPEEDS, Speed
from tracker.pipeline import Pipeline, StageTimes, build_pipeline, run_ahead, run_just_ahead
from tracker.scenes.playback import SceneNetworks
from tracker.scenes.rendering import render_scene
from tracker.skeletons import COCO_17
from tracker.tracking.config import TrackerConfig
from tracker.types import Candidates, Detections, Frame, Image, MovedPoints, Origin, Planes, Poses


def count(limit: int, closed: list[str] | None = None) -> Generator[int]:
    try:
        yield from range(limit)
    finally:
        if closed is not None:
            closed.append(threading.current_thread().name)


def running() -> int:
    return sum(thread.name == "run-ahead" for thread in threading.enumerate())


@pytest.mark.parametrize("depth", [1, 3, 100])
def test_run_ahead_keeps_order_and_ends(depth: int) -> None:
    assert list(run_ahead(count(20), depth)) == list(range(20))
    assert running() == 0


def test_run_ahead_runs_no_further_than_its_depth() -> None:
    made: list[int] = []

    def making() -> Generator[int]:
        for number in range(50):
            made.append(number)
            yield number

    ahead = run_ahead(making(), depth=2)
    assert next(ahead) == 0
    ahead.close()
    # one taken, two waiting, one in the maker's hand, and one more made before it saw the stop
    assert len(made) <= 5


def test_run_ahead_raises_what_the_maker_raised_after_the_items_before_it() -> None:
    def failing() -> Generator[int]:
        yield 1
        raise RuntimeError("broken stage")

    ahead = run_ahead(failing(), depth=4)
    assert next(ahead) == 1
    with pytest.raises(RuntimeError, match="broken stage"):
        next(ahead)
    assert running() == 0


def test_closing_a_chain_closes_every_generator_in_its_own_thread() -> None:
    closed: list[str] = []
    inner = run_ahead(count(10**9, closed), depth=1)

    def outer() -> Generator[int]:
        try:
            yield from inner
        finally:
            inner.close()

    chain = run_ahead(outer(), depth=1)
    next(chain)
    chain.close()
    assert closed == ["run-ahead"]
    assert running() == 0


def test_live_items_are_begun_so_that_they_are_ready_just_in_time() -> None:
    begun_s: list[float] = []

    def making() -> Generator[int]:
        for number in range(10**9):
            begun_s.append(time.monotonic())
            yield number

    ahead = run_just_ahead(making())
    ages_s = []
    for number in islice(ahead, 12):
        ages_s.append(time.monotonic() - begun_s[number])
        time.sleep(0.2)
    ahead.close()
    assert np.median(ages_s[2:]) < 0.1  # of one begun as the last one was taken it would be 0.2
    assert running() == 0


def test_stage_times_add_up() -> None:
    times = StageTimes()
    assert list(times.measure_each("decode", [1, 2])) == [1, 2]
    first = times.busy_s["decode"]
    with times.measure("decode"):
        pass
    assert times.busy_s["decode"] >= first > 0


class OnePerson:
    """A detector that finds the same box in every picture and notes how it was called."""

    name = engine = "test"
    note = None

    def __init__(self) -> None:
        self.batches: list[int] = []

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        self.batches.append(len(images))
        box = np.array([[10, 10, 50, 90]], np.float32)
        return [Detections(box, np.array([0.9], np.float32)) for _ in images]


class BoxPoses:
    """An estimator that spreads the keypoints over the box and notes how many boxes it was given."""

    name = engine = "test"
    note = None
    skeleton = COCO_17

    def __init__(self, fail_at: int | None = None) -> None:
        self.calls: list[int] = []
        self.fail_at = fail_at

    def estimate(self, image: Image, candidates: Candidates) -> Poses:
        if len(self.calls) == self.fail_at:
            raise RuntimeError("estimator broke")
        self.calls.append(len(candidates))
        steps = np.linspace(0.1, 0.9, 17, dtype=np.float32)[None, :, None]
        low, high = candidates.boxes[:, None, :2], candidates.boxes[:, None, 2:]
        scores = np.full((len(candidates), 17), 0.8, np.float32)
        return Poses.in_boxes(candidates, low + (high - low) * steps, scores)


class SeesEverybody:
    """Finds the same two people in every picture, the second one only in some, and notes how it was called."""

    name = engine = "test"
    note = None
    skeleton = COCO_17

    def __init__(self, missed: Sequence[int] = ()) -> None:
        self.batches: list[int] = []
        self._missed = missed

    def find(self, images: Sequence[Image]) -> list[Poses]:
        self.batches.append(len(images))
        boxes = Candidates.from_detections(
            Detections(np.array([[10, 10, 50, 90], [55, 10, 95, 90]], np.float32), np.full(2, 0.9, np.float32))
        )
        both = BoxPoses().estimate(images[0], boxes)
        return [both[:1] if int(image[0, 0, 0]) in self._missed else both for image in images]


class StandingStill:
    """A flow that moves nothing, with a cut before the frame of that number."""

    def __init__(self, cut_at: int | None = None) -> None:
        self.cut_at = cut_at
        self.planes: list[Planes | None] = []

    def prepare(self, image: Image, planes: Planes | None = None) -> int:
        self.planes.append(planes)
        return int(image[0, 0, 0])

    def between(self, previous: int, current: int) -> StandingStill:
        step = StandingStill()
        step.is_cut = current == self.cut_at
        return step

    is_cut = False

    def move(self, points: np.ndarray) -> MovedPoints:
        return MovedPoints(points, ~np.isnan(points[:, 0]))


def frames(number: int) -> Generator[Frame]:
    for index in range(number):
        yield Frame(index, index / 25, np.full((100, 100, 3), index, np.uint8))


def test_frames_come_in_order_with_one_id() -> None:
    pipeline = Pipeline(OnePerson(), BoxPoses(), StandingStill(), detector_batch=4)
    results = list(pipeline.run(frames(10)))
    assert [frame.index for frame, _ in results] == list(range(10))
    assert {tuple(tracked.track_ids) for _, tracked in results} == {(1,)}
    assert set(pipeline.times.busy_s) == {"decode", "detect", "flow", "track", "pose"}
    assert pipeline.detector.batches == [4, 4, 2]


def test_the_flow_sees_the_planes_of_frames_in_true_proportions() -> None:
    plane, halves = np.zeros((100, 100), np.uint8), np.zeros((50, 50), np.uint8)
    planes = Planes(plane, halves, halves, 1, 2, 2, lambda _: plane)
    given = [frame.with_planes(planes) for frame in frames(2)]
    given[1] = replace(given[1], pixel_aspect=1.5).with_planes(planes)
    pipeline = Pipeline(OnePerson(), BoxPoses(), flow := StandingStill())
    for (frame, _), expected in zip(pipeline.run(given), given, strict=True):
        assert frame is expected
    assert flow.planes == [planes, None]


class ImagesAlone(StandingStill):
    """A flow as somebody may write one who knows of no planes."""

    def prepare(self, image: Image) -> int:
        return super().prepare(image)


def test_a_flow_may_take_the_image_alone() -> None:
    plane, halves = np.zeros((100, 100), np.uint8), np.zeros((50, 50), np.uint8)
    planes = Planes(plane, halves, halves, 1, 2, 2, lambda _: plane)
    flow = ImagesAlone()
    pipeline = build_pipeline(detector=OnePerson(), pose_model=BoxPoses(), flow=flow)
    assert len(list(pipeline.run(frame.with_planes(planes) for frame in frames(3)))) == 3
    assert flow.planes == [None] * 3


def test_a_flow_of_native_code_need_not_state_its_parameters() -> None:
    flow = StandingStill()
    flow.prepare = iter
    assert len(list(Pipeline(OnePerson(), BoxPoses(), flow).run(frames(2)))) == 2


def test_an_estimator_that_finds_people_needs_no_detector() -> None:
    finder = SeesEverybody()
    pipeline = Pipeline(None, finder, StandingStill(), detector_batch=4)
    results = list(pipeline.run(frames(10)))
    assert [frame.index for frame, _ in results] == list(range(10))
    assert {tuple(sorted(tracked.track_ids)) for _, tracked in results} == {(1, 2)}
    assert set(pipeline.times.busy_s) == {"decode", "flow", "track", "pose"}
    assert finder.batches == [4, 4, 2]


class SeesTheLeftHalf(OnePerson):
    """A detector that finds somebody as large as the left half, and notes the sizes of the pictures."""

    def __init__(self) -> None:
        self.sizes_wh: list[tuple[int, int]] = []

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        self.sizes_wh += [image.shape[1::-1] for image in images]
        boxes = [
            np.array([[-0.5, -0.5, image.shape[1] / 2 - 0.5, image.shape[0] - 0.5]], np.float32) for image in images
        ]
        return [Detections(box, np.array([0.9], np.float32)) for box in boxes]


def test_networks_see_true_proportions_and_people_are_in_stored_pixels() -> None:
    detector = SeesTheLeftHalf()
    given = [Frame(n, n / 25, np.zeros((60, 90, 3), np.uint8), pixel_aspect=64 / 45) for n in range(5)]
    results = list(Pipeline(detector, BoxPoses(), StandingStill()).run(iter(given)))
    assert detector.sizes_wh == [(128, 60)] * 5
    assert [frame.index for frame, _ in results] == list(range(5))
    for frame, people in results:
        assert frame is given[frame.index]
        np.testing.assert_allclose(people.poses.boxes, [[-0.5, -0.5, 44.5, 59.5]], atol=1e-4)
        assert (people.poses.keypoints[..., 0] < 45).all()


@pytest.mark.parametrize("detector_batch", [1, 2])
def test_detect_every_lets_propagation_carry_people_in_between(detector_batch: int) -> None:
    pipeline = Pipeline(OnePerson(), BoxPoses(), StandingStill(), detect_every=3, detector_batch=detector_batch)
    results = list(pipeline.run(frames(7)))
    assert pipeline.detector.batches == [1, 1, 1]
    assert [tracked.track_ids.tolist() for _, tracked in results] == [[1]] * 7
    assert [int(tracked.poses.origin[0]) for _, tracked in results] == [0, 1, 1, 0, 1, 1, 0]
    # the detector did not look, so the carried score is not held against the person
    assert results[2][1].poses.box_scores[0] == pytest.approx(0.9)


def test_without_propagation_people_are_gone_between_detections() -> None:
    config = TrackerConfig(propagation=False)
    pipeline = Pipeline(OnePerson(), BoxPoses(), StandingStill(), config, detect_every=2)
    assert [len(tracked) for _, tracked in pipeline.run(frames(4))] == [1, 0, 1, 0]


def test_a_cut_gives_new_ids() -> None:
    pipeline = Pipeline(OnePerson(), BoxPoses(), StandingStill(cut_at=3))
    assert [int(tracked.track_ids[0]) for _, tracked in pipeline.run(frames(5))] == [1, 1, 1, 2, 2]


class Unasked(StandingStill):
    """A flow that must not be computed."""

    def between(self, previous: int, current: int) -> StandingStill:
        raise AssertionError


def flat_then_textured(seeds: list[int]) -> Generator[Frame]:
    for index, seed in enumerate(seeds):
        small = np.random.default_rng(seed).integers(0, 255, (10, 10, 3), np.uint8)
        yield Frame(index, index / 25, small.repeat(10, axis=0).repeat(10, axis=1))


@pytest.mark.parametrize("similarity", ["bbox", "pose"])
def test_where_no_setting_uses_the_flow_only_cuts_are_looked_for(similarity: str) -> None:
    config = TrackerConfig(propagation=False, similarity=similarity)
    pipeline = Pipeline(OnePerson(), BoxPoses(), Unasked(), config)
    results = list(pipeline.run(flat_then_textured([1, 1, 2, 2])))
    assert [int(tracked.track_ids[0]) for _, tracked in results] == [1, 1, 2, 2]


def test_each_run_has_fresh_tracker_state() -> None:
    pipeline = Pipeline(OnePerson(), BoxPoses(), StandingStill())
    for _ in range(2):
        assert [int(t.track_ids[0]) for _, t in pipeline.run(frames(2))] == [1, 1]


@pytest.mark.parametrize("is_live", [False, True])
def test_a_run_that_fails_or_is_left_ends_all_its_threads(is_live: bool) -> None:
    done = Pipeline(OnePerson(), BoxPoses(fail_at=2), StandingStill()).run(frames(10**6), is_live=is_live)
    assert [next(done)[0].index, next(done)[0].index] == [0, 1]
    with pytest.raises(RuntimeError, match="estimator broke"):
        next(done)
    assert running() == 0
    left = Pipeline(OnePerson(), BoxPoses(), StandingStill()).run(frames(10**6), is_live=is_live)
    next(left)
    left.close()
    assert running() == 0


@pytest.mark.parametrize("detector_batch", [1, 2])
def test_of_a_live_source_few_frames_are_under_way(detector_batch: int) -> None:
    taken: list[int] = []

    def camera() -> Generator[Frame]:
        for frame in frames(60):
            taken.append(frame.index)
            yield frame

    pipeline = Pipeline(OnePerson(), BoxPoses(), StandingStill(), detector_batch=detector_batch)
    delivered = 0
    for frame, _ in pipeline.run(camera(), is_live=True):
        delivered += 1
        assert frame.index == delivered - 1
        # at most: a batch in the detector's hands, one that waits, and one that was just delivered
        assert len(taken) <= delivered + 1 + detector_batch
    assert delivered == 60
    assert running() == 0


def walk(speed: str, **options: Any) -> list[tuple[list[int], list[int], list[float]]]:
    """Ids, origins and scores of the people in each frame of a drawn scene."""
    networks = SceneNetworks()
    pipeline = networks.pipeline("dis", TrackerConfig(), pace=SPEEDS[speed])
    scene = networks.watch(render_scene("crossing", (320, 180), 24))
    return [
        (people.track_ids.tolist(), people.poses.origin.tolist(), people.poses.scores.sum(axis=1).round(4).tolist())
        for _, people in pipeline.run(scene, **options)
    ]


@pytest.mark.parametrize("speed", SPEEDS)
def test_one_by_one_gives_the_same_as_threads(speed: str) -> None:
    one_by_one = walk(speed, one_by_one=True)
    assert one_by_one == walk(speed)
    assert {track_id for ids, _, _ in one_by_one for track_id in ids} == {1, 2}
    origins = {origin for _, of_frame, _ in one_by_one for origin in of_frame}
    assert (Origin.CARRIED in origins) == (speed != "exact")


@pytest.mark.parametrize("setting", ["detect_every", "detector_batch"])
@pytest.mark.parametrize("value", [0, 2.5, "2", None])
def test_what_is_no_number_from_one_on_is_refused(setting: str, value: Any) -> None:
    with pytest.raises(ValueError, match="whole numbers of 1 or more"):
        Pipeline(OnePerson(), BoxPoses(), StandingStill(), **{setting: value})


def test_settings_in_a_table_are_no_config() -> None:
    with pytest.raises(ValueError, match="config must be a TrackerConfig"):
        Pipeline(OnePerson(), BoxPoses(), StandingStill(), {"gate": 0.2})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine": "openVINO"}, "unknown engine 'openVINO'; known: auto, "),
        ({"flow": None}, "flow must be dis, lk, none, or an object that has `prepare` and `between`, not None"),
        ({"flow": StandingStill().prepare}, "flow must be dis, lk, none, or an object that has"),
        ({"detector": 3}, "detector must be a file, a name, or an object that has `detect`, not 3"),
        ({"pose_model": [1]}, r"pose_model must be a file, a name, or an object that has `estimate`, not \[1\]"),
        ({"config": {}}, r"config must be a TrackerConfig, such as TrackerConfig\(gate=0\.2\), not {}"),
        ({"grouping": "skeleton"}, "grouping must be a GroupingConfig, not 'skeleton'"),
        ({"speed": ["fast"]}, r"unknown speed \['fast'\]; known: exact, balanced, fast"),
        ({"people": "2"}, "people must be a whole number of 1 or more, not '2'"),
        ({"people": 1.5}, "people must be a whole number of 1 or more, not 1.5"),
        ({"detector_size": "320"}, "detector_size must be a number, not '320'"),
        ({"detector_score": None}, "detector_score must be a number, not None"),
        ({"num_threads": 2.5}, "num_threads must be a whole number, not 2.5"),
    ],
)
def test_what_makes_no_pipeline_is_refused(settings: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_pipeline(**settings)


def test_a_device_is_a_name() -> None:
    with pytest.raises(UsageError, match="there is no device 0; use auto, cpu, cuda or cuda:N"):
        build_pipeline(device=0)


@pytest.mark.parametrize("given", ["clip.mp4", [np.zeros((4, 4, 3), np.uint8)]])
def test_only_frames_are_tracked(given: Any) -> None:
    pipeline = Pipeline(OnePerson(), BoxPoses(), StandingStill())
    with pytest.raises(ValueError, match=r"frames must be `Frame`s, as `open_source` gives them, not (str|ndarray)"):
        list(pipeline.run(given))


@pytest.mark.parametrize(("speed", "side"), [("exact", 384), ("balanced", 320), ("fast", 320)])
def test_the_quicker_speeds_see_the_flow_smaller(speed: Speed, side: int) -> None:
    assert build_pipeline(speed=speed, device="cpu").flow == DenseFlow(side)
    assert build_pipeline(speed=speed, device="cpu", flow="lk").flow == SparseFlow()


def test_an_estimator_in_boxes_needs_a_detector() -> None:
    with pytest.raises(ValueError, match="needs a detector"):
        list(Pipeline(None, BoxPoses(), StandingStill()).run(frames(1)))
