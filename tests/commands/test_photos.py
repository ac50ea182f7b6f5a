"""Pictures that do not follow one another: each by itself, everybody drawn, and told where nobody is."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.commands.conftest import BOXES, SIZE_WH, Run, read_lines, refused, texture
from tracker.job import sinks
from tracker.types import Image

NAMES = ("a.jpg", "b.png", "sub/c.bmp")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of pictures that all look alike, so that a tracker would follow people through them."""
    for name in NAMES:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), texture())
    return tmp_path / "photos"


def num_changed(path: Path) -> int:
    """Pixels of an overlay that were drawn on."""
    picture = cv2.imread(str(path))
    assert picture is not None
    return int((np.abs(picture.astype(int) - texture()).max(axis=2) > 60).sum())


def test_each_picture_has_an_overlay_and_people_of_its_own(track: Run, photos: Path, tmp_path: Path) -> None:
    done = track("--photos", source="photos/**/*.*")
    assert "6 people in 3 pictures" in done.err
    assert "speed" not in done.err
    folder = tmp_path / "photos_tracked"
    written = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    assert written == ["a.jpg", "b.png", "sub/c.bmp.png"]
    header, *frames = read_lines(tmp_path / "photos_tracked.jsonl")
    assert header["settings"]["photos"]
    assert header["settings"]["keypoint_threshold"] == 0.4
    assert header["settings"].keys() & {"flow", "speed", "gate", "forget_after_s", "propagation"} == set()
    assert [frame["file"] for frame in frames] == list(NAMES)
    assert [[person["track_id"] for person in frame["people"]] for frame in frames] == [[1, 2]] * 3
    people = [person for frame in frames for person in frame["people"]]
    assert {(person["confirmed"], person["origin"], person["similarity"]) for person in people} == {
        (True, "detected", None)
    }


def test_pictures_that_do_not_belong_together_are_told(track: Run, photos: Path) -> None:
    cv2.imwrite(str(photos / "b.png"), texture()[::-1])
    unlike = "2 of these 3 pictures show nothing of the one before; pass --photos if each is one by itself"
    for name, source, options in (("two.jsonl", "photos/**/*.*", []), ("one.jsonl", "photos/**/*.*", ["--photos"])):
        done = track("--poses", name, *options, source=source)
        assert (f"note: {unlike}" in done.err.splitlines()) == (not options)
    cv2.imwrite(str(photos / "a.jpg"), texture()[::-1])
    assert "--photos" not in track("--poses", "three.jsonl", source="photos/**/*.*").err


def test_a_single_picture_has_no_ids(track: Run, photos: Path) -> None:
    done = track("--output", "plain.png", source=photos / "b.png")
    assert "2 people in 1 picture" in done.err
    track("--output", "named.png", "--draw", "boxes,ids,skeleton", source=photos / "b.png")
    assert 0 < num_changed(Path("plain.png")) < num_changed(Path("named.png"))


def test_pictures_without_people_are_named(run: Run, models: list[str], photos: Path) -> None:
    left, top, right, bottom = BOXES[0]
    Path("boxes.txt").write_text(f"1,-1,{left + 1},{top + 1},{right - left},{bottom - top},1,-1,-1,-1\n")
    done = run("track", "--input", "photos/*.*", "--photos", *models[2:], "--boxes", "boxes.txt", "--output", "out")
    assert "1 person in 2 pictures" in done.err
    assert "note: nobody was found in b.png\n" in done.err
    assert num_changed(Path("out/b.png")) == 0


def test_what_is_broken_or_larger_is_no_hindrance(track: Run, photos: Path) -> None:
    (photos / "a.jpg").write_text("no picture")
    cv2.imwrite(str(photos / "z.png"), cv2.resize(texture(), (2 * SIZE_WH[0], SIZE_WH[1])))
    done = track("--photos", "--output", "out", source=photos)
    assert done.code == 0
    assert "1 of 3 images left out" in done.err
    assert "differ in size" not in done.err
    assert {path.name for path in Path("out").iterdir()} == {"b.png", "z.png"}


def test_what_is_not_read_is_named(track: Run, photos: Path) -> None:
    for name in ("broken.jpg", "torn.png"):
        (photos / name).write_text("no picture")
    (photos / "moving.gif").write_bytes(b"GIF89a")
    (photos / "dangling.jpg").symlink_to("nowhere.jpg")
    done = track("--photos", "--output", "out", "--poses", "out.jsonl", source=photos)
    assert "warning: not read: dangling.jpg, moving.gif; 2 of 4 images left out (broken.jpg, torn.png); " in done.err
    header, *_ = read_lines(Path("out.jsonl"))
    assert header["fps"] is None


def test_two_pictures_of_one_name_are_refused(track: Run, photos: Path) -> None:
    for name in ("twin.tiff", "twin.tiff.png"):
        cv2.imwrite(str(photos / name), texture())
    done = track("--photos", "--output", "out", source=photos)
    assert "twin.tiff and twin.tiff.png would both be written as twin.tiff.png; rename one" in refused(done, 2)
    assert not Path("out").exists()


def test_only_its_own_pictures_are_replaced(track: Run, photos: Path) -> None:
    Path("out").mkdir()
    (Path("out") / "b.png").write_text("old")
    (Path("out") / "mine.txt").write_text("precious")
    assert "out exists; move it away or pass --overwrite" in refused(
        track("--photos", "--output", "out", source=photos)
    )
    assert track("--photos", "--output", "out", "--overwrite", source=photos).code == 0
    assert (Path("out") / "mine.txt").read_text() == "precious"
    assert num_changed(Path("out") / "b.png") > 0


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("clip", [], "--photos is for pictures, and"),
        ("photos", ["--output", "photos"], "to write photos would overwrite the input"),
        ("photos/*.*", ["--output", "photos"], "pictures in photos would overwrite the input"),
        ("photos", ["--smooth", "butterworth"], "--photos has nothing to smooth, stitch or fill"),
        ("photos", ["--output", "out.mp4"], "out.mp4 is one file, but of photos each has a picture of its own"),
    ],
)
def test_what_does_not_go_together(
    track: Run, photos: Path, clip: Path, source: str, options: list[str], message: str
) -> None:
    done = track("--photos", *options, source=clip if source == "clip" else source)
    assert message in refused(done, 2)


def test_the_window_waits_at_each_picture(track: Run, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Window:
        def __init__(self, title: str) -> None:
            self.held: list[bool] = []

        def __enter__(self) -> Window:
            return self

        def __exit__(self, *_: object) -> None:
            assert self.held == [True, True]

        def show(self, image: Image, *, hold: bool) -> bool:
            self.held.append(hold)
            return True

    monkeypatch.setattr(sinks, "LiveWindow", Window)
    monkeypatch.setattr(sinks, "window_problem", lambda: None)
    assert track("--photos", "--show", source=photos).code == 0
