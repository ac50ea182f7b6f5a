from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.video.clips import corner_image, noise_images, number_of, numbered_image
from tracker.errors import OutputError
from tracker.outputs import partial_path
from tracker.types import FloatArray, Frame, Image
from tracker.video.source import open_source
from tracker.video.writer import PictureWriter, VideoWriter, check_container, is_picture

ROOT = Path(__file__).parents[2]


def write(path: Path, images: Sequence[Any], times_s: Sequence[float], **options: Any) -> None:
    with VideoWriter(path, **options) as writer:
        for image, time_s in zip(images, times_s, strict=True):
            writer.write(image, time_s)


def read(path: Path) -> list[Frame]:
    with open_source(str(path)) as source:
        return list(source)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.mp4"


# --- times


@pytest.mark.parametrize(
    "times_s",
    [
        [n / 25 for n in range(60)],  # several fragments
        [n * 1001 / 30000 for n in range(60)],
        [0.0, 0.01, 0.5, 0.51, 2.7, 2.71, 6.0],  # variable, with gaps longer than a fragment
    ],
    ids=["25", "30000/1001", "variable"],
)
def test_the_times_are_the_inputs(out: Path, times_s: list[float]) -> None:
    write(out, [numbered_image(n % 30) for n in range(len(times_s))], times_s, fps=Fraction(25))
    frames = read(out)
    assert [f.time_s for f in frames] == pytest.approx(times_s, abs=0.6 / 90_000)
    assert [number_of(f.image) for f in frames] == [n % 30 for n in range(len(times_s))]


def test_a_part_of_a_video_starts_at_0(out: Path) -> None:
    write(out, [numbered_image(n) for n in range(3)], [10.0, 10.5, 11.5])
    assert [f.time_s for f in read(out)] == [0.0, 0.5, 1.5]
    with av.open(str(out)) as container:
        assert container.streams.video[0].start_time == 0


def test_equal_and_falling_times_still_increase(out: Path) -> None:
    write(out, [numbered_image(n) for n in range(4)], [0.0, 0.0, -1.0, 0.5])
    ticks = [round(f.time_s * 90_000) for f in read(out)]
    assert ticks == [0, 1, 2, 45_000]


@pytest.mark.parametrize("fps", [Fraction(24), Fraction(30000, 1001), Fraction(1, 20), Fraction(240)])
def test_the_last_picture_lasts_as_long_as_the_others(out: Path, fps: Fraction) -> None:
    write(out, [numbered_image(n) for n in range(10)], [float(n / fps) for n in range(10)], fps=fps)
    with av.open(str(out)) as container:
        stream: Any = container.streams.video[0]
        assert float(stream.duration * stream.time_base) == pytest.approx(float(10 / fps), abs=1e-4)
        assert float(stream.average_rate) == pytest.approx(float(fps), rel=1e-4)


@pytest.mark.parametrize("fps", [None, Fraction(1000), Fraction(30), Fraction(1, 5)])
@pytest.mark.parametrize("step_s", [1 / 30, 1 / 240, 0.7, 5])
def test_a_key_frame_comes_every_two_seconds_whatever_the_rate(out: Path, fps: Fraction | None, step_s: float) -> None:
    count = min(max(round(10 / step_s), 5), 600)
    write(out, [numbered_image(n % 2) for n in range(count)], [n * step_s for n in range(count)], fps=fps)
    with av.open(str(out)) as container:
        keys_s = [float(packet.pts * packet.time_base) for packet in container.demux(video=0) if packet.is_keyframe]
    assert keys_s[0] == 0
    assert max(np.diff([*keys_s, count * step_s])) < 2 + step_s + 1e-3


# --- pictures


def test_colours_survive(out: Path) -> None:
    write(out, [corner_image(), np.asfortranarray(corner_image()), corner_image()], [0, 0.04, 0.08])
    for frame in read(out):
        for at in ((8, 8), (8, -8), (-8, 8), (-8, -8)):
            np.testing.assert_allclose(frame.image[at], corner_image()[at], atol=6)


@pytest.mark.parametrize("preset", ["superfast", "ultrafast"])
def test_quality_falls_from_lossless(out: Path, preset: str) -> None:
    sizes, errors = [], []
    for crf in (0, 18, 23, 40, 51):
        write(out, noise_images(3), [0, 0.04, 0.08], crf=crf, preset=preset)
        sizes.append(out.stat().st_size)
        with av.open(str(out)) as container:
            lumas = [frame.to_ndarray()[: frame.height] for frame in container.decode(video=0)]
        errors.append(
            np.mean([abs(luma - luma_of(image)).mean() for luma, image in zip(lumas, noise_images(3), strict=True)])
        )
    assert errors[0] < 0.5  # of rounding alone
    assert sizes == sorted(sizes, reverse=True)
    assert errors == sorted(errors)


