from __future__ import annotations

import gc
import math
import os
import shutil
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from tests.video.clips import (
    BLUE,
    GREEN,
    RED,
    WHITE,
    corner_image,
    noise_images,
    number_of,
    numbered_image,
    patch_matrix,
    write_clip,
    write_tiled_heic,
)
from tracker.errors import InputError, UsageError
from tracker.types import Frame, Image
from tracker.video import file
from tracker.video.source import VideoSource, absolute_spec, files_of, match_inputs, open_images, open_source


def read_all(spec: Path | str, **options: Any) -> list[Frame]:
    with open_source(str(spec), **options) as source:
        return list(source)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """30 numbered pictures at 30 frames per second, one keyframe."""
    return write_clip(tmp_path / "clip.mp4", [numbered_image(n) for n in range(30)])


# --- a file's facts


def test_a_clip_tells_its_facts_and_gives_every_frame(clip: Path) -> None:
    with open_source(str(clip)) as source:
        assert (source.name, source.size_wh, source.is_live) == ("clip.mp4", (64, 48), False)
        assert (source.fps, source.num_frames) == (Fraction(30), 30)
        frames = list(source)
    assert [f.index for f in frames] == list(range(30))
    assert [f.time_s for f in frames] == [n / 30 for n in range(30)]
    assert [number_of(f.image) for f in frames] == list(range(30))
    assert source.warning is None


@pytest.mark.parametrize("name", ["a:b.mp4", "100%d.mp4", "with space é.mp4", "-dash.mp4"])
def test_odd_file_names_are_names_only(clip: Path, name: str) -> None:
    odd = clip.rename(clip.with_name(name))
    assert len(read_all(odd, max_frames=2)) == 2


def test_a_title_in_another_encoding_is_no_fault(clip: Path) -> None:
    with av.open(str(clip)) as source, av.open(str(clip.with_name("titled.mp4")), "w") as target:
        target.metadata["title"] = "caf~"
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    titled = clip.with_name("titled.mp4")
    titled.write_bytes(titled.read_bytes().replace(b"caf~", b"caf\xe9"))
    assert len(read_all(titled, max_frames=2)) == 2


# --- times


def test_the_rate_is_rational(tmp_path: Path) -> None:
    fps = Fraction(30000, 1001)
    write_clip(tmp_path / "ntsc.mp4", [numbered_image(n) for n in range(10)], fps=fps)
    with open_source(str(tmp_path / "ntsc.mp4")) as source:
        assert source.fps == fps
        assert [f.time_s for f in source] == [float(n / fps) for n in range(10)]


def test_a_variable_rate_is_kept(tmp_path: Path) -> None:
    times_s = [0.0, 0.01, 0.3, 0.31, 1.7, 1.71]
    write_clip(tmp_path / "vfr.mp4", [numbered_image(n) for n in range(6)], times_s=times_s)
    assert [f.time_s for f in read_all(tmp_path / "vfr.mp4")] == pytest.approx(times_s, abs=1e-5)


def test_an_animated_gif_keeps_its_delays(tmp_path: Path) -> None:
    times_s = [0.0, 0.1, 0.5, 0.6]
    path = write_clip(
        tmp_path / "x.gif", [numbered_image(n) for n in range(4)], times_s=times_s, codec="gif", pix_fmt="rgb8"
    )
    assert [f.time_s for f in read_all(path)] == pytest.approx(times_s)


def test_a_file_that_starts_late_starts_at_0(tmp_path: Path) -> None:
    write_clip(tmp_path / "late.ts", [numbered_image(n) for n in range(10)])
    with av.open(str(tmp_path / "late.ts")) as container:
        assert container.streams.video[0].start_time, "MPEG-TS gives its streams a start"
    assert [f.time_s for f in read_all(tmp_path / "late.ts")] == pytest.approx([n / 30 for n in range(10)])


def test_b_frames_in_avi_keep_even_times(tmp_path: Path) -> None:
    write_clip(tmp_path / "b_frames.avi", [numbered_image(n) for n in range(12)], fps=Fraction(25))
    times_s = [f.time_s for f in read_all(tmp_path / "b_frames.avi")]
    assert np.diff(times_s) == pytest.approx([1 / 25] * 11)


@pytest.mark.parametrize(("fps", "expected"), [(None, 25), (10, 10), (Fraction(30000, 1001), 30000 / 1001)])
def test_a_raw_stream_gets_its_times_from_the_rate(tmp_path: Path, fps: Fraction | None, expected: float) -> None:
    write_clip(tmp_path / "raw.h264", [numbered_image(n) for n in range(12)])
    with open_source(str(tmp_path / "raw.h264"), fps=fps) as source:
        assert float(source.fps or 0) == pytest.approx(expected)
        assert [f.time_s for f in source] == pytest.approx([n / expected for n in range(12)])


