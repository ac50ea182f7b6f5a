"""`track --boxes` and `track --poses-in`: files of other programs in place of networks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from tests.commands.conftest import BOXES, SIZE_WH, TIMES_S, Run, refused, texture
from tests.commands.test_options import parse
from tests.video.test_pictures import write_stretched
from tracker.commands.track import read_jobs
from tracker.errors import UsageError
from tracker.formats import Results, read_results
from tracker.given import read_given
from tracker.skeletons import COCO_17, HALPE_26
from tracker.video.aspect import square_frame
from tracker.video.source import open_source

FRAMES = range(len(TIMES_S))


def triples(box: list[int], count: int = 17, score: float = 0.9) -> list[list[float]]:
    """Keypoints spread over a box, each with that score."""
    x1, y1, x2, y2 = box
    steps = np.linspace(0.1, 0.9, count)
    columns = [x1 + (x2 - x1) * steps, y1 + (y2 - y1) * (steps * 7 % 1), np.full(count, score)]
    return np.stack(columns, axis=1).round(2).tolist()


def flat(rows: list[list[float]]) -> list[float]:
    return np.array(rows).ravel().tolist()


def xywh(box: list[int]) -> list[int]:
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def write_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def people() -> Iterator[tuple[int, list[int]]]:
    """Frame and box of each person, in an order that differs from frame to frame."""
    return ((frame, box) for frame in FRAMES for box in (BOXES if frame % 2 else BOXES[::-1]))


def openpose(folder: Path, count: int = 25, name: Callable[[int], str] = "clip_{:012d}".format) -> Path:
    for frame in FRAMES:
        boxes = BOXES if frame % 2 else BOXES[::-1]
        points = [np.array(triples(box, count)) for box in boxes]
        for each in points:
            each[19 if count == 25 else count :] = 0  # no feet
        records = [{"person_id": [-1], "pose_keypoints_2d": each.ravel().tolist()} for each in points]
        write_json(folder / f"{name(frame)}_keypoints.json", {"version": 1.3, "people": records})
    return folder


def alphapose(path: Path, count: int = 17, name: Callable[[int], str] = "{}.jpg".format) -> Path:
    records = [
        {"image_id": name(frame), "category_id": 1, "keypoints": flat(triples(box, count)), "box": xywh(box),
         "score": 0.9 + 0.9 + 1.25 * 0.9, "idx": [0.0]}
        for frame, box in people()
    ]  # fmt: skip
    return write_json(path, records)


def coco(path: Path, first: int = 0, *, has_boxes: bool = False) -> Path:
    records = [
        {"image_id": first + frame, "category_id": 1, "keypoints": flat(triples(box)), "score": 0.8}
        | ({"bbox": xywh(box)} if has_boxes else {})
        for frame, box in people()
    ]
    return write_json(path, records)


def mot(path: Path, first: int = 1, rest: str = ",0.9,-1,-1,-1") -> Path:
    lines = (f"{first + frame},-1,{','.join(str(side + 1 * (n < 2)) for n, side in enumerate(xywh(box)))}{rest}"
             for frame, box in people())  # fmt: skip
    path.write_text("\n".join(lines) + "\n")
    return path


def check_ids(results: Results) -> None:
    """Everybody has one id in all frames, whatever the order in the file."""
    assert len(results.frames) == len(TIMES_S)
    everybody = [frame.tracked for frame in results.frames]
    by_place = [tracked.track_ids[np.argsort(tracked.poses.boxes[:, 0])].tolist() for tracked in everybody]
    assert sorted(by_place[0]) == [1, 2]
    assert by_place == [by_place[0]] * len(everybody)


@pytest.fixture
def tracked(run: Run, clip: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Results]:
    """Tracks the clip, or another input, with those options, no network being there to be loaded."""
    monkeypatch.setenv("TRACKER_WEIGHTS", "/nowhere")

    def tracked(*options: str | Path, source: Path = clip) -> Results:
        done = run("track", "--input", source, "--poses", "out.jsonl", "--overwrite", *options)
        assert done.code == 0, done.err
        return read_results(Path("out.jsonl"))

    return tracked


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Ten images whose names count from 1."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in FRAMES:
        cv2.imwrite(str(folder / f"img_{number + 1:04d}.png"), texture())
    return folder


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(openpose, id="OpenPose, 25"),
        pytest.param(lambda path: openpose(path, 18), id="OpenPose, 18"),
        pytest.param(lambda path: alphapose(path.with_suffix(".json")), id="AlphaPose"),
        pytest.param(lambda path: coco(path.with_suffix(".json")), id="COCO"),
        pytest.param(lambda path: coco(path.with_suffix(".json"), has_boxes=True), id="COCO with boxes"),
    ],
)
def test_poses_of_other_programs_get_ids(
    tracked: Callable[..., Results], tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    path = write(tmp_path / "given")
    results = tracked("--poses-in", path)
    check_ids(results)
    assert results.header.skeleton is COCO_17
    assert results.header.settings["pose_model"] == f"poses of {path.name}"
    assert results.header.settings["detector"] is None
    assert results.header.settings["propagation"] is False


@pytest.mark.parametrize(
    ("name", "suffix"), [("jsonl", ""), ("npz", ""), ("csv", ""), ("coco", ".json"), ("posetrack", ".json")]
)
def test_results_of_our_own_get_new_ids_with_and_without_ids(
    tracked: Callable[..., Results], run: Run, tmp_path: Path, name: str, suffix: str
) -> None:
    tracked("--poses-in", alphapose(tmp_path / "given.json"))
    path = tmp_path / f"again{suffix or f'.{name}'}"
    assert run("convert", "out.jsonl", path, "--format", name).code == 0
    check_ids(tracked("--poses-in", path))
    _remove_ids(path)
    assert "lacks a track id; `track` gives ids" in run("convert", path, tmp_path / "b.csv").err
    check_ids(tracked("--poses-in", path))


def _remove_ids(path: Path) -> None:
    if path.suffix == ".npz":
        with np.load(path) as stored:
            arrays = {name: array for name, array in stored.items() if name != "track_ids"}
        np.savez(path, **arrays)
    elif path.suffix == ".csv":
        rows = [row.split(",") for row in path.read_text().splitlines()]
        path.write_text("".join(",".join([*row[:2], *row[3:]]) + "\n" for row in rows))
    else:
        text = path.read_text()
        for track_id in (0, 1, 2):
            text = text.replace(f'"track_id":{track_id},', '"track_id":-1,' if track_id == 1 else "")
        path.write_text(text)


def test_boxes_stand_for_the_detector_and_people_are_carried_where_they_lack(
    run: Run, clip: Path, models: list[str], tmp_path: Path
) -> None:
    path = mot(tmp_path / "det.txt")
    gone = [line for line in path.read_text().splitlines() if not line.startswith(("6,", "7,"))]
    path.write_text("\n".join(gone))
    done = run("track", "--input", clip, "--boxes", path, *models[2:], "--poses", "out.jsonl")
    assert done.code == 0
    assert "detector: boxes of det.txt, no network" in done.err
    results = read_results(Path("out.jsonl"))
    check_ids(results)
    assert [frame.tracked.poses.origin.any() for frame in results.frames] == [frame in (5, 6) for frame in FRAMES]
    np.testing.assert_allclose(np.sort(results.frames[0].tracked.poses.boxes, axis=0), BOXES, atol=0.01)
    assert results.header.settings["detector"] == "boxes of det.txt"


@pytest.mark.parametrize("rest", [",-1,-1,-1,-1", ""], ids=["unknown", "none"])
def test_boxes_without_scores_all_count(run: Run, clip: Path, models: list[str], tmp_path: Path, rest: str) -> None:
    path = mot(tmp_path / "det.txt", rest=rest)
    done = run("track", "--input", clip, "--boxes", path, *models[2:], "--poses", "out.jsonl")
    assert f"note: {path} states no scores, so all of its boxes count" in done.err
    check_ids(read_results(Path("out.jsonl")))


def test_scores_of_boxes_count(run: Run, clip: Path, models: list[str], tmp_path: Path) -> None:
    records = [
        {"image_id": frame, "category_id": kind, "bbox": xywh(box), "score": score}
        for frame in FRAMES
        for box, score, kind in ((BOXES[0], 0.9, 1), (BOXES[1], 0.3, 1), ([0, 0, 96, 64], 0.9, 18))
    ]
    path = write_json(tmp_path / "boxes.json", records)
    arguments = ("track", "--input", clip, "--boxes", path, *models[2:], "--overwrite", "--poses", "out.jsonl")
    done = run(*arguments)
    assert f"note: 10 of 20 people in {path} score less than 0.5 and are left out" in done.err
    assert {len(frame.tracked) for frame in read_results(Path("out.jsonl")).frames} == {1}
    assert (
        f"nobody in {path} scores 0.95 or more; lower --detector-score"
        in run(*arguments, "--detector-score", "0.95").err
    )
    run(*arguments, "--detector-score", "0.25")
    assert {len(frame.tracked) for frame in read_results(Path("out.jsonl")).frames} == {2}


def test_whom_the_file_lacks_is_carried_if_asked_for(tracked: Callable[..., Results], tmp_path: Path) -> None:
    folder = openpose(tmp_path / "given")
    write_json(folder / "clip_000000000005_keypoints.json", {"people": []})
    assert [len(frame.tracked) for frame in tracked("--poses-in", folder).frames] == [2] * 5 + [0] + [2] * 4
    results = tracked("--poses-in", folder, "--propagation")
    check_ids(results)
    assert [frame.tracked.poses.origin.all() for frame in results.frames] == [frame == 5 for frame in FRAMES]


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda path: openpose(path, name="img_{:04d}".format), id="OpenPose"),
        pytest.param(lambda path: alphapose(path.with_suffix(".json"), name="img_{:04d}.png".format), id="AlphaPose"),
        pytest.param(lambda path: coco(path.with_suffix(".json")), id="COCO"),
    ],
)
@pytest.mark.parametrize("start", [0, 4])
def test_images_are_told_by_their_names(
    tracked: Callable[..., Results], tmp_path: Path, pictures: Path, write: Callable[[Path], Path], start: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("tests.commands.test_given.FRAMES", range(1, 11))
    path = write(tmp_path / "given")
    # Somebody is moved away in the seventh image, which is number 6 from 0.
    file = next(path.glob("*0007_*")) if path.is_dir() else path
    if path.is_dir():
        write_json(file, {"people": []})
    else:
        records = [r for r in json.loads(file.read_text()) if r["image_id"] not in (7, "img_0007.png")]
        write_json(file, records)
    (pictures / "img_0002.png").write_bytes(b"broken")
    results = tracked("--poses-in", path, "--fps", "10", "--start", str(start / 10), source=pictures)
    times = [round(frame.time_s * 10) for frame in results.frames if not len(frame.tracked)]
    assert times == [6]
    assert [round(frame.time_s * 10) for frame in results.frames] == [n for n in range(start, 10) if n != 1]


def test_a_last_line_that_was_cut_off_is_told(
    run: Run, tracked: Callable[..., Results], clip: Path, tmp_path: Path
) -> None:
    tracked("--poses-in", coco(tmp_path / "given.json"))
    Path("cut.jsonl").write_text(Path("out.jsonl").read_text()[:-20])
    done = run("track", "--input", clip, "--poses-in", "cut.jsonl", "--poses", "again.jsonl")
    assert (done.code, "note: cut.jsonl ends within line 11, which is left out" in done.err) == (0, True)


def test_poses_are_in_stored_pixels_that_are_not_square(tracked: Callable[..., Results], tmp_path: Path) -> None:
    clip = write_stretched(tmp_path / "dv.mp4", Fraction(64, 45))
    records = [
        {"image_id": frame, "keypoints": flat(triples([100, 20, 140, 110])), "bbox": [100, 20, 40, 90], "score": 0.8}
        for frame in range(4)
    ]
    results = tracked("--poses-in", write_json(tmp_path / "given.json", records), source=clip)
    assert [frame.tracked.track_ids.tolist() for frame in results.frames] == [[1]] * 4
    for frame in results.frames:
        poses = frame.tracked.poses
        np.testing.assert_allclose(poses.keypoints[0], np.array(triples([100, 20, 140, 110]))[:, :2], atol=0.011)
        np.testing.assert_allclose(poses.boxes[0], [100, 20, 140, 110], atol=0.011)


def test_boxes_in_stored_pixels_lie_on_the_square_ones_that_networks_see(tmp_path: Path) -> None:
    clip = write_stretched(tmp_path / "dv.mp4", Fraction(64, 45))
    (tmp_path / "det.txt").write_text("1,-1,73,11,72,90,0.9\n")  # counted from 1: the right half
    with open_source(str(clip)) as source:
        people = read_given(tmp_path / "det.txt", "boxes", clip, source)
        (found,) = people.people_in([square_frame(next(iter(source)))])
    np.testing.assert_allclose(found.boxes, [[102.5, 10, 205.5, 100]], atol=0.3)


def test_stdin_is_one_input() -> None:
    with pytest.raises(UsageError, match="stdin is one input"):
        read_jobs(parse("--input", "-", "--poses-in", "-"))


def test_a_part_of_a_video_has_its_own_frames(tracked: Callable[..., Results], tmp_path: Path) -> None:
    folder = openpose(tmp_path / "given")
    write_json(folder / "clip_000000000005_keypoints.json", {"people": []})
    results = tracked("--poses-in", folder, "--start", "0.2", "--end", "0.4")
    assert [(frame.index, len(frame.tracked)) for frame in results.frames] == [(4, 2), (5, 0), (6, 2), (7, 2)]


def test_feet_of_openpose_are_kept_there_and_back(run: Run, tracked: Callable[..., Results], tmp_path: Path) -> None:
    folder = openpose(tmp_path / "given")
    record = {"person_id": [-1], "pose_keypoints_2d": [value for n in range(25) for value in (n + 20, n + 10, 0.8)]}
    for path in folder.iterdir():
        write_json(path, {"people": [record]})
    results = tracked("--poses-in", folder)
    assert results.header.skeleton is HALPE_26
    keypoints = results.frames[0].tracked.poses.keypoints[0]
    places = {"nose": 0, "left_shoulder": 5, "right_hip": 9, "neck": 1, "hip": 8, "left_big_toe": 19, "right_heel": 24}
    assert {name: keypoints[HALPE_26.index(name), 0] - 20 for name in places} == places
    assert np.isnan(keypoints[HALPE_26.index("head")]).all()
    done = run("convert", "out.jsonl", "again", "--format", "openpose")
    assert "heel" not in done.err
    written = json.loads(Path("again/again_000000000003_keypoints.json").read_text())["people"][0]
    assert written["person_id"] == [1]
    np.testing.assert_allclose(written["pose_keypoints_2d"], record["pose_keypoints_2d"], atol=0.01)


@pytest.mark.parametrize(("count", "name"), [(26, "halpe26"), (133, "wholebody133"), (136, "halpe136"), (21, "hand21")])
def test_the_number_of_keypoints_tells_the_skeleton(
    tracked: Callable[..., Results], tmp_path: Path, count: int, name: str
) -> None:
    results = tracked("--poses-in", alphapose(tmp_path / "given.json", count))
    assert results.header.skeleton.name == name
    check_ids(results)


def test_a_skeleton_that_cannot_be_told_is_named(
    run: Run, tracked: Callable[..., Results], clip: Path, tmp_path: Path
) -> None:
    path = alphapose(tmp_path / "given.json", 19)
    done = run("track", "--input", clip, "--poses-in", path, "--poses", "a.jsonl")
    assert f"{path} has 19 keypoints a person; say whose: --skeleton coco17, body19" in done.err
    assert tracked("--poses-in", path, "--skeleton", "body19").header.skeleton.name == "body19"
    done = run("track", "--input", clip, "--poses-in", path, "--poses", "a.jsonl", "--skeleton", "coco17")
    assert "has 19 keypoints a person, and coco17 has 17; name another --skeleton" in done.err
    done = run("track", "--input", clip, "--poses-in", "out.jsonl", "--poses", "a.jsonl", "--skeleton", "coco17")
    assert "out.jsonl states its keypoints, those of body19; leave out --skeleton" in done.err


def scaled(path: Path, factor: float, shift: float = 0) -> Path:
    """The records with other boxes."""
    records = json.loads(path.read_text())
    for record in records:
        record["keypoints"] = [v if n % 3 == 2 else v * factor + shift for n, v in enumerate(record["keypoints"])]
        record.pop("box", None)
    return write_json(path, records)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: coco(path, first=5), "goes on to frame 14, counted from 0, but clip.mp4 has 10 frames"),
        (lambda path: scaled(coco(path), 1, 500), f"is within the {SIZE_WH[0]} by {SIZE_WH[1]} pixels of clip.mp4"),
        (lambda path: scaled(coco(path), 0.01), "they must be in pixels"),
        (lambda path: write_json(path, []), "nobody is in"),
        (lambda path: write_json(path, [{"image_id": 1, "bbox": [1, 2, 30, 40]}]), "has no keypoints; if it has boxes"),
        (lambda path: write_json(path, [{"image_id": 1}]), "[0] lacks bbox"),
        (lambda path: write_json(path, [{"image_id": [1], "bbox": [1, 2, 3, 4]}]), "image_id must be a number or the"),
        (lambda path: write_json(path, [{"image_id": 1, "keypoints": "1, 2"}]), "keypoints must be a list of numbers"),
        (lambda path: write_json(path, [{"image_id": 1, "keypoints": [1, 2] * 17}]), "keypoints must be x, y and"),
        (lambda path: write_json(path, [7]), "[0] is no object"),
        (lambda path: write_json(path, [{"image_id": 1, "keypoints": [1, 2, 9] * 17}]), "a keypoint scores 9; scores"),
        (lambda path: alphapose(path, name=lambda n: "abcdefghij"[n] + ".jpg"), "of images such as a.jpg, which clip"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_video_is_told_in_one_line(
    run: Run, clip: Path, tmp_path: Path, write: Callable[[Path], Path], message: str
) -> None:
    given = write(tmp_path / "given.json")
    assert message in refused(run("track", "--input", clip, "--poses-in", given, "--output", "out.mp4"))
    assert not Path("out.mp4").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,-1,1,2,30,40,57.3,-1,-1,-1", "scores of det.txt are from 57.3 to 57.3; they must be within 0 and 1"),
        ("0,-1,1,2,30,40,0.9,-1,-1,-1", "frame must be a whole number of 1 or more"),
        ("90,-1,1,2,30,40,0.9", "goes on to frame 89, counted from 0, but clip.mp4 has 10 frames"),
        ("1,-1,1000,2,30,40,0.9", "nobody in det.txt is within the 96 by 64 pixels"),
    ],
)
def test_boxes_that_do_not_fit_are_told_in_one_line(run: Run, clip: Path, line: str, message: str) -> None:
    Path("det.txt").write_text(line + "\n")
    assert message in refused(run("track", "--input", clip, "--boxes", "det.txt", "--output", "out.mp4"))


def test_people_who_are_partly_outside_are_told(
    tracked: Callable[..., Results], run: Run, clip: Path, tmp_path: Path
) -> None:
    path = scaled(coco(tmp_path / "given.json"), 1.5)
    done = run("track", "--input", clip, "--poses-in", path, "--poses", "out.jsonl")
    assert f"note: 10 of 20 people in {path} are outside the 96 by 64 pixels" in done.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--boxes a --poses-in b", "--boxes has no meaning with --poses-in"),
        ("--poses-in b --detector c.onnx", "--detector has no meaning with --poses-in"),
        ("--poses-in b --pose-model c.onnx", "--pose-model has no meaning with --poses-in"),
        ("--poses-in b --pose bottom-up", "--pose has no meaning with --poses-in"),
        ("--poses-in b --flip-test", "--flip-test has no meaning with --poses-in"),
        ("--poses-in b --device cuda", "--device has no meaning with --poses-in"),
        ("--boxes a --detector c.onnx", "--detector has no meaning with --boxes"),
        ("--boxes a --detector-size 320", "--detector-size has no meaning with --boxes"),
        ("--boxes a --pose bottom-up", "--pose has no meaning with --boxes"),
        ("--boxes a --skeleton coco17", "--skeleton is for --poses-in"),
        (
            "--poses-in b --detect-every 2",
            "--detect-every needs propagation to carry people between; pass --propagation",
        ),
    ],
)
def test_options_that_do_not_go_together(options: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_jobs(parse(*options.split()))


def test_results_of_a_video_of_another_size_are_refused(
    run: Run, tracked: Callable[..., Results], tmp_path: Path
) -> None:
    from tests.video.clips import write_clip

    tracked("--poses-in", coco(tmp_path / "given.json"))
    clip = write_clip(tmp_path / "large.mp4", [np.kron(texture(), np.ones((2, 2, 1), np.uint8))] * 10)
    done = run("track", "--input", clip, "--poses-in", "out.jsonl", "--output", "out.mp4")
    assert "out.jsonl is of 96 by 64 pixels, large.mp4 has 192 by 128" in done.err


def test_what_a_camera_shows_is_not_what_a_file_is_of() -> None:
    with pytest.raises(UsageError, match=r"camera 0 shows something else now; name the video that a\.json is of"):
        read_given(Path("a.json"), "poses", "0", SimpleNamespace(is_live=True, name="camera 0"))


def test_boxes_of_results_of_our_own_are_those_of_the_detector(
    run: Run, clip: Path, models: list[str], tmp_path: Path
) -> None:
    arguments = ("track", "--input", clip, "--detect-every", "3")
    assert run(*arguments, *models, "--speed", "exact", "--poses", "first.jsonl").code == 0
    assert run(*arguments, "--boxes", "first.jsonl", *models[2:], "--poses", "second.jsonl").code == 0
    first, second = (
        [frame.tracked for frame in read_results(Path(name)).frames] for name in ("first.jsonl", "second.jsonl")
    )
    for one, other in zip(first, second, strict=True):
        assert one.track_ids.tolist() == other.track_ids.tolist()
        assert one.poses.origin.tolist() == other.poses.origin.tolist()
        np.testing.assert_allclose(one.poses.keypoints, other.poses.keypoints, atol=0.02)
