"""What results files hold, and that a file is either whole or clearly partial."""

from __future__ import annotations

import csv
import errno
import io
import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.formats.examples import HEADER, READABLE, example, people_with_ids, two_people
from tracker.errors import OutputError, UsageError
from tracker.formats import FORMATS, FrameResult, Header, format_of, open_writer, read_results
from tracker.formats.openpose import check_folder
from tracker.skeletons import BODY_19, COCO_17, POSETRACK_17, WHOLEBODY_133, convert_keypoints
from tracker.types import TrackedPoses

STREAMED = ("jsonl", "csv", "csv-long", "mot", "posetrack", "coco")


def path_of(folder: Path, name: str, stem: str = "out") -> Path:
    return folder / f"{stem}{FORMATS[name].suffix}"


def write(path: Path, name: str | None = None, header: Header = HEADER, *people: TrackedPoses) -> Path:
    """A file of those people, a frame each; of the example if there are none."""
    frames = [FrameResult(index, index / 25, tracked) for index, tracked in enumerate(people)] or example().frames
    with open_writer(path, header, name) as writer:
        for frame in frames:
            writer.write(frame, frame.tracked)
    return path


def in_body_19() -> TrackedPoses:
    """The people with a neck and a top of the head that no formula gives."""
    tracked = two_people()
    keypoints, scores = convert_keypoints(tracked.poses.keypoints, tracked.poses.scores, COCO_17, BODY_19)
    keypoints[:, 17:], scores[:, 17:] = [[5, 6], [7, 8]], 0.75
    return replace(tracked, poses=replace(tracked.poses, keypoints=keypoints, scores=scores))


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_jsonl_has_a_header_and_a_line_per_frame(tmp_path: Path) -> None:
    write(tmp_path / "out.jsonl")
    header, first, second, _ = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert header == {
        "format": "pose-tracker/1",
        "skeleton": "coco17",
        "keypoint_names": list(COCO_17.keypoint_names),
        "source": "clip.mp4",
        "size": [64, 48],
        "fps": 29.97,
        "settings": {"flow": "dis"},
    }
    assert second == {"frame": 1, "time_s": 0.04, "people": []}
    new, carried = first["people"]
    assert set(new) == {
        "track_id", "confirmed", "box", "score", "box_score", "origin", "similarity", "keypoints"
    }  # fmt: skip
    assert (new["track_id"], new["confirmed"], new["origin"], new["similarity"]) == (3, False, "detected", None)
    assert (carried["track_id"], carried["origin"], carried["similarity"]) == (8, "propagated", 0.75)
    assert (new["score"], new["box_score"]) == (0.45, 0.9)
    assert new["keypoints"][0] == [0.12, 1.12, 0.5]
    assert carried["keypoints"][3] == [None, None, 0]
    assert carried["box"] == [30.0, 1.0, 50.0, 40.26]


def test_csv_has_a_row_per_person_and_frame(tmp_path: Path) -> None:
    rows = read_rows(write(tmp_path / "out.csv"))
    assert [(row["frame"], row["track_id"]) for row in rows] == [("0", "3"), ("0", "8"), ("2", "3"), ("2", "8")]
    assert rows[0]["similarity"] == ""
    assert (rows[0]["score"], rows[0]["box_score"]) == ("0.4500", "0.9000")
    assert rows[0]["confirmed"] == "false"
    assert rows[1]["origin"] == "propagated"
    assert (rows[1]["left_ear_x"], rows[1]["left_ear_score"]) == ("", "0.0000")
    assert (rows[0]["nose_x"], rows[0]["nose_y"], rows[0]["nose_score"]) == ("0.12", "1.12", "0.5000")
    assert len(rows[0]) == 12 + 3 * 17


