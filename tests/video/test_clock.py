"""Clocks of recordings: joined ones, such that jump, in milliseconds, and such that are given another rate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import pytest

from tests.video.clips import number_of, numbered_image, write_clip
from tracker.errors import UsageError
from tracker.types import Frame
from tracker.video.clock import find_rate
from tracker.video.source import VideoSource, open_source

HOUR = 3600.0


def read(path: Path, **options: Any) -> tuple[list[Frame], VideoSource]:
    with open_source(str(path), **options) as source:
        return list(source), source


def numbers(frames: Sequence[Frame]) -> list[int]:
    return [number_of(frame.image) for frame in frames]


def join(path: Path, parts_s: Sequence[Sequence[float]], codec: str = "libx264", **options: str) -> Path:
    """Recordings with these times, one after the other as bytes; their pictures are numbered throughout, up to 30."""
    done, data = 0, b""
    for times_s in parts_s:
        images = [numbered_image((done + n) % 30) for n in range(len(times_s))]
        part = path.with_name(f"part{path.suffix}")
        irregular_s = None if list(times_s) == regular(len(times_s)) else times_s
        data += write_clip(part, images, times_s=irregular_s, fps=Fraction(25), codec=codec, **options).read_bytes()
        done += len(times_s)
    path.write_bytes(data)
    return path


def regular(count: int, start_s: float = 0) -> list[float]:
    return [start_s + n / 25 for n in range(count)]


JOINED = [
    pytest.param("x.ts", "libx264", {}, id="ts"),
    pytest.param("x.m2ts", "libx264", {}, id="m2ts"),
    pytest.param("x.ts", "mpeg2video", {}, id="ts in MPEG-2"),
    pytest.param("x.mkv", "libx264", {}, id="mkv"),
]


@pytest.mark.parametrize(("name", "codec", "options"), JOINED)
def test_joined_recordings_go_on_one_frame_later(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    path = join(tmp_path / name, [regular(50), regular(50)], codec, **options)
    frames, source = read(path)
    assert [frame.time_s for frame in frames] == pytest.approx(regular(100), abs=2e-3)
    assert source.warning == f"the clock of {name} starts anew or jumps once; there, times go on one frame later"
    assert source.num_frames == 100


@pytest.mark.parametrize("start_s", [1.0, 2.0, 3.0])
@pytest.mark.parametrize(("name", "codec", "options"), JOINED)
def test_a_start_means_the_same_place_as_without(
    tmp_path: Path, name: str, codec: str, options: dict[str, str], start_s: float
) -> None:
    path = join(tmp_path / name, [regular(50), regular(50)], codec, **options)
    frames, _ = read(path, start_s=start_s)
    whole, _ = read(path)
    expected = [frame for frame in whole if frame.time_s >= start_s]
    assert [frame.time_s for frame in frames] == [frame.time_s for frame in expected]
    assert numbers(frames) == numbers(expected)


@pytest.mark.parametrize("name", ["x.mpg", "x.vob"])
def test_joined_mpeg_ps_whose_pictures_have_twins_in_time(tmp_path: Path, name: str) -> None:
    path = join(tmp_path / name, [regular(50), regular(50)], "mpeg2video")
    whole, source = read(path)
    assert len({frame.time_s for frame in whole}) == 100
    assert whole[-1].time_s == pytest.approx(99 / 25, abs=0.05)
    assert source.warning is not None
    assert numbers(read(path, start_s=2.5)[0])[-20:] == numbers(whole)[-20:]


@pytest.mark.parametrize(
    ("parts_s", "jumps"),
    [
        pytest.param([[*regular(10), *regular(10, 5 * HOUR)]], "once", id="ahead"),
        pytest.param([[*regular(10), *regular(10, 5 * HOUR)], regular(10)], "2 times", id="ahead and back"),
        pytest.param([regular(10, 3 * HOUR), regular(10), regular(10, HOUR + 9)], "2 times", id="back and ahead"),
        pytest.param([regular(7), regular(7), regular(7)], "2 times", id="short parts"),
    ],
)
def test_times_go_on_whatever_the_clock_does(tmp_path: Path, parts_s: list[list[float]], jumps: str) -> None:
    path = join(tmp_path / "x.ts", parts_s)
    frames, source = read(path)
    count = sum(map(len, parts_s))
    assert [frame.time_s for frame in frames] == pytest.approx(regular(count), abs=2e-3)
    assert numbers(frames) == list(range(count))
    assert source.warning is not None
    assert source.warning.startswith(f"the clock of x.ts starts anew or jumps {jumps};")
    assert numbers(read(path, start_s=0.5)[0]) == numbers([frame for frame in frames if frame.time_s >= 0.5])


def test_a_pause_of_minutes_is_kept(tmp_path: Path) -> None:
    times_s = [*regular(5), *regular(5, 1800)]
    frames, source = read(join(tmp_path / "x.ts", [times_s]))
    assert [frame.time_s for frame in frames] == pytest.approx(times_s, abs=2e-3)
    assert source.warning is None


# --- rates


def in_milliseconds(path: Path, codec: str, times_s: Sequence[float]) -> Path:
    """A file that claims 1000 pictures a second, as browsers write them."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=1000)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, time_s in enumerate(times_s):
            frame = av.VideoFrame.from_ndarray(numbered_image(number % 30), "bgr24").reformat(format="yuv420p")
            frame.pts, frame.time_base = round(1000 * time_s), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("fps", [30, 25, 30000 / 1001, 12.5])