# --- pixels


@pytest.mark.parametrize(
    ("matrix", "size_wh", "corners"),
    [
        ((1, 0, 0, 1), (128, 64), (RED, GREEN, BLUE, WHITE)),  # as recorded
        ((0, 1, -1, 0), (64, 128), (BLUE, RED, WHITE, GREEN)),  # the usual portrait
        ((-1, 0, 0, -1), (128, 64), (WHITE, BLUE, GREEN, RED)),  # upside down
        ((0, -1, 1, 0), (64, 128), (GREEN, WHITE, RED, BLUE)),  # portrait the other way round
        ((-1, 0, 0, 1), (128, 64), (GREEN, RED, WHITE, BLUE)),  # mirrored, as front cameras do
        ((1, 0, 0, -1), (128, 64), (BLUE, WHITE, RED, GREEN)),
        ((0, 1, 1, 0), (64, 128), (RED, BLUE, GREEN, WHITE)),  # mirrored portraits
        ((0, -1, -1, 0), (64, 128), (WHITE, GREEN, BLUE, RED)),
    ],
)
def test_turns_and_mirrors_are_honoured_once(
    tmp_path: Path, matrix: tuple[int, int, int, int], size_wh: tuple[int, int], corners: tuple[Any, ...]
) -> None:
    path = write_clip(tmp_path / "turned.mp4", [corner_image()] * 3)
    patch_matrix(path, *matrix)
    with open_source(str(path)) as source:
        assert source.size_wh == size_wh
        image = next(iter(source)).image
    found = [image[8, 8], image[8, -8], image[-8, 8], image[-8, -8]]
    np.testing.assert_allclose(found, corners, atol=8)
    assert image.flags.c_contiguous


@pytest.mark.parametrize("keeps_planes", [False, True])
def test_decoded_frames_do_not_wait_for_a_search_for_garbage(tmp_path: Path, keeps_planes: bool) -> None:
    """A server's memory grew by them: there are many bytes in few objects."""
    path = write_clip(tmp_path / "x.mp4", [corner_image()] * 3)
    patch_matrix(path, *((1, 0, 0, 1) if keeps_planes else (0, 1, -1, 0)))
    gc.collect()
    others = _decoded_frames()  # of a run before that is still ending
    gc.disable()
    try:
        assert len(read_all(path, keeps_planes=keeps_planes)) == 3
        assert not [frame for frame in _decoded_frames() if not any(frame is other for other in others)]
    finally:
        gc.enable()


def _decoded_frames() -> list[av.VideoFrame]:
    return [thing for thing in gc.get_objects() if type(thing) is av.VideoFrame]


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "width"),
    [
        ("plain.mp4", "libx264", "yuv420p", 64),  # what most files are
        ("full.mp4", "libx264", "yuvj420p", 64),  # full range, as some cameras write
        ("odd.mkv", "ffv1", "yuv444p", 63),  # odd width
        ("alpha.mov", "qtrle", "argb", 64),
        ("palette.gif", "gif", "rgb8", 64),  # animated GIF
        ("raw.mjpeg", "mjpeg", "yuvj420p", 64),
        ("web.webm", "libvpx-vp9", "yuv420p", 64),
    ],
)
def test_colours_of_every_kind_of_file(tmp_path: Path, name: str, codec: str, pix_fmt: str, width: int) -> None:
    path = write_clip(tmp_path / name, [corner_image(width, 48)] * 4, codec=codec, pix_fmt=pix_fmt)
    frames = read_all(path)
    assert len(frames) == 4
    assert frames[0].size_wh == (width, 48)
    found = [frames[0].image[at] for at in ((8, 8), (8, -8), (-8, 8), (-8, -8))]
    np.testing.assert_allclose(found, (RED, GREEN, BLUE, WHITE), atol=8)


@pytest.mark.parametrize("pix_fmt", ["gray", "gray16le"])
def test_grey_has_three_equal_channels(tmp_path: Path, pix_fmt: str) -> None:
    path = write_clip(tmp_path / "grey.mkv", [numbered_image(20)] * 2, codec="ffv1", pix_fmt=pix_fmt)
    np.testing.assert_allclose(read_all(path)[0].image, numbered_image(20), atol=2)


