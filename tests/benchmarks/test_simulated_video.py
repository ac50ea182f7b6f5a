import gzip
import json
from dataclasses import replace

import numpy as np
import pytest

from tests.benchmarks.simulated_video import (
    Errors,
    SimulatedVideo,
    Tracks,
    compare,
    count_changes,
    count_matched,
    read_tracks,
    track,
    with_true_ids,
)
from tests.benchmarks.stitching import count_in_video
from tests.evaluation.staged import true_sequence
from tracker.boxes import boxes_around
from tracker.skeletons import POSETRACK_17
from tracker.tracking.config import TrackerConfig
from tracker.types import Candidates

NEVER = (0.0, 1.0)
NONE = Errors(
    keypoint_std=0,
    wrong_std=0,
    seen_score=(0.9, 0),
    miss_rate=0,
    miss_run=NEVER,
    cover_run=NEVER,
    box_std=(0, 0, 0, 0),
    box_margins=(0, 0, 0, 0),
    phantom_rate=0,
    flow_std=(0, 0),
)
TWO = [{1: 100 + 3 * number, 2: 500 - 3 * number} for number in range(20)]


def video(errors=NONE, seed=0, story=TWO, hidden=()):
    """hidden: names of keypoints of the first person."""
    truth = true_sequence(story)
    masks = {frame.image_id: np.zeros((len(frame), 17), bool) for frame in truth.frames}
    for frame in truth.frames:
        for name in hidden:
            masks[frame.image_id][0, POSETRACK_17.index(name)] = True
    return SimulatedVideo(truth, masks, (640, 360), seed, errors)


def poses_of(one, number):
    return one.estimate(number, Candidates.from_detections(one.detect(number)))


def test_without_errors_all_is_seen_as_it_is():
    one = video()
    for number, frame in enumerate(one.truth.frames):
        poses = poses_of(one, number)
        order = np.argsort(poses.boxes[:, 0])
        np.testing.assert_array_equal(poses.boxes[order], boxes_around(frame.keypoints.astype(np.float32)))
        np.testing.assert_array_equal(poses.keypoints[order], frame.keypoints.astype(np.float32))
        assert (poses.scores == np.where(np.isnan(poses.keypoints[..., 0]), 0, np.float32(0.9))).all()


def test_without_errors_ids_stay_whatever_the_threshold(capsys):
    truth = true_sequence(TWO)
    compare([Tracks(truth, {frame.image_id: np.zeros((len(frame), 17), bool) for frame in truth.frames})], 0, NONE)
    rows = [line.split(" | ")[2:4] for line in capsys.readouterr().out.splitlines()[2:-2]]
    assert len(rows) > 20
    assert [row for row in rows if row != ["100.0", "       0"]] == []


@pytest.mark.parametrize(("forget_after_s", "num_changes"), [(6.0, 0), (0.0, 1)])
def test_the_id_changes_of_who_was_hidden_for_longer_than_they_are_remembered(forget_after_s, num_changes):
    story = [{1: 100} if 5 <= number < 16 else {1: 100, 2: 500} for number in range(20)]
    config = TrackerConfig(forget_after_s=forget_after_s).settled()
    one = video(story=story)
    found = track(one, config)
    assert count_changes(one, found) == num_changes
    assert count_matched(one.truth, found, config) == (num_changes, 15 * num_changes)
    assert count_matched(one.truth, with_true_ids(one, found), config) == (0, 0)


@pytest.mark.parametrize(("length", "changes"), [(11, [1, 0, 0]), (60, [1, 1, 0])])
def test_stitching_mends_what_is_no_longer_ago_than_it_looks(length, changes):
    story = [{1: 100} if 5 <= number < 5 + length else {1: 100, 2: 500} for number in range(15 + length)]
    assert count_in_video(video(story=story), TrackerConfig(forget_after_s=0).settled()) == changes


def test_true_ids_are_of_whom_a_pose_is_and_never_two_in_a_frame():
    one = video()
    found = track(one, TrackerConfig().settled())
    keypoints = found.frames[0].keypoints
    poses = np.stack([keypoints[1], keypoints[1], keypoints[0] + 9])
    frame = replace(found.frames[0], keypoints=poses, track_ids=np.array([7, 8, 9]))
    [true] = with_true_ids(one, replace(found, frames=(frame,))).frames
    assert true.track_ids.tolist() == [one.owner(0, keypoints[1]), -9, -10]


def test_tracks_are_read_with_what_is_occluded_and_a_head_box(tmp_path):
    names = list(reversed(POSETRACK_17.keypoint_names))
    person = {"track_id": 4, "category_id": 1, "bbox_head": [], "occluded": [0] * 16 + [1]}
    keypoints = np.array([(10.0 * place, 5, 1) for place in range(17)])
    inner = np.where((np.abs(np.arange(17) - 8) < 7)[:, np.newaxis], keypoints, 0)
    annotations = [
        person | {"id": 1, "image_id": 7, "keypoints": keypoints.ravel().tolist()},
        person | {"id": 2, "image_id": 7, "keypoints": keypoints.ravel().tolist(), "track_id": 5},
        person | {"id": 3, "image_id": 8, "keypoints": inner.ravel().tolist()},
    ]
    annotations[1]["bbox_head"] = [0, 0, 30, 40]
    images = [{"id": number, "file_name": f"{number}.jpg", "is_labeled": True} for number in (7, 8, 9)]
    sequence = {"name": "000002_bonn_train", "images": images, "annotations": annotations}
    content = {"categories": [{"name": "person", "id": 1, "keypoints": names}], "sequences": [sequence]}
    path = tmp_path / "tracks.json.gz"
    path.write_bytes(gzip.compress(json.dumps(content).encode()))

    [(truth, hidden)] = read_tracks(path)
    assert truth.name == "000002_bonn_train"
    assert [len(frame) for frame in truth.frames] == [2, 1, 0]
    # The last of the names in the file is the nose, the first of POSETRACK_17.
    np.testing.assert_array_equal(hidden[7], [[True] + [False] * 16] * 2)
    diagonals = [np.hypot(*(frame.head_boxes[:, 2:] - frame.head_boxes[:, :2]).T) for frame in truth.frames]
    np.testing.assert_allclose(diagonals[0], [12.5, 50])  # neck and head top are 10 px apart; as stated
    np.testing.assert_allclose(diagonals[1], [0.22 * 120])  # no head top: by the longer side

    single = tmp_path / "000003_bonn_test.json"
    single.write_text(json.dumps({"categories": content["categories"], "images": images, "annotations": annotations}))
    [(alone, _)] = read_tracks(single)
    assert alone.name == "000003_bonn_test"
    np.testing.assert_array_equal(alone.frames[0].keypoints, truth.frames[0].keypoints)
