"""The whole tracker on rendered scenes: true poses with noise and misses, the real flows, the real pipeline."""

from __future__ import annotations

from functools import cache

import pytest

from tracker.appearance import TorsoColours
from tracker.evaluation.identities import IdentityCount, count_switches
from tracker.flow import create_flow
from tracker.scenes.hard import HARD
from tracker.scenes.oracle import OracleEstimator
from tracker.scenes.playback import RecordedFlow, track_scene
from tracker.scenes.rendering import SceneFrame, render_scene
from tracker.skeletons import COCO_17
from tracker.tracking.config import SIMILARITIES, TrackerConfig


@cache
def frames_of(scene: str, seed: int) -> list[SceneFrame]:
    return list(render_scene(scene, seed=seed))


@cache
def flow_of(scene: str, flow: str, seed: int) -> RecordedFlow:
    return RecordedFlow(frames_of(scene, seed), create_flow(flow))


@cache
def count(scene: str, flow: str, config: TrackerConfig = TrackerConfig(), seed: int = 0) -> IdentityCount:  # noqa: B008
    oracle = OracleEstimator(seed=seed)
    tracked = track_scene(frames_of(scene, seed), flow_of(scene, flow, seed), config, oracle)
    return count_switches((frame.people, people) for frame, people in tracked)


# scene -> how many id switches are forgiven, and the least share of people found.
EXPECTED = {
    "crossing": (0, 0.98),  # two people cross
    "hidden": (0, 0.9),  # one is hidden for ten frames: those cannot be found
    "fast": (0, 0.9),  # runners move by a twelfth of the picture's height per frame
    "leaving": (0, 0.9),  # one leaves and comes back
    "pan": (0, 0.98),  # the camera pans
    "crowd": (6, 0.85),  # twelve people who cross each other
    "exercise": (0, 0.95),  # boxes are ambiguous, poses are not
    "shake": (0, 0.95),  # poses jump, boxes overlap
}


@pytest.mark.parametrize(
    ("scene", "flow"), [*((scene, "dis") for scene in EXPECTED), ("fast", "lk"), ("pan", "lk"), ("crowd", "lk")]
)
def test_ids_stay_with_people(scene: str, flow: str) -> None:
    switches, found = EXPECTED[scene]
    result = count(scene, flow)
    assert result.num_matched >= found * result.num_people
    assert result.switches <= switches
    if switches == 0:
        assert all(len(ids) == 1 for ids in result.ids.values())
        assert len({ids[0] for ids in result.ids.values()}) == len(result.ids)


@pytest.mark.slow
def test_the_better_the_similarity_the_fewer_the_switches() -> None:
    """In a crowd; in the other scenes either all are right or one has its own, below."""
    switches = {name: count("crowd", "dis", TrackerConfig(similarity=name)).switches for name in SIMILARITIES}
    assert switches["multi-flow"] <= switches["flow"] <= min(switches["pose"], switches["bbox"])
    assert switches["multi-flow"] < min(switches["pose"], switches["bbox"])


@pytest.mark.parametrize(
    ("scene", "better", "worse"),
    [
        ("exercise", "pose", "bbox"),  # two people in one place with different poses
        ("shake", "bbox", "pose"),  # small people, a shaking camera
    ],
)
def test_pose_and_box_similarity_each_have_their_scene(scene: str, better: str, worse: str) -> None:
    switches = {
        name: count(scene, "dis", TrackerConfig(similarity=name, forget_after_s=0)).switches for name in (better, worse)
    }
    assert switches[better] < switches[worse]


@pytest.mark.parametrize("scene", ["crossing", "pan", "crowd"])
def test_propagation_finds_people_whom_the_detector_misses(scene: str) -> None:
    without = count(scene, "dis", TrackerConfig(propagation=False))
    assert count(scene, "dis").num_matched > without.num_matched


@pytest.mark.parametrize(("scene", "fps"), [("hidden", 5), ("leaving", 5), ("leaving", 120)])
def test_a_camera_of_few_and_a_clip_of_many_frames_per_second_are_tracked_alike(scene: str, fps: int) -> None:
    frames = render_scene(scene, (320, 180), round(2.4 * fps), fps=fps)
    tracked = list(track_scene(frames, create_flow("dis"), TrackerConfig(), OracleEstimator()))
    result = count_switches((frame.people, people) for frame, people in tracked)
    assert result.switches == 0
    assert result.num_matched >= 0.9 * result.num_people
    assert all(people.confirmed.all() for _, people in tracked)


@pytest.mark.parametrize("scene", ["hidden", "leaving"])
def test_it_is_the_memory_that_keeps_an_id_over_a_long_absence(scene: str) -> None:
    assert count(scene, "dis", TrackerConfig(forget_after_s=0)).switches > 0


@pytest.mark.parametrize(
    ("scene", "helps"),
    [
        ("unlike", True),  # pairs in unlike clothes meet behind pillars
        ("alike", False),  # likewise in the same clothes
    ],
)
def test_colours_tell_apart_who_wears_other_clothes(scene: str, helps: bool) -> None:
    frames = list(HARD[scene].frames(seed=0))
    flow = RecordedFlow(frames, create_flow("dis"))
    switches = {}
    for looks in (None, TorsoColours(COCO_17)):
        tracked = track_scene(frames, flow, TrackerConfig(), HARD[scene].oracle(seed=0), appearance=looks)
        switches[bool(looks)] = count_switches((frame.people, people) for frame, people in tracked).switches
    assert switches[False] == 2
    assert switches[True] == (0 if helps else 2)
