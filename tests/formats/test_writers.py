"""What results files hold, and that a file is either whole or clearly partial."""

from __future__ import annotations

import csv
import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from tracker.errors import OutputError, UsageError
from tracker.formats import WRITERS, Header, check_format, open_writer
from tracker.skeletons import COCO_17
from tracker.types import Frame, Origin, Poses, TrackedPoses

HEADER = Header(COCO_17, "clip.mp4", (64, 48), 29.97, {"flow": "dis"})


def frame(index: int) -> Frame:
    return Frame(index, index / 29.97, np.zeros((48, 64, 3), np.uint8))


def two_people() -> TrackedPoses:
    keypoints = np.arange(68, dtype=np.float32).reshape(2, 17, 2) + np.float32(0.125)
    scores = np.full((2, 17), 0.5, np.float32)
    keypoints[1, 3], scores[1, 3] = np.nan, 0
    poses = Poses(
        keypoints=keypoints,
        scores=scores,
        boxes=np.array([[0, 1, 20, 40], [30, 1, 50, 40.256]], np.float32),
        box_scores=np.array([0.9, 0.8], np.float32),
        origin=np.array([Origin.DETECTED, Origin.PROPAGATED], np.int8),
    )
    return TrackedPoses(poses, np.array([3, 8]), np.array([np.nan, 0.75], np.float32), np.array([False, True]))


def write(path: Path) -> None:
    with open_writer(path, HEADER) as writer:
        writer.write(frame(0), two_people())
        writer.write(frame(1), TrackedPoses.empty(17))


def test_jsonl_has_a_header_and_a_line_per_frame(tmp_path: Path) -> None:
    write(tmp_path / "out.jsonl")
    header, first, second = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert header == {
        "format": "pose-tracker/1",
        "skeleton": "coco17",
        "keypoint_names": list(COCO_17.keypoint_names),
        "source": "clip.mp4",
        "size": [64, 48],
        "fps": 29.97,
        "settings": {"flow": "dis"},
    }
    assert second == {"frame": 1, "time_s": 0.033367, "people": []}
    new, carried = first["people"]
    assert set(new) == {"track_id", "confirmed", "box", "score", "origin", "similarity", "keypoints"}
    assert (new["track_id"], new["confirmed"], new["origin"], new["similarity"]) == (
        3,
        False,
        "detected",
        None,
    )
    assert (carried["track_id"], carried["origin"], carried["similarity"]) == (8, "propagated", 0.75)
    assert new["score"] == 0.45
    assert new["keypoints"][0] == [0.12, 1.12, 0.5]
    assert carried["keypoints"][3] == [None, None, 0]
    assert carried["box"] == [30.0, 1.0, 50.0, 40.26]


def test_csv_has_a_row_per_person_and_frame(tmp_path: Path) -> None:
    write(tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["track_id"] for row in rows] == ["3", "8"]
    assert rows[0]["similarity"] == ""
    assert rows[0]["confirmed"] == "false"
    assert rows[1]["origin"] == "propagated"
    assert (rows[1]["left_ear_x"], rows[1]["left_ear_score"]) == ("", "0.0000")
    assert (rows[0]["nose_x"], rows[0]["nose_y"], rows[0]["nose_score"]) == ("0.12", "1.12", "0.5000")
    assert len(rows[0]) == 11 + 3 * 17


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_file_is_whole_or_partial(tmp_path: Path, suffix: str) -> None:
    path, partial = tmp_path / f"out{suffix}", tmp_path / f"out.partial{suffix}"
    path.write_text("old")
    with suppress(KeyError), open_writer(path, HEADER) as writer:
        writer.write(frame(0), two_people())
        # every frame is on disk at once: what kill -9 leaves is readable
        assert len(partial.read_text().splitlines()) >= 2
        raise KeyError
    assert path.read_text() == "old"
    assert partial.exists()
    write(path)
    assert path.read_text() != "old"
    assert not partial.exists()


def test_a_file_that_cannot_be_opened_gets_one_line(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "missing" / "out.csv", HEADER)
    with pytest.raises(OutputError, match="No such file or directory"), writer:
        writer.write(frame(0), two_people())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
@pytest.mark.parametrize("suffix", WRITERS)
def test_a_full_disk_gets_one_line(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"out.partial{suffix}").symlink_to("/dev/full")
    writer = open_writer(tmp_path / f"out{suffix}", HEADER)
    with pytest.raises(OutputError, match="No space left"), writer:
        writer.write(frame(0), two_people())


def test_a_run_that_fails_before_its_first_frame_leaves_nothing(tmp_path: Path) -> None:
    with suppress(KeyError), open_writer(tmp_path / "out.csv", HEADER):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_suffix_says_what_is_known() -> None:
    with pytest.raises(UsageError, match=r"\.jsonl, \.csv"):
        check_format(Path("out.xml"))
    check_format(Path("OUT.CSV"))