@pytest.mark.parametrize(
    ("size_wh", "tag", "matrix", "color_range"),
    [
        ((64, 48), 1, "ITU709", 1),  # tagged as high definition though small
        ((64, 48), 5, "ITU601", 1),
        ((64, 48), 2, "ITU601", 1),  # untagged and small
        *(((64, 48), tag, "ITU601", 1) for tag in (3, 8, 10, 11, 12, 13, 14)),  # tags that swscale does not convert
        ((1280, 64), 2, "ITU709", 1),  # untagged and wide
        ((64, 48), 1, "ITU709", 2),  # full range
        ((64, 48), 5, "ITU601", 2),
    ],
)
def test_colours_are_read_as_they_are_tagged(
    tmp_path: Path, size_wh: tuple[int, int], tag: int, matrix: str, color_range: int
) -> None:
    path = tmp_path / "tagged.mkv"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size_wh, "yuv444p"
        stream.codec_context.colorspace, stream.codec_context.color_range = tag, color_range
        frame = av.VideoFrame.from_ndarray(corner_image(*size_wh), "bgr24").reformat(
            format="yuv444p", dst_colorspace=matrix, dst_color_range=color_range
        )
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    np.testing.assert_allclose(read_all(path)[0].image, corner_image(*size_wh), atol=4)


# --- a part of it


def test_start_is_inclusive_and_end_exclusive(clip: Path) -> None:
    frames = read_all(clip, start_s=0.5, end_s=0.7)
    assert [number_of(f.image) for f in frames] == [15, 16, 17, 18, 19, 20]
    assert [f.index for f in frames] == [15, 16, 17, 18, 19, 20]
    assert frames[0].time_s == 0.5


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("no_index.ts", "libx264", "yuv420p"),  # a seek jumps past the end
        ("clip.mkv", "libx264", "yuv420p"),
        ("clip.mp4", "libx264", "yuv420p"),  # with B-frames
        ("clip.avi", "mjpeg", "yuvj420p"),
        ("raw.h264", "libx264", "yuv420p"),  # cannot seek
    ],
)
def test_start_finds_its_frame_where_seeking_is_poor(tmp_path: Path, name: str, codec: str, pix_fmt: str) -> None:
    images = [numbered_image(n) for n in range(30)]
    path = write_clip(tmp_path / name, images, fps=Fraction(25), codec=codec, pix_fmt=pix_fmt)
    frames = [(f.index, number_of(f.image)) for f in read_all(path, start_s=0.6)]
    assert frames == [(number, number) for number in range(15, 30)]


@pytest.mark.parametrize("start_s", [0.4, 5, 9])
def test_a_seek_that_goes_too_far_is_made_good(tmp_path: Path, start_s: float) -> None:
    path = write_clip(tmp_path / "long.ts", [numbered_image(n % 30) for n in range(300)])
    (frame,) = read_all(path, start_s=start_s, max_frames=1)
    assert (frame.time_s, frame.index) == (pytest.approx(start_s), round(30 * start_s))


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("palette.avi", "rawvideo", "pal8"),
        ("palette.mov", "rawvideo", "pal8"),
        ("palette.avi", "msrle", "pal8"),
        ("palette.mov", "smc", "pal8"),
        ("grey.avi", "rawvideo", "gray"),
        ("grey.mov", "rawvideo", "gray"),
        ("grey.mov", "qtrle", "gray"),  # read with a palette of greys
    ],
)
def test_a_start_keeps_the_palette(tmp_path: Path, name: str, codec: str, pix_fmt: str) -> None:
    greys = np.stack([np.full(256, 255), *[np.arange(256)] * 3], axis=1).astype(np.uint8)
    with av.open(str(tmp_path / name), "w") as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        for number in range(30):
            pixels: Any = numbered_image(number)[..., 0].copy()
            pixels = (pixels, greys) if pix_fmt == "pal8" else pixels
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, pix_fmt)))
        container.mux(stream.encode(None))
    started = read_all(tmp_path / name, start_s=0.6)
    assert [number_of(frame.image) for frame in started] == list(range(15, 30))
    for frame, same in zip(started, read_all(tmp_path / name)[15:], strict=True):
        np.testing.assert_array_equal(frame.image, same.image)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 30),
        ({"max_frames": 7}, 7),
        ({"max_frames": 70}, 30),
        ({"start_s": 0.5}, 15),
        ({"start_s": 0.25, "end_s": 0.75}, 15),  # frames 8 to 22
        ({"end_s": 99}, 30),
    ],
)
def test_the_expected_number_of_frames_comes(clip: Path, options: dict[str, Any], expected: int) -> None:
    with open_source(str(clip), **options) as source:
        assert source.num_frames == expected
        assert len(list(source)) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fps": 0}, "--fps must be within 0.00001 and 1000000, not 0"),
        ({"fps": 1e-6}, "--fps must be within"),  # which is no rate of whole numbers any more
        ({"fps": math.inf}, "--fps must be within"),
        ({"start_s": -1}, "--start must be 0 or more"),
        ({"end_s": 0}, "must come after --start"),  # the end is exclusive
        ({"max_frames": 0}, "--max-frames must be 1 or more"),
    ],
)
def test_senseless_ranges_are_refused(clip: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_source(str(clip), **options)


@pytest.mark.parametrize("name", ["fps", "start_s", "end_s", "max_frames", "reconnect_s"])
def test_a_text_is_no_number(clip: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a number, not '2'"):
        open_source(str(clip), **{name: "2"})


# --- faults


def add_silence(container: Any, stream: Any, length_s: float = 0.02) -> None:
    sound = av.AudioFrame.from_ndarray(np.zeros((1, round(44100 * length_s)), np.float32), "fltp", "mono")
    sound.sample_rate = 44100
    container.mux(stream.encode(sound))
    container.mux(stream.encode(None))


def silent_sound(path: Path) -> None:
    with av.open(str(path), "w") as container:
        add_silence(container, container.add_stream("aac", rate=44100))


def concatenation(path: Path) -> None:
    write_clip(path.with_name("part.ts"), [corner_image()] * 10)
    path.write_text("ffconcat version 1.0\nfile part.ts\n")


def playlist(path: Path) -> None:
    write_clip(path.with_name("part.ts"), [corner_image()] * 10)
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.1,\npart.ts\n#EXT-X-ENDLIST\n")


def without_index(path: Path) -> None:
    """What is left when a recorder loses power: the index would have been written last."""
    write_clip(path, noise_images(20))
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 4])