def luma_of(image: Image) -> FloatArray:
    return np.asarray(image @ np.float32([0.0620, 0.6142, 0.1826]) + 16, np.float32)


@pytest.mark.parametrize(
    ("size_wh", "written_wh"),
    [
        ((64, 48), (64, 48)),
        ((63, 47), (64, 48)),  # both odd
        ((64, 47), (64, 48)),
        ((1, 1), (2, 2)),
        ((3, 201), (4, 202)),
    ],
)
def test_odd_sizes_grow_by_a_repeated_edge(out: Path, size_wh: tuple[int, int], written_wh: tuple[int, int]) -> None:
    write(out, [np.full((size_wh[1], size_wh[0], 3), 180, np.uint8)], [0])
    image = read(out)[0].image
    assert image.shape[1::-1] == written_wh
    np.testing.assert_allclose(image, 180, atol=4)  # an edge of another colour would show


def test_a_picture_of_another_size_is_fitted(out: Path) -> None:
    tall = np.full((200, 50, 3), 200, np.uint8)
    write(out, [numbered_image(0, 100, 100), tall], [0, 1])
    first, second = read(out)
    assert first.size_wh == second.size_wh == (100, 100)
    np.testing.assert_allclose(second.image[50, [5, 50, 95], 0], [0, 200, 0], atol=8)


def test_the_file_plays_everywhere(out: Path) -> None:
    write(out, noise_images(40), [n / 25 for n in range(40)])
    data = out.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat"), "starts fast"
    assert b"moof" not in data, "not fragmented"
    with av.open(str(out)) as container:
        codec: Any = container.streams.video[0].codec_context
        assert (codec.name, codec.pix_fmt) == ("h264", "yuv420p")
        assert (codec.colorspace, codec.color_range, codec.color_primaries, codec.color_trc) == (1, 1, 1, 1)


@pytest.mark.parametrize("name", ["a.avi", "a.mkv", "a.gif", "a", "a.jsonl"])
def test_other_names_are_refused(tmp_path: Path, name: str) -> None:
    for refuse in (check_container, VideoWriter):
        with pytest.raises(OutputError, match=r"ends in \.mp4, \.m4v, \.mov"):
            refuse(tmp_path / name)


@pytest.mark.parametrize(("name", "tolerance"), [("a.png", 0), ("a.jpg", 8), ("B.JPEG", 8)])
def test_a_single_picture(tmp_path: Path, name: str, tolerance: int) -> None:
    path = tmp_path / name
    assert is_picture(path)
    path.write_text("old")
    with PictureWriter(path) as writer:
        writer.write(numbered_image(5, 63, 47), 0)
        assert path.read_text() == "old"
    np.testing.assert_allclose(read(path)[0].image, numbered_image(5, 63, 47), atol=tolerance)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_picture_file_holds_one_picture(tmp_path: Path) -> None:
    writer = PictureWriter(tmp_path / "a.png")
    writer.write(numbered_image(1), 0)
    with pytest.raises(ValueError, match="holds one picture"), writer:
        writer.write(numbered_image(2), 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("given", "rate"), [(25.0, 25), (29.97002997, Fraction(30000, 1001)), (Fraction(24), 24)])
def test_a_rate_may_be_any_number(out: Path, given: float, rate: Fraction) -> None:
    with VideoWriter(out, fps=given) as writer:
        writer.write(numbered_image(1), 0)
    with av.open(str(out)) as written:
        assert written.streams.video[0].average_rate == rate


@pytest.mark.parametrize("wrong", [{"fps": "25"}, {"crf": 52}, {"crf": None}, {"preset": "quick"}])
def test_what_is_no_rate_or_quality_is_named(out: Path, wrong: dict[str, Any]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"{name} .*not {value!r}"):
        VideoWriter(out, **wrong)


# --- interruptions


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8), [[0]], None]
)
def test_what_is_no_picture_is_refused(out: Path, image: Any) -> None:
    with pytest.raises(ValueError, match="image must be"), VideoWriter(out, fps=Fraction(25)) as writer:
        writer.write(image, 0)
    assert not out.exists()


def test_without_pictures_there_is_no_file(out: Path) -> None:
    with VideoWriter(out):
        pass
    assert list(out.parent.iterdir()) == []


