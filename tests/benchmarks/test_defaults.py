import argparse
import gzip
import json

import numpy as np
import pytest

from tests.benchmarks import defaults
from tests.evaluation.staged import true_sequence
from tracker.evaluation.posetrack.measure import Timeline
from tracker.skeletons import POSETRACK_17
from tracker.tracking.config import TrackerConfig
from tracker.types import Poses, TrackedPoses


def timeline(*held):
    """held: (frame, person, id) of the holder."""
    frames, people, holders = np.array(held).T
    return Timeline(people, frames, holders, int(frames.max()) + 1)


@pytest.mark.parametrize(
    ("held", "num_switches"),
    [
        ([(0, 1, 5), (1, 1, 5)], 0),  # the same id
        ([(0, 1, 5), (1, 1, 6)], 1),  # another one
        ([(0, 1, 5), (1, 1, -1), (2, 1, 5)], 0),  # the same after a gap
        ([(0, 1, 5), (1, 1, -1), (2, 1, 6)], 1),  # another one after a gap
        ([(0, 1, 5), (0, 2, 6), (1, 1, 6), (1, 2, 5)], 2),  # two people swap
        ([(0, 1, 5), (1, 2, 6)], 0),  # different people
        ([(0, 1, -1)], 0),  # never found
    ],
)
def test_switches_of_a_person(held, num_switches):
    assert defaults.count_person_switches(timeline(*held)) == num_switches


def people(places, confirmed):
    """Track ids where they are, as `true_sequence` would have them."""
    frame = true_sequence([places]).frames[0]
    keypoints = frame.keypoints.astype(np.float32)
    n = len(frame)
    poses = Poses(
        keypoints,
        np.where(np.isnan(keypoints[..., 0]), 0, 1).astype(np.float32),
        np.tile(np.array([0, 0, 40, 110], np.float32), (n, 1)),
        np.ones(n, np.float32),
        np.zeros(n, np.int8),
    )
    return TrackedPoses(poses, frame.track_ids, np.full(n, np.nan, np.float32), np.full(n, confirmed))


def test_tally_of_a_story():
    truth = true_sequence([{1: 100, 2: 300}, {}, {1: 100, 2: 300}])
    tracked = [
        people({7: 100, 8: 300, 9: 500}, confirmed=False),  # a false person, who is not confirmed yet
        people({7: 100, 9: 500}, confirmed=True),
        people({7: 100, 5: 300}, confirmed=True),
    ]
    found = defaults.tally(truth, tracked, 0.4)
    assert found.switches == 1  # from 8 to 5
    assert found.false_people == 1  # 9
    assert (found.num_confirmed, found.num_people) == (2, 4)
    # 15 keypoints each: 60 true ones, 15 false ones where the truth lists somebody, and 15 switches.
    assert found.mot.num_objects.sum() == 60
    assert found.figures() == pytest.approx((50.0, 1, 1, 50.0))
    assert (found + found).figures() == pytest.approx((50.0, 2, 2, 50.0))


def test_settings_differ_from_the_defaults_in_one_value_each():
    settings = defaults._settings(["gate", "queue_length"], ["queue_length=4", "gate=0.3"])
    assert settings.pop("defaults") == TrackerConfig()
    assert settings.pop("queue_length=4 gate=0.3") == TrackerConfig(queue_length=4, gate=0.3)
    assert len(settings) == len(defaults.VALUES["gate"]) + len(defaults.VALUES["queue_length"]) - 2
    assert TrackerConfig() not in settings.values()


def test_table_of_tracks(tmp_path, capsys):
    sequences = []
    for name in ("000002_bonn_train", "000003_bonn_train", "000004_bonn_train", "000005_bonn_train"):
        truth = true_sequence([{1: 100 + number} for number in range(8)])
        records = [
            {
                "id": number, "image_id": frame.image_id, "track_id": 1, "category_id": 1, "bbox_head": [0, 0, 24, 32],
                "keypoints": np.nan_to_num(np.append(frame.keypoints[0], np.ones((17, 1)), axis=1)).ravel().tolist(),
            }
            for number, frame in enumerate(truth.frames)
        ]  # fmt: skip
        images = [{"id": frame.image_id, "file_name": frame.name, "is_labeled": True} for frame in truth.frames]
        sequences.append({"name": name, "images": images, "annotations": records})
    category = {"name": "person", "id": 1, "keypoints": POSETRACK_17.keypoint_names}
    path = tmp_path / "tracks.json.gz"
    path.write_bytes(gzip.compress(json.dumps({"categories": [category], "sequences": sequences}).encode()))

    args = argparse.Namespace(tracks=path, least_frames=8, cover_frames=12)
    defaults.compare_on_tracks(args, defaults._settings(["min_hits"], []), range(2))
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split(" | ") for line in lines if line.startswith("| ")]
    assert [row[0] for row in rows] == ["| setting", "| defaults", "| min_hits 1", "| min_hits 2", "| min_hits 5"]
    assert {len(row) for row in rows} == {9}
    assert rows[4][4].startswith("-")  # who must be seen five times is confirmed later