def test_long_csv_has_a_row_per_keypoint(tmp_path: Path) -> None:
    rows = read_rows(write(tmp_path / "out.csv", "csv-long"))
    assert len(rows) == 4 * 17
    assert [row["keypoint"] for row in rows[:17]] == list(COCO_17.keypoint_names)
    assert {row["track_id"] for row in rows[17:34]} == {"8"}
    assert (rows[0]["x"], rows[0]["y"], rows[0]["keypoint_score"]) == ("0.12", "1.12", "0.5000")
    assert (rows[20]["keypoint"], rows[20]["x"], rows[20]["keypoint_score"]) == ("left_ear", "", "0.0000")
    assert len(rows[0]) == 12 + 4


def test_mot_counts_frames_and_pixels_from_1(tmp_path: Path) -> None:
    assert write(tmp_path / "out.txt").read_text().splitlines() == [
        "1,3,1.00,2.00,20.00,39.00,0.9000,-1,-1,-1",
        "1,8,31.00,2.00,20.00,39.26,0.8000,-1,-1,-1",
        "3,3,1.00,2.00,20.00,39.00,0.9000,-1,-1,-1",
        "3,8,31.00,2.00,20.00,39.26,0.8000,-1,-1,-1",
    ]


def test_posetrack_is_what_its_evaluator_asks_for(tmp_path: Path) -> None:
    content = json.loads(write(tmp_path / "000342_mpii_test.json").read_text())
    (category,) = content["categories"]
    assert (category["name"], category["keypoints"]) == ("person", list(POSETRACK_17.keypoint_names))
    assert category["skeleton"][0] == [16, 14]
    first = 10**10 + 342 * 10**4
    assert [image["id"] for image in content["images"]] == [first, first + 1, first + 2]
    assert content["images"][1] == {
        "id": first + 1,
        "frame_id": first + 1,
        "file_name": "images/000342_mpii_test/000001.jpg",
        "width": 64,
        "height": 48,
    }
    people = content["annotations"]
    assert [(person["id"], person["image_id"] - first, person["track_id"]) for person in people] == [
        (100 * first, 0, 0), (100 * first + 1, 0, 1), (100 * first + 200, 2, 0), (100 * first + 201, 2, 1),
    ]  # fmt: skip
    assert people[0]["bbox"] == [0, 1, 20, 39]
    assert people[0]["score"] == pytest.approx(0.45)
    ear = POSETRACK_17.index("left_ear")
    assert people[1]["keypoints"][3 * ear : 3 * ear + 3] == [0, 0, 0]
    assert people[1]["scores"][ear] == 0
    assert people[0]["keypoints"][:3] == [0.12, 1.12, 1]
    assert len(people[0]["scores"]) == 17


def head_of(path: Path) -> list[list[float]]:
    """x, y, score of the neck and of the top of the head of the first person."""
    person = json.loads(path.read_text())["annotations"][0]
    return [[*person["keypoints"][3 * at : 3 * at + 2], person["scores"][at]] for at in (1, 2)]


def test_the_head_is_estimated_where_the_skeleton_has_none(tmp_path: Path) -> None:
    tracked = people_with_ids([1])
    keypoints, scores = tracked.poses.keypoints, tracked.poses.scores
    keypoints[0, 0], scores[0, 0] = (14, 10), 0.9  # the nose
    keypoints[0, [5, 6]], scores[0, [5, 6]] = [[20, 30], [4, 30]], [0.8, 0.6]  # the shoulders, whose middle is 12, 30
    # 0.3 and 1.5 of the way from there to the nose
    neck, top = head_of(write(tmp_path / "a.json", "posetrack", HEADER, tracked))
    assert neck == [12.6, 24, 0.6]
    assert top == [0, 0, 0]  # at y 0, which counts as missing
    keypoints[..., 1] += 100
    assert head_of(write(tmp_path / "b.json", "posetrack", HEADER, tracked))[1] == [15, 100, 0.6]
    keypoints[0, 5], scores[0, 5] = np.nan, 0
    assert head_of(write(tmp_path / "c.json", "posetrack", HEADER, tracked)) == [[0, 0, 0], [0, 0, 0]]


def test_the_head_of_a_network_that_finds_it_is_kept(tmp_path: Path) -> None:
    header = Header(BODY_19)
    assert head_of(write(tmp_path / "out.json", "posetrack", header, in_body_19())) == [[5, 6, 0.75], [7, 8, 0.75]]