def test_only_its_own_files_are_overwritten(out: Path) -> None:
    others = [out.with_name(name) for name in ("out.partial.partial.mp4", ".out.partial.mp4")]
    for other in others:
        other.write_text("precious")
    write(out, [numbered_image(3)], [0])
    assert [other.read_text() for other in others] == ["precious"] * 2
    assert sorted(out.parent.iterdir()) == sorted([out, *others])


def test_a_remux_that_fails_leaves_only_the_partial_file(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left")

    monkeypatch.setattr("tracker.video.writer._copy_packets", fail)
    with pytest.raises(OutputError, match=r"No space left; the video so far is in .*out\.partial\.mp4"):
        write(out, [numbered_image(3)], [0])
    assert list(out.parent.iterdir()) == [partial_path(out)]
    assert len(read(partial_path(out))) == 1


def write_then_raise(path: Path, error: BaseException) -> None:
    with VideoWriter(path) as writer:
        for number in range(20):
            writer.write(numbered_image(number), number / 10)
        raise error


@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt()])
def test_an_exception_leaves_a_partial_file_with_every_picture(out: Path, error: BaseException) -> None:
    with pytest.raises(type(error)):
        write_then_raise(out, error)
    assert [path.name for path in out.parent.iterdir()] == ["out.partial.mp4"]
    assert [number_of(f.image) for f in read(partial_path(out))] == list(range(20))


def test_an_exception_before_the_first_picture_leaves_nothing(out: Path) -> None:
    with pytest.raises(ValueError, match="early"), VideoWriter(out):
        raise ValueError("early")
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize("size_wh", [(16386, 4), (4, 16385)])
def test_a_picture_too_large_for_h264_is_one_line(out: Path, size_wh: tuple[int, int]) -> None:
    message = rf"cannot write .*out\.mp4: pictures of {size_wh[0]}x{size_wh[1]} exceed H.264's 16384 a side; scale"
    with pytest.raises(OutputError, match=message):
        write(out, [corner_image(*size_wh)], [0])
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("jump_s", "written_s"),
    [
        (3 * 3600, 3 * 3600),
        (100_000, 3 * 3600),  # beyond what mp4 holds
        (1.7e9, 3 * 3600),  # a clock that was set to the time of day
    ],
)
def test_pictures_after_a_long_gap_keep_their_distances(out: Path, jump_s: float, written_s: float) -> None:
    write(out, [corner_image()] * 5, [5, 5.5, 5.5 + jump_s, 6 + jump_s, 6.25 + jump_s])
    expected_s = [0, 0.5, 0.5 + written_s, 1 + written_s, 1.25 + written_s]
    assert [f.time_s for f in read(out)] == pytest.approx(expected_s, abs=1e-4)


@pytest.mark.parametrize(
    ("fps", "times_s"),
    [
        (Fraction(2_000_000_000), [0, 0.25, 0.5]),  # as a damaged header states it
        (Fraction(1, 86_400), [0, 3 * 3600, 6 * 3600]),  # a picture a day
    ],
)
def test_an_extreme_rate_is_no_obstacle(out: Path, fps: Fraction, times_s: list[float]) -> None:
    write(out, [corner_image()] * 3, times_s, fps=fps)
    assert [f.time_s for f in read(out)] == times_s


_LIMITED = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from tracker.errors import OutputError
from tracker.video.writer import VideoWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit, num_pictures = map(int, sys.argv[2:])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
noise = np.random.default_rng(0)
try:
    with VideoWriter(Path(sys.argv[1])) as writer:
        for number in range(num_pictures):
            writer.write(noise.integers(0, 255, (64, 128, 3), dtype=np.uint8), number / 25)
except OutputError as error:
    print(error)
"""


def test_a_move_that_fails_keeps_the_partial_file(out: Path) -> None:
    out.mkdir()
    with pytest.raises(OutputError, match=r"the video so far is in .*out\.partial\.mp4"):
        write(out, [numbered_image(n) for n in range(5)], range(5))
    assert len(read(partial_path(out))) == 5


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on file sizes")
@pytest.mark.parametrize(
    ("limit", "num_pictures", "least"),
    [
        pytest.param(500_000, 1000, 20, id="meanwhile"),
        pytest.param(60_000, 20, 5, id="with what is written at the end"),
    ],
)
def test_a_disk_that_fills_up_leaves_what_fitted(out: Path, limit: int, num_pictures: int, least: int) -> None:
    command = [sys.executable, "-c", _LIMITED, str(out), str(limit), str(num_pictures)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"File too large; the video so far is in {partial_path(out)}\n")
    assert not out.exists()
    assert least < len(read(partial_path(out))) < num_pictures