@pytest.mark.parametrize(
    ("name", "codec"), [("x.webm", "libvpx"), ("x.wmv", "wmv2"), ("x.flv", "flv"), ("x.mkv", "libx264")]
)
def test_a_clock_in_milliseconds_has_about_the_true_rate(tmp_path: Path, name: str, codec: str, fps: float) -> None:
    path = in_milliseconds(tmp_path / name, codec, [n / fps for n in range(90)])
    frames, source = read(path)
    assert source.fps is not None
    assert float(source.fps) == pytest.approx(fps, rel=2e-3)
    assert source.num_frames == pytest.approx(90, abs=3)
    assert [frame.time_s for frame in frames] == pytest.approx([n / fps for n in range(90)], abs=1.1e-3)


def test_a_single_picture_on_such_a_clock_has_no_rate(tmp_path: Path) -> None:
    _, source = read(in_milliseconds(tmp_path / "x.webm", "libvpx", [0]))
    assert (source.fps, source.num_frames) == (None, None)


@pytest.mark.parametrize("fps", [240, 12.5])
def test_another_rate_sets_the_times_anew(tmp_path: Path, fps: float) -> None:
    clip = write_clip(tmp_path / "slow.mp4", [numbered_image(n) for n in range(30)])
    frames, source = read(clip, fps=fps)
    assert (source.fps, source.num_frames, source.warning) == (fps, 30, None)
    assert [frame.time_s for frame in frames] == pytest.approx([n / fps for n in range(30)])
    assert numbers(read(clip, fps=fps, start_s=10 / fps, end_s=13 / fps)[0]) == [10, 11, 12]


def test_another_rate_keeps_a_variable_rates_proportions(tmp_path: Path) -> None:
    times_s = [0.0, 0.1, 0.3, 0.4, 0.5]
    clip = write_clip(tmp_path / "x.mp4", [numbered_image(n) for n in range(5)], times_s=times_s)
    with open_source(str(clip)) as source:
        own = float(source.fps or 0)
    frames, _ = read(clip, fps=2 * own)
    assert [frame.time_s for frame in frames] == pytest.approx([time_s / 2 for time_s in times_s], abs=1e-4)


def test_a_camera_takes_no_rate() -> None:
    with pytest.raises(UsageError, match="camera 7777 is live, with a clock of its own; leave out --fps"):
        open_source("7777", fps=10)


def test_the_rate_is_measured_up_to_the_first_damage() -> None:
    def demux(_: Any) -> Iterator[Any]:
        yield from (SimpleNamespace(dts=stamp) for stamp in (0, None, 40, 80, 120))
        raise av.error.InvalidDataError(1, "damaged")

    stream = SimpleNamespace(average_rate=None, index=0, time_base=Fraction(1, 1000))
    container = SimpleNamespace(format=SimpleNamespace(name="nut"), streams=[stream], demux=demux)
    assert find_rate(container, stream, lambda: nullcontext(container)) == 25