def ids_in(path: Path) -> list[int]:
    return [person["track_id"] for person in json.loads(path.read_text())["annotations"]]


def test_posetrack_has_a_thousand_ids_of_which_a_new_person_gets_the_one_unseen_for_longest(tmp_path: Path) -> None:
    crowd = people_with_ids(list(range(5000, 6000)))
    frames = [crowd, people_with_ids([5001, 5000]), people_with_ids([5002, 1, 5000]), people_with_ids([2, 1])]
    path = write(tmp_path / "out.json", "posetrack", HEADER, *frames)
    assert ids_in(path) == [*range(1000), 1, 0, 2, 3, 0, 4, 3]
    with pytest.raises(OutputError, match="frame 1 shows 1001 people, and PoseTrack has 1000 ids; write --format coco"):
        write(tmp_path / "more.json", "posetrack", HEADER, crowd, people_with_ids(list(range(1001))))


def test_json_is_coco_with_any_ids_unless_it_is_named_as_a_sequence(tmp_path: Path) -> None:
    crowd = people_with_ids(list(range(5000, 6001)))
    assert ids_in(write(tmp_path / "out.json", None, HEADER, crowd)) == list(range(5000, 6001))
    assert ids_in(write(tmp_path / "000342_mpii_test.json", None, HEADER, people_with_ids([7, 3]))) == [0, 1]


def test_a_video_that_is_too_long_for_the_ids_of_a_sequence_is_refused(tmp_path: Path) -> None:
    line = "has 10000 frames at most; write --format coco, or pass --max-frames 10000"
    with pytest.raises(OutputError, match=line):
        open_writer(tmp_path / "000342_mpii_test.json", HEADER).check_num_frames(10_001)
    with open_writer(tmp_path / "000342_mpii_test.json", HEADER) as writer:
        writer.check_num_frames(10_000)
        with pytest.raises(OutputError, match=line):
            writer.write(FrameResult(10_000, 0, TrackedPoses.empty(17)), TrackedPoses.empty(17))
    for name in ("out.json", "out.jsonl"):
        open_writer(tmp_path / name, HEADER, "posetrack" if name == "out.json" else None).check_num_frames(10_001)