def half_without_index(path: Path) -> None:
    write_clip(path, noise_images(20))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def recording(path: Path) -> None:
    """As the recorder leaves it: the pictures' box has a length of 64 bits and reaches beyond the file."""
    path.write_bytes(struct.pack(">I4s8x", 16, b"ftyp") + struct.pack(">I4sQ", 1, b"mdat", 1 << 40) + bytes(99))


def cut_index(path: Path) -> None:
    """A copy that broke off within the index, of which FFmpeg makes streams of no kind."""
    write_clip(path, noise_images(20))
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"mdhd")])


def nothing_in_it(path: Path) -> None:
    path.write_bytes(struct.pack(">I4s8s", 16, b"ftyp", b"isomisom") + struct.pack(">I4s", 108, b"free") + bytes(100))


def unknown_kind(path: Path) -> None:
    write_clip(path, noise_images(8))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"abcd"))


def huge(path: Path) -> None:
    """A GIF that claims pictures of a gigabyte each."""
    write_clip(path, [corner_image()] * 3, codec="gif", pix_fmt="rgb8")
    data = path.read_bytes()
    path.write_bytes(data[:6] + struct.pack("<HH", 16_000, 16_000) + data[10:])


def undecodable(path: Path) -> None:
    write_clip(path, noise_images(8), movflags="faststart")
    data = path.read_bytes()
    start = data.index(b"mdat") + 4
    path.write_bytes(data[:start] + b"\xff" * (len(data) - start))


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("missing.mp4", lambda path: None, r"cannot open .*missing.mp4 \(No such file or directory\); check the path"),
        ("n" * 300 + ".mp4", lambda path: None, "File name too long"),
        ("text.mp4", lambda path: path.write_text("no video\n" * 100), "is no video that FFmpeg can read"),
        ("list.mp4", concatenation, "is no video that FFmpeg can read"),
        ("list.m3u8", playlist, "is no video that FFmpeg can read"),
        (
            "lost.mp4",
            without_index,
            r"lost\.mp4 lacks its index \(moov\), which is written last: .*; copy it again, or",
        ),
        ("lost.mov", half_without_index, r"lost\.mov lacks its index \(moov\)"),
        ("lost.m4v", recording, r"lost\.m4v lacks its index \(moov\)"),
        ("cut.mp4", cut_index, r"cut\.mp4 lacks its index \(moov\)"),
        ("free.mp4", nothing_in_it, "is no video that FFmpeg can read"),
        ("nothing.mp4", lambda path: path.touch(), r"is empty \(0 bytes\)"),
        ("sound.mp4", silent_sound, "has no video stream"),
        ("undecodable.mp4", undecodable, "skipped and 8 of about 8 frames are missing .*; copy or record it again"),
        ("phone.heic", write_tiled_heic, r"phone\.heic is a picture in tiles, which .*; convert it to JPEG or PNG"),
        ("unknown.mp4", unknown_kind, r"unknown\.mp4 is damaged, or of a kind that FFmpeg cannot decode; convert it"),
        ("huge.gif", huge, "damaged packets were skipped"),
        ("folder", lambda path: path.mkdir(), r"holds no images .*; name an image folder, a video, or videos by a pat"),
        ("folder.mp4", lambda path: path.mkdir(), "holds no images"),  # whatever it is called
        ("*.mp4", lambda path: None, r"cannot open .*\*\.mp4 \(No such file or directory\)"),  # nothing matches
        ("7777", lambda path: None, "there is no camera 7777"),
    ],
)
def test_unreadable_inputs_are_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, make: Any, message: str
) -> None:
    make(tmp_path / name)
    with pytest.raises(InputError, match=message) as caught:
        open_source(name if name.isdigit() else str(tmp_path / name))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(UsageError, match="--input is empty"):
        open_source("")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("clip.mp4", ["clip.mp4"]),  # no pattern
        ("absent*.mp4", ["absent*.mp4"]),  # nothing matches: an error of its own when it is opened
        ("*.mp4", ["clip.mp4", "clip2.mp4", "clip10.mp4"]),  # videos are inputs of their own, in natural order
        ("a*", ["a", "a1.png", "a 1", "a [1]", "a[1].png"]),  # so is everything as soon as there is more than images
        ("*.png", ["*.png"]),  # images are one input
        ("a[1].png", ["a[1].png"]),  # that is its name
        ("0", ["0"]),
        ("http://host/*.mp4?x=[1]", ["http://host/*.mp4?x=[1]"]),
        ("-", ["-"]),  # stdin
        ("a [1]/*.mp4", ["a [1]/z.mp4"]),  # so a folder is called
        ("**/z.mp4", ["a [1]/z.mp4"]),
    ],
)
def test_what_a_pattern_stands_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, expected: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("clip.mp4", "clip2.mp4", "clip10.mp4", "a1.png", "a[1].png", "b.png"):
        (tmp_path / name).touch()
    for name in ("a", "a [1]", "a 1"):
        (tmp_path / name).mkdir()
    (tmp_path / "a [1]/z.mp4").touch()
    assert match_inputs(spec) == expected


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder one stands in: `in` with two videos and two folders of images, `shots` with images, `text` without."""
    for name in ("in/10.MP4", "in/2.mkv", "in/.3.mp4", "in/notes.txt", "in/b/0.png", "in/a/0.jpg", "in/c/x/0.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"123")
    shutil.copytree(tmp_path / "in", tmp_path / "shots")
    (tmp_path / "shots/2.png").touch()
    (tmp_path / "shots/10.png").write_bytes(b"12")
    (tmp_path / "text").mkdir()
    (tmp_path / "text/notes.txt").touch()
    (tmp_path / "0").symlink_to(tmp_path / "in")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("in/2.mkv", ["in/2.mkv"]),
        ("shots", ["shots/2.png", "shots/10.png"]),
        ("shots/*.png", ["shots/2.png", "shots/10.png"]),
        ("text", []),
        ("absent", []),
        ("0", []),  # a camera
        ("rtsp://host/1", []),
    ],
)
def test_the_files_of_an_input(folders: Path, spec: str, expected: list[str]) -> None:
    assert list(map(str, files_of(spec))) == expected


def test_folders_that_may_not_be_looked_into_are_told_when_they_are_opened(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_dir", refuse)
    assert match_inputs("in") == ["in"]
    assert files_of("in") == []


@pytest.mark.parametrize("spec", ["0", "-", "rtsp://host/1", "{}/in/*.mp4"])
def test_an_input_is_the_same_wherever_one_stands(folders: Path, spec: str) -> None:
    assert absolute_spec(spec.format(folders)) == spec.format(folders)
    assert absolute_spec("in/*.mp4") == str(folders / "in/*.mp4")


def test_images_that_are_all_needed(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("b.png", "a.png", "c.png")]
    for number, path in enumerate(paths[:2]):
        cv2.imwrite(str(path), numbered_image(number))
    with open_images("name", paths, 29.97, max_frames=2) as source:
        assert (source.name, source.fps, source.num_frames) == ("name", Fraction(2997, 100), 2)
        assert [number_of(frame.image) for frame in source] == [0, 1]
    with open_images("name", paths, 25) as source, pytest.raises(InputError, match=r"c\.png cannot be read"):
        list(source)


def test_a_pattern_of_videos_is_no_single_source(clip: Path) -> None:
    with pytest.raises(UsageError, match=r"\*\.mp4 matches .*clip\.mp4, which is no image; name one video at a time"):
        open_source(str(clip.with_name("*.mp4")))


def test_a_file_without_permission_is_refused(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # root may read everything, so the system is asked by a stand-in
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != clip)
    with pytest.raises(InputError, match=r"no permission to read .*clip\.mp4; change its permissions or copy it"):
        open_source(str(clip))


def test_a_folder_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> Iterator[Path]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(InputError, match=r"cannot be listed \(Permission denied\); check its permissions"):
        open_source(str(tmp_path))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in folders")
def test_what_can_be_read_only_once_is_read_from_its_beginning(clip: Path, tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.ts", [numbered_image(n) for n in range(30)])
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes((tmp_path / "clip.ts").read_bytes()))
    writer.start()
    assert len(read_all(pipe, start_s=0.5)) == 15
    writer.join()


@pytest.mark.parametrize(
    ("name", "fps", "rate"),
    [
        pytest.param("clip.mkv", None, 30, id="the rate that it states"),
        pytest.param("clip.mkv", 10, 10, id="the rate that is given"),
        pytest.param("clip.ts", None, 25, id="the usual rate"),
    ],
)
@pytest.mark.parametrize("start_s", [None, 0.5])
def test_a_clock_that_stands_still_is_told_and_the_rate_is_gone_by(
    tmp_path: Path, name: str, fps: int | None, rate: int, start_s: float | None
) -> None:
    whole = write_clip(tmp_path / "whole.avi", [numbered_image(n) for n in range(20)], codec="mpeg4")
    path = write_still(whole, tmp_path / name)
    with open_source(str(path), fps=fps, start_s=start_s) as source:
        frames = list(source)
        first = math.ceil((start_s or 0) * rate)
        assert [frame.index for frame in frames] == list(range(first, 20))
        assert [frame.time_s for frame in frames] == pytest.approx(np.arange(first, 20) / rate)
        for frame, picture in zip(frames, read_all(whole)[first:], strict=True):
            np.testing.assert_array_equal(frame.image, picture.image)
        assert source.fps == rate
        assert source.warning == f"{name} gives all pictures one time; they go by {rate} a second, or --fps R"


@pytest.mark.parametrize("num_alike", [2, 4])
def test_some_pictures_of_one_time_are_told(tmp_path: Path, num_alike: int) -> None:
    whole = write_clip(tmp_path / "whole.avi", [numbered_image(n) for n in range(12)], codec="mpeg4")
    path = write_still(whole, tmp_path / "clip.mkv", lambda number: number // num_alike * num_alike)
    with open_source(str(path)) as source:
        times_s = [frame.time_s for frame in source]
    steps_s = np.array([0.25 / 30] * (num_alike - 1) + [num_alike / 30 - 0.25 / 30 * (num_alike - 1)])
    assert np.diff(times_s) == pytest.approx(np.tile(steps_s, 12 // num_alike)[:-1], abs=0.002)
    number = 12 - 12 // num_alike
    told = f"clip.mkv gives {number} of its frames no later time than the one before; a quarter step is taken"
    assert source.warning == told


def write_still(source: Path, path: Path, stamp: Callable[[int], int] = lambda _: 0) -> Path:
    """The packets of a video without B-frames, all of one time, or of those that are given for their numbers."""
    with av.open(str(source)) as whole, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(whole.streams.video[0])
        for number, packet in enumerate(whole.demux(video=0)):
            if packet.dts is not None:
                packet.pts = packet.dts = stamp(number)
                packet.stream = stream
                container.mux(packet)
    return path


def read_stdin(path: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> list[Frame]:
    """The frames of a file that comes through a pipe."""
    reading, writing = os.pipe()

    def send() -> None:
        with suppress(BrokenPipeError), os.fdopen(writing, "wb") as pipe:
            pipe.write(path.read_bytes())

    monkeypatch.setattr(file, "_STDIN", reading)
    writer = threading.Thread(target=send)
    writer.start()
    try:
        return read_all("-", **options)
    finally:
        os.close(reading)
        writer.join()


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("clip.mkv", "libx264", {}),
        ("clip.ts", "libx264", {}),
        ("clip.webm", "libvpx", {}),
        ("clip.y4m", "rawvideo", {}),
        ("clip.h264", "libx264", {}),
        ("clip.mp4", "libx264", {"movflags": "frag_keyframe+empty_moov"}),
    ],
)
def test_videos_come_through_stdin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, codec: str, options: dict[str, str]
) -> None:
    path = write_clip(tmp_path / name, [numbered_image(n) for n in range(30)], codec=codec, **options)
    for part, expected in (({}, range(30)), ({"fps": 10, "start_s": 0.99, "max_frames": 3}, range(10, 13))):
        frames = read_stdin(path, monkeypatch, **part)
        assert [frame.index for frame in frames] == list(expected)
        assert [number_of(frame.image) for frame in frames] == list(expected)
    assert frames[0].time_s == pytest.approx(1, abs=0.002)


def test_what_stdin_cannot_be_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "no.mp4").write_text("no video")
    with pytest.raises(InputError, match=r"^stdin is an mp4 with its index at the end, .*; pipe mkv, .* or name it$"):
        read_stdin(write_clip(tmp_path / "clip.mp4", noise_images(30)), monkeypatch)
    with pytest.raises(InputError, match=r"^stdin holds no video that FFmpeg can read; pipe mkv"):
        read_stdin(tmp_path / "no.mp4", monkeypatch)
    monkeypatch.setattr(os, "isatty", lambda _: True)
    with pytest.raises(InputError, match=r"^nothing is piped into stdin"):
        open_source("-")


@pytest.mark.parametrize(("end_s", "span"), [(None, "from 5 s on"), (6.5, "from 5 to 6.5 s")])
def test_a_start_after_the_end_tells_the_length(clip: Path, end_s: float | None, span: str) -> None:
    with pytest.raises(InputError, match=rf"has no frame {span}; it is 1\.0 s long"):
        open_source(str(clip), start_s=5, end_s=end_s)


@pytest.mark.parametrize("end_s", [None, 6.5])
def test_a_start_after_the_end_tells_the_length_of_what_does_not_state_it(tmp_path: Path, end_s: float | None) -> None:
    path = write_clip(tmp_path / "clip.h264", noise_images(25))
    with pytest.raises(InputError, match=r"clip\.h264 has no frame from 5 .*; it is 1\.0 s long"):
        open_source(str(path), start_s=5, end_s=end_s)


@pytest.mark.parametrize("start_s", [None, 0.2])
@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("cut.mp4", "libx264", {"movflags": "faststart"}),
        ("cut.mkv", "libx264", {}),  # its length is in a tag
        ("cut.avi", "mpeg4", {}),  # FFmpeg shortens its length to what is left
        ("cut.flv", "libx264", {}),  # only the container has a length
        ("cut_fragments.mp4", "libx264", {"movflags": "frag_keyframe"}),  # its first fragment counts all
    ],
)
def test_a_truncated_file_gives_what_it_has_and_says_what_is_missing(
    tmp_path: Path, name: str, codec: str, options: dict[str, str], start_s: float | None
) -> None:
    path = write_clip(tmp_path / name, noise_images(60), codec=codec, **options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with open_source(str(path), start_s=start_s) as source:
        assert source.warning is None
        last = list(source)[-1]
    assert 0.5 < last.time_s < 1.5
    missing = 60 - round(last.time_s * 30) - 1
    assert source.warning is not None
    assert f"{missing} of about" in source.warning
    assert "\n" not in source.warning


def test_a_size_that_changes_is_told_once_and_each_picture_keeps_its_own(tmp_path: Path) -> None:
    sizes_wh = [(64, 48), (96, 64), (128, 96)]
    for number, (width, height) in enumerate(sizes_wh):
        images = [numbered_image(n, width, height) for n in range(5)]
        write_clip(tmp_path / f"{number}.ts", images, times_s=[number + n / 5 for n in range(5)])
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join((tmp_path / f"{number}.ts").read_bytes() for number in range(3)))
    with open_source(str(joined)) as source:
        assert [f.size_wh for f in source] == [size for size in sizes_wh for _ in range(5)]
    assert source.warning is not None
    assert "pictures differ in size (64x48, then 96x64 at frame 5): poses are in the pixels" in source.warning


@pytest.mark.parametrize("name", ["whole.mkv", "whole.webm", "whole.avi", "whole.flv", "whole.ts"])
def test_a_whole_file_is_not_called_cut_off(tmp_path: Path, name: str) -> None:
    codec = "libvpx-vp9" if name.endswith("webm") else "libx264"
    path = write_clip(tmp_path / name, [numbered_image(n) for n in range(20)], codec=codec)
    with open_source(str(path)) as source:
        assert len(list(source)) == 20
    assert source.warning is None


def test_an_avi_of_a_variable_rate_is_not_called_cut_off(tmp_path: Path) -> None:
    """AVI counts ticks of its clock, in most of which no frame begins."""
    with av.open(str(tmp_path / "variable.avi"), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=1000)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number, image in enumerate(noise_images(50)):
            frame = av.VideoFrame.from_ndarray(image, "bgr24")
            frame.pts, frame.time_base = 35 * number + 5 * (number % 2), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = (tmp_path / "variable.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(data[: len(data) // 2])
    with open_source(str(tmp_path / "variable.avi")) as source:
        assert source.num_frames == pytest.approx(50, abs=2)
        assert len(list(source)) == 50
    assert source.warning is None
    with open_source(str(tmp_path / "cut.avi")) as source:
        count = len(list(source))
    missing = int(str(source.warning).partition("cut off: ")[2].split()[0])
    assert count + missing == pytest.approx(50, abs=2)


def test_sound_that_outlasts_the_pictures_is_not_missing_frames(tmp_path: Path) -> None:
    pictures = write_clip(tmp_path / "pictures.mp4", [numbered_image(n) for n in range(15)])
    with av.open(str(pictures)) as source, av.open(str(tmp_path / "long.flv"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        sound = target.add_stream("aac", rate=44100)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
        add_silence(target, sound, 0.9)
    with av.open(str(tmp_path / "long.flv")) as container:
        assert (container.duration or 0) > 0.85 * av.time_base, "the sound's"
    with open_source(str(tmp_path / "long.flv")) as read:
        assert len(list(read)) == 15
    assert read.warning is None


def test_a_damaged_middle_does_not_end_the_video(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "hole.mkv", noise_images(20), codec="ffv1", pix_fmt="yuv444p")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = bytes(2000)
    path.write_bytes(data)
    assert read_all(path)[-1].time_s == pytest.approx(19 / 30, abs=1e-3)


def test_a_long_last_frame_is_not_missing_frames(tmp_path: Path) -> None:
    path = tmp_path / "held.mp4"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(5):
            frame = av.VideoFrame.from_ndarray(numbered_image(index), "bgr24").reformat(format="yuv420p")
            for packet in stream.encode(frame):
                packet.duration = 90 if index == 4 else 1
                container.mux(packet)
    with open_source(str(path)) as source:
        assert len(list(source)) == 5
    assert source.warning is None


def test_frames_hidden_by_an_edit_are_not_missing(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.mp4", noise_images(20))
    with av.open(str(whole)) as source, av.open(str(tmp_path / "edited.mp4"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        half_s = round(Fraction(1, 3) / source.streams.video[0].time_base)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.pts, packet.dts = packet.pts - half_s, packet.dts - half_s
                packet.stream = stream
                target.mux(packet)
    with open_source(str(tmp_path / "edited.mp4")) as edited:
        assert len(list(edited)) == 10
    assert edited.warning is None
    (frame,) = read_all(tmp_path / "edited.mp4", start_s=0.19, max_frames=1)
    assert (frame.index, frame.time_s) == (6, pytest.approx(0.2))


# --- the part that all sources share


class ListReader:
    """Pictures at given times."""

    name, is_live, fps, num_frames = "list", False, None, None
    warning: str | None = None
    place = file = pictures = None
    closed = False

    def __init__(self, *times_s: float) -> None:
        self._times_s = times_s

    def read(self, start_s: float) -> Iterator[tuple[float, Image]]:
        return ((time_s, corner_image()) for time_s in self._times_s if start_s == 0 or time_s >= start_s)

    def close(self) -> None:
        self.closed = True


def test_times_never_decrease() -> None:
    source = VideoSource(ListReader(-0.1, 0.2, 0.1, 0.3))
    assert [f.time_s for f in source] == [0.0, 0.2, 0.2, 0.3]


def test_leaving_the_context_closes_the_reader() -> None:
    reader = ListReader(0)
    with pytest.raises(KeyError), VideoSource(reader):
        raise KeyError
    assert reader.closed


@pytest.mark.parametrize(("max_frames", "expected"), [(None, None), (5, 5)])
def test_an_unknown_length_stays_unknown(max_frames: int | None, expected: int | None) -> None:
    assert VideoSource(ListReader(0), max_frames=max_frames).num_frames == expected


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "music.m4a"
    with av.open(path, "w", format="mp4") as container:
        sound, cover = container.add_stream("aac", rate=44_100), container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.int16), format="s16", layout="mono")
        silence.rate = 44_100
        picture = av.VideoFrame.from_ndarray(corner_image(64, 48), format="bgr24")
        for stream, frame in ((cover, picture), (cover, None), (sound, silence), (sound, None)):
            container.mux(stream.encode(frame))
    with pytest.raises(InputError, match="sound with a cover picture"):
        open_source(str(path))
