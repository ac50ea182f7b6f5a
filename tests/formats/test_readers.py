"""Files of others: what is taken, and the one line for what is not."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest

from tests.formats.examples import example, two_people, write_results
from tracker.errors import InputError
from tracker.formats import FORMATS, read_results
from tracker.skeletons import COCO_17, POSETRACK_15
from tracker.types import Origin


def written(folder: Path, name: str) -> Path:
    return write_results(folder / f"out{FORMATS[name].suffix}", example(), name)


def refused(path: Path) -> str:
    """The line for a file that cannot be read."""
    with pytest.raises(InputError) as refusal:
        read_results(path)
    message = str(refusal.value)
    assert "\n" not in message
    assert path.name in message
    return message


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        # JSON lines
        ("jsonl", '"pose-tracker/1"', '"other/1"', "line 1 is no header of the format pose-tracker/1"),
        ("jsonl", '"nose"', '"snout"', "line 1: keypoint_names must be those of coco17"),
        ("jsonl", '"nose"', '"left_eye"', "line 1: coco17: keypoint_names must be one or more names, all different"),
        ("jsonl", "[64,48]", "[64,0]", "line 1: size must be a width and a height, not a list of 2"),
        ("jsonl", '"clip.mp4"', "7", "line 1: source must be a text, not 7"),
        ("jsonl", '{"frame":0', '{"frame":-1', "line 2: frame must be a whole number of 0 or more, not -1"),
        ("jsonl", '{"frame":1', '{"frame":0', "line 3: frame 0 was there before"),
        ("jsonl", '"people":[]', '"people":{}', "line 3: people must be a list"),
        ("jsonl", '"time_s":0.04', '"time_s":NaN', "line 3 is no JSON (NaN is no number of JSON)"),
        ("jsonl", '"time_s":0.04', '"time_s":1e999', "line 3: time_s must be a number within ±1e+09, not inf"),
        ("jsonl", '"track_id":8', '"track_id":3', "line 2: people[1]: track_id 3 is twice in frame 0"),
        ("jsonl", '"track_id":8', '"track_id":8.5', "people[1]: track_id must be a whole number"),
        ("jsonl", '"propagated"', '"guessed"', '"carried" or "interpolated", not \'guessed\''),
        ("jsonl", "[0.12,1.12,0.5]", "[null,1.12,0.5]", "keypoints must have x and y or neither, and scores"),
        ("jsonl", "[0.12,1.12,0.5]", "[1e10,1.12,1]", "keypoints must be 17 × 3 numbers within ±1e+09"),
        # CSV
        ("csv", "detected", "guessed", "line 2: origin must be"),
        ("csv", ",0.12,", ",O.12,", "line 2: nose_x must be a number, not 'O.12'"),
        ("csv", ",0.12,", ",", "line 2 has 62 cells, not 63"),
        ("csv", "nose_x", "snout_x", "line 2 lacks snout_y"),
        ("csv", "detected", '"detected', "is no CSV"),
        ("csv-long", "left_eye", "nose", "line 3: the nose of this person was there before"),
        # MOT
        ("mot", "1,3,1.00", "0,3,1.00", "line 1: frame must be a whole number of 1 or more, not 0"),
        ("mot", "1,3,1.00", "1,-1,1.00", "line 1 lacks a track id; `track` gives ids to what --poses-in"),
        ("mot", "0.9000", "nan", "line 1: confidence must be a number within"),
        ("mot", "1,3,1.00,2.00,20.00,39.00,0.9000,-1,-1,-1", "1 3 1 2 20 39", "line 1 has 1 columns, not 6 or more"),
        # COCO and PoseTrack
        ("coco", '"images"', '"pictures"', "lacks images"),
        ("coco", '"categories":[', '"categories":[{},', "must have one category, with the names of its keypoints"),
        ("coco", '"nose"', '"left_eye"', "categories[0]: keypoints must be names that differ"),
        ("coco", '"frame_id":1,"file_name":"images/out/000001', '"file_name":"one', "file_name must end in the number"),
        ("coco", '"frame_id":1', '"frame_id":0', "images[1]: frame_id must be that of one frame only, not 0"),
        ("coco", '"frame_id":1', '"frame_id":-1', "images[1]: frame_id must be a whole number of 0 or more, not -1"),
        ("coco", '"image_id":0', '"image_id":7', "annotations[0]: image_id must be the id of an image, not 7"),
        ("coco", '"keypoints":[0.12,', '"keypoints":[', "annotations[0]: keypoints must be 51 numbers"),
        ("coco", '"scores":[0.5,', '"scores":[', "annotations[0]: scores must be 17 numbers"),
        ("coco", '"width":64', '"width":-64', "images[0]: width must be a whole number of 1 or more"),
        ("coco", '"annotations":[', '"annotations":[' + "[" * 99_999, "is no JSON"),
        ("posetrack", '"score":0.45', '"score":"high"', "annotations[0]: score must be a number, not 'high'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_one_line(tmp_path: Path, name: str, old: str, new: str, message: str) -> None:
    path = written(tmp_path, name)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    assert message in refused(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"people"', '"persons"', "000000000000_keypoints.json lacks people"),
        ('"person_id":[3]', '"person_id":[-1]', "people[0] lacks a track id; `track` gives ids"),
        ('"person_id":[8]', '"person_id":[3]', "people[1]: track_id 3 is twice in frame 0"),
        ('"pose_keypoints_2d":[0.125,', '"pose_keypoints_2d":[', "pose_keypoints_2d must be 75 numbers, not a list"),
        ("{", "", "is no JSON"),
    ],
)
def test_what_is_wrong_in_a_folder(tmp_path: Path, old: str, new: str, message: str) -> None:
    folder = written(tmp_path, "openpose")
    path = folder / "out_000000000000_keypoints.json"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    assert message in refused(folder)


def test_folders_of_something_else(tmp_path: Path) -> None:
    assert "holds no files such as clip_000000000000_keypoints.json" in refused(tmp_path)
    (tmp_path / "a_000000000001_keypoints.json").write_text('{"people": []}')
    (tmp_path / "b_1_keypoints.json").write_text('{"people": []}')
    assert "holds two files of the same frame" in refused(tmp_path)


def change(path: Path, **arrays: Any) -> None:
    with np.load(path) as stored:
        content = dict(stored) | arrays
    np.savez(path, **{name: array for name, array in content.items() if array is not None})


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"frames": None}, "lacks frames"),
        ({"header": None}, "header is no JSON"),
        ({"header": np.zeros(3)}, "header must be a text"),
        ({"header": np.array("[]")}, "header is no object"),
        ({"frames": np.array([0.0, 1, 2])}, "frames must be int64 (3,), not float64 (3,)"),
        ({"boxes": np.zeros((4, 3), np.float32)}, "boxes must be float32 (4, 4), not float32 (4, 3)"),
        ({"boxes": np.zeros((3, 4), np.float32)}, "boxes must be float32 (4, 4), not float32 (3, 4)"),
        ({"keypoints": np.zeros((4, 15, 2), np.float32)}, "keypoints must be float32 (4, 17, 2)"),
        ({"keypoints": np.full((4, 17, 2), [np.nan, 1], np.float32)}, "keypoints has values out of range"),
        ({"box_scores": np.full(4, np.nan, np.float32)}, "box_scores has values out of range"),
        ({"boxes": np.full((4, 4), np.inf, np.float32)}, "boxes has values out of range"),
        ({"origin": np.full(4, 4, np.int8)}, "origin has values out of range"),
        ({"track_ids": np.array([-1, 2, 3, 4])}, "track_ids lacks a track id; `track` gives ids"),
        ({"track_ids": np.array([-2, 2, 3, 4])}, "track_ids has values out of range"),
        ({"sizes": np.zeros((3, 3), np.int64)}, "sizes must be int64 (3, 2), not int64 (3, 3)"),
        ({"files": np.zeros(3)}, "files must be a text for each of frames"),
        ({"track_ids": np.array([3, 3, 3, 8])}, "track_ids must differ within frame 0"),
        ({"frames": np.array([0, 2, 1])}, "frames must rise, and person_frames with them"),
        ({"person_frames": np.array([0, 2, 0, 2])}, "frames must rise"),
        ({"person_frames": np.array([0, 0, 2, 3])}, "frames must rise"),
        ({"person_frames": np.array(3)}, "track_ids must be int64 (1,), not int64 (4,)"),
        ({"track_ids": np.array([3, 8, "a", {}], object)}, "is no .npz file that can be read (Object arrays cannot"),
    ],
)
def test_what_is_wrong_in_arrays(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    path = written(tmp_path, "npz")
    change(path, **arrays)
    assert message in refused(path)


def test_a_member_that_is_no_array(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("frames.npy", b"no array")
    assert "is no .npz file that can be read (frames is no array)" in refused(tmp_path / "x.npz")


def test_arrays_that_are_no_archive_are_not_recommended_to_be_trusted(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(pickle.dumps({"frames": 1}))
    assert "is no .npz file that can be read (no zip archive); name another file" in refused(tmp_path / "x.npz")


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".txt", ".json", ".npz"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "cannot be read (No such file or directory)", id="missing"),
        pytest.param(b"\xff\xfe\x00{", "", id="no text"),
        pytest.param(b"What is this?\n", "", id="prose"),
        pytest.param(b"\x93NUMPY\x01\x00", "", id="damaged array"),
        pytest.param(b"{}\n{}", "", id="empty objects"),
    ],
)
def test_files_of_another_kind(tmp_path: Path, suffix: str, content: bytes | None, message: str) -> None:
    path = tmp_path / f"x{suffix}"
    if content is not None:
        path.write_bytes(content)
    assert message in refused(path)


@pytest.mark.parametrize("name", ["jsonl", "csv", "csv-long", "mot"])
def test_a_last_line_that_was_cut_off_is_left_out(tmp_path: Path, name: str) -> None:
    """Wherever within it the writer was killed; all before is read, and what lacks is told."""
    path = written(tmp_path, name)
    content = path.read_bytes()
    whole = content[: content.rindex(b"\n", 0, -1) + 1]
    path.write_bytes(whole)
    before = read_results(path)
    assert before.warning is None
    last = content[len(whole) : -1]
    for length in range(1, last.rindex(b"," if name != "mot" else b",-1,-1,-1")):
        path.write_bytes(whole + last[:length])
        found = read_results(path)
        assert found.warning == f"{path} ends within line {len(whole.splitlines()) + 1}, which is left out"
        assert [frame.index for frame in found.frames] == [frame.index for frame in before.frames]
        assert len(found.frames[-1].tracked) == len(before.frames[-1].tracked)


def test_a_whole_last_line_needs_no_line_break(tmp_path: Path) -> None:
    for name in ("jsonl", "csv", "mot"):
        path = written(tmp_path, name)
        path.write_bytes(path.read_bytes()[:-1])
        found = read_results(path)
        assert (found.warning, len(found.frames[-1].tracked)) == (None, 2)


def test_an_older_file_without_box_scores(tmp_path: Path) -> None:
    path = written(tmp_path, "jsonl")
    path.write_text(path.read_text().replace('"box_score":0.9,', "").replace('"box_score":0.8,', ""))
    poses = read_results(path).frames[0].tracked.poses
    assert poses.box_scores.tolist() == pytest.approx([0.9, 0.8])


def test_a_spreadsheet_may_sort_and_mark_a_csv(tmp_path: Path) -> None:
    path = written(tmp_path, "csv")
    first, *rows = path.read_text().replace("false", "FALSE").splitlines()
    path.write_text("\r\n".join([first, *reversed(rows)]), encoding="utf-8-sig")
    frames = read_results(path).frames
    assert [frame.index for frame in frames] == [0, 2]
    assert frames[0].tracked.track_ids.tolist() == [8, 3]
    assert frames[0].tracked.confirmed.tolist() == [True, False]


def test_a_long_csv_may_lack_rows(tmp_path: Path) -> None:
    path = written(tmp_path, "csv-long")
    kept = [line for line in path.read_text().splitlines() if "left_ear" not in line and "3,false" not in line]
    path.write_text("\n".join(kept))
    (frame, _) = read_results(path).frames
    assert frame.tracked.track_ids.tolist() == [8]
    assert np.isnan(frame.tracked.poses.keypoints[0, COCO_17.index("left_ear")]).all()
    np.testing.assert_allclose(frame.tracked.poses.keypoints[0, 4:], two_people().poses.keypoints[1, 4:], atol=0.01)


def test_mot_of_others(tmp_path: Path) -> None:
    """Sorted by person, with whole numbers, blank lines and nine columns, as ground truth is."""
    (tmp_path / "gt.txt").write_text("2, 1, 11, 21, 30, 40, 1, 1, 0.5\n\n1,1,1,1,30,40,1,1,1\n1,2,5,5,3,4,0,1,1\n")
    first, second = read_results(tmp_path / "gt.txt").frames
    assert (first.index, second.index) == (0, 1)
    assert first.tracked.poses.boxes.tolist() == [[0, 0, 30, 40], [4, 4, 7, 8]]
    assert first.tracked.poses.box_scores.tolist() == [1, 0]
    assert second.tracked.poses.boxes.tolist() == [[10, 20, 40, 60]]
    assert np.isnan(second.tracked.poses.keypoints).all()
    assert np.isnan(second.time_s)


def coco_file(path: Path, annotation: dict[str, Any], names: tuple[str, ...]) -> Path:
    person = {"image_id": 9, "category_id": 1, "track_id": 4} | annotation
    content = {
        "categories": [{"id": 1, "name": "person", "keypoints": names}],
        "images": [{"id": 9, "file_name": "bonn/00000123.jpg"}],
        "annotations": [person],
    }
    path.write_text(json.dumps(content))
    return path


def test_coco_of_others(tmp_path: Path) -> None:
    """Without scores and box, keypoints in an order of their own; only 0, 0, 0 is missing."""
    names = POSETRACK_15.keypoint_names[::-1]
    values = [[10 * at, 5, 0] for at in range(1, 15)] + [[0, 0, 0]]
    keypoints = [number for triple in values for number in triple]
    results = read_results(coco_file(tmp_path / "x.json", {"keypoints": keypoints}, names))
    assert results.header.skeleton is POSETRACK_15
    (frame,) = results.frames
    assert frame.index == 123
    poses = frame.tracked.poses
    assert poses.keypoints[0, POSETRACK_15.index("head_top")].tolist() == [10, 5]
    assert np.isnan(poses.keypoints[0, POSETRACK_15.index("right_ankle")]).all()
    assert poses.scores[0].tolist() == [0, *[1] * 14]
    assert poses.boxes.tolist() == [[10, 5, 140, 5]]
    assert (poses.box_scores.tolist(), poses.origin.tolist()) == ([1], [Origin.DETECTED])
    assert frame.tracked.track_ids.tolist() == [4]