def test_pycocotools_loads_coco_and_posetrack(tmp_path: Path) -> None:
    loader, evaluation = (pytest.importorskip(f"pycocotools.{name}") for name in ("coco", "cocoeval"))
    for name in ("coco", "posetrack"):
        coco = loader.COCO(str(write(tmp_path / f"{name}.json", name)))
        assert len(coco.getImgIds()) == 3
        assert [len(coco.getAnnIds(imgIds=[image])) for image in coco.getImgIds()] == [2, 0, 2]
        evaluator = evaluation.COCOeval(coco, coco, "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
        assert evaluator.stats[0] == pytest.approx(1)


# What OpenPose's documentation calls BODY_25 (doc/02_output.md), by the names that it uses.
BODY_25 = (
    "Nose", "Neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist", "MidHip", "RHip", "RKnee",
    "RAnkle", "LHip", "LKnee", "LAnkle", "REye", "LEye", "REar", "LEar", "LBigToe", "LSmallToe", "LHeel", "RBigToe",
    "RSmallToe", "RHeel",
)  # fmt: skip


def read_openpose_folder(folder: Path) -> list[dict[int, dict[str, list[float]]]]:
    """A reader by the documentation alone: per frame, by person id, x, y, confidence by the name of the body part."""
    frames = []
    for file in sorted(folder.glob("*_keypoints.json")):
        content = json.loads(file.read_text())
        assert content["version"] == 1.3
        people: dict[int, dict[str, list[float]]] = {}
        for person in content["people"]:
            values = person["pose_keypoints_2d"]
            (person_id,) = person["person_id"]
            people[person_id] = {part: values[3 * at : 3 * at + 3] for at, part in enumerate(BODY_25)}
        frames.append(people)
    return frames


def test_openpose_is_read_by_its_documentation(tmp_path: Path) -> None:
    first, second, third = read_openpose_folder(write(tmp_path / "out", "openpose"))
    assert (set(first), second, third) == ({3, 8}, {}, first)
    source = two_people().poses.keypoints[0]
    sides = {"L": "left", "R": "right"}
    for part, found in first[3].items():
        name = f"{sides.get(part[0])}_{part[1:].lower()}" if part[0] in sides else part.lower()
        if name in COCO_17.keypoint_names:
            assert found == pytest.approx([*source[COCO_17.index(name)], 0.5])
    assert first[8]["LEar"] == [0, 0, 0]
    assert first[3]["Neck"] == pytest.approx([(10.125 + 12.125) / 2, (11.125 + 13.125) / 2, 0.5])
    assert first[3]["MidHip"] == pytest.approx([(22.125 + 24.125) / 2, (23.125 + 25.125) / 2, 0.5])
    assert {tuple(first[3][part]) for part in BODY_25[19:]} == {(0, 0, 0)}
    assert (tmp_path / "out" / "out_000000000002_keypoints.json").exists()


def test_feet_face_and_hands_of_openpose_stand_where_its_documentation_says(tmp_path: Path) -> None:
    places = np.arange(1, 134, dtype=np.float32)
    tracked = people_with_ids([7])
    poses = replace(
        tracked.poses, keypoints=np.stack([places, places], axis=1)[None], scores=np.ones((1, 133), np.float32)
    )
    header = replace(HEADER, skeleton=WHOLEBODY_133)
    folder = write(tmp_path / "out", "openpose", header, replace(tracked, poses=poses))
    (person,) = json.loads((folder / "out_000000000000_keypoints.json").read_text())["people"]
    assert person["pose_keypoints_2d"][::3][19:] == [18, 19, 20, 21, 22, 23]
    assert person["face_keypoints_2d"][::3] == [*range(24, 92), 0, 0]
    assert person["hand_left_keypoints_2d"][::3] == [*range(92, 113)]
    assert person["hand_right_keypoints_2d"][::3] == [*range(113, 134)]


def test_a_middle_needs_both_its_ends_and_has_the_lower_score(tmp_path: Path) -> None:
    tracked = people_with_ids([1])
    tracked.poses.scores[0, 5] = 0.25
    tracked.poses.keypoints[0, 11], tracked.poses.scores[0, 11] = np.nan, 0
    ((person,),) = (
        [*frame.values()] for frame in read_openpose_folder(write(tmp_path / "out", "openpose", HEADER, tracked))
    )
    assert person["Neck"][2] == 0.25
    assert person["MidHip"] == [0, 0, 0]


@pytest.mark.parametrize("name", STREAMED)
def test_a_file_is_whole_or_partial(tmp_path: Path, name: str) -> None:
    path, partial = path_of(tmp_path, name), path_of(tmp_path, name, "out.partial")
    path.write_text("old")
    with suppress(KeyError), open_writer(path, HEADER, name) as writer:
        writer.write(FrameResult(0, 0, two_people()), two_people())
        # every frame is on disk at once: what kill -9 leaves is readable
        lines = len(partial.read_text().splitlines())
        assert lines >= 2
        raise KeyError
    assert path.read_text() == "old"
    assert len(partial.read_text().splitlines()) >= lines
    write(path, name)
    assert path.read_text() != "old"
    assert not partial.exists()


@pytest.mark.parametrize("name", READABLE)
def test_what_an_exception_leaves_is_nothing_before_the_first_frame_and_can_be_read_after(
    tmp_path: Path, name: str
) -> None:
    with suppress(KeyError), open_writer(path_of(tmp_path, name), HEADER, name):
        raise KeyError
    writer = open_writer(path_of(tmp_path / "missing", name), HEADER, name)
    with pytest.raises(OutputError, match=r"No such file or directory|missing does not exist"), writer:
        writer.write(FrameResult(0, 0, two_people()), two_people())
    assert list(tmp_path.iterdir()) == []
    with suppress(KeyError), open_writer(path_of(tmp_path, name), HEADER, name) as writer:
        writer.write(FrameResult(0, 0, two_people()), two_people())
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == [path_of(tmp_path, name, "out.partial").name]
    (frame,) = read_results(path_of(tmp_path, name, "out.partial")).frames
    assert len(frame.tracked) == 2


class NearlyFull(io.FileIO):
    """A file on a disk that has room for 20,000 bytes."""

    def write(self, data: Any) -> int:
        room = 20_000 - self.tell()
        if room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(bytes(data)[:room])


@pytest.mark.parametrize("name", ["jsonl", "csv", "csv-long", "mot"])
def test_of_a_frame_that_does_not_fit_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with monkeypatch.context() as full:
        full.setattr(Path, "open", lambda path, *_, **__: NearlyFull(path, "w"))
        with pytest.raises(OutputError, match="No space left"):
            write(path_of(tmp_path, name), name, HEADER, *[two_people()] * 1000)
    frames = read_results(path_of(tmp_path, name, "out.partial")).frames
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert len(frames) > 1
    assert {len(frame.tracked) for frame in frames} == {2}


class TestFolder:
    """A folder takes the place of an older one, and of nothing else."""

    def test_it_is_replaced_as_a_whole(self, tmp_path: Path) -> None:
        write(tmp_path / "out", "openpose")
        write(tmp_path / "out", "openpose", HEADER, two_people())
        assert [path.name for path in tmp_path.iterdir()] == ["out"]
        assert len(list((tmp_path / "out").iterdir())) == 1

    def test_where_a_link_leads(self, tmp_path: Path) -> None:
        write(tmp_path / "real", "openpose")
        (tmp_path / "link").symlink_to("real")
        write(tmp_path / "link", "openpose", HEADER, two_people())
        assert (tmp_path / "link").is_symlink()
        assert len(list((tmp_path / "real").iterdir())) == 1

    @pytest.mark.parametrize("name", ["out", "out.partial"])
    def test_without_overwrite_it_is_kept(self, tmp_path: Path, name: str) -> None:
        write(tmp_path / name, "openpose")
        with pytest.raises(OutputError, match=rf"{name} exists; move it away or pass --overwrite"):
            check_folder(tmp_path / "out", overwrite=False)
        check_folder(tmp_path / "out", overwrite=True)

    def test_with_other_files_it_is_never_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "thesis.txt").write_text("precious")
        with pytest.raises(OutputError, match=r"out holds thesis\.txt besides \*_keypoints\.json, so it is not replac"):
            check_folder(tmp_path / "out", overwrite=True)
        with pytest.raises(OutputError, match="thesis"):
            write(tmp_path / "out", "openpose")
        assert (tmp_path / "out" / "thesis.txt").read_text() == "precious"

    def test_files_and_missing_folders_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("precious")
        with pytest.raises(OutputError, match="file is a file; name a folder"):
            check_folder(tmp_path / "file", overwrite=True)
        with pytest.raises(OutputError, match="missing does not exist; create it first"):
            check_folder(tmp_path / "missing" / "out", overwrite=True)


def test_the_format_is_told_by_name_or_suffix() -> None:
    for name, suffix in (
        ("jsonl", ".jsonl"),
        ("csv", ".CSV"),
        ("mot", ".txt"),
        ("coco", ".json"),
        ("npz", ".npz"),
    ):
        assert format_of(Path(f"out{suffix}")) is FORMATS[name]
    for name in FORMATS:
        assert format_of(Path("out.csv"), name) is FORMATS[name]
    with pytest.raises(UsageError, match=r"written as \.jsonl, .*, or as --format says: jsonl, csv, .*openpose"):
        format_of(Path("out.abc"))
    with pytest.raises(UsageError, match="there is no format 'excel'; known: jsonl, csv, "):
        open_writer("out.csv", Header("coco17"), "excel")
    with pytest.raises(ValueError, match="unknown skeleton 'coco'"):
        Header("coco")
