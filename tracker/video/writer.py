"""Overlays out: H.264 with the input's timestamps, playable whatever interrupts the run, or a single picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from types import NoneType
from typing import Any, Self

import av
import cv2
from av.video.frame import PictureType

from tracker.errors import A_NUMBER, OutputError, refuse_others
from tracker.outputs import explain_write_error, make_folder, partial_path, publish, writing
from tracker.types import Image, Rect, check_image
from tracker.video.clock import exact_rate
from tracker.video.opencv_log import opencv_silenced
from tracker.video.planes import BT709, LIMITED_RANGE
from tracker.video.sound import Sound
from tracker.video.yuv import Ground, converted, redrawn

# All three are the same family, whose fragmented form survives an interruption with exact timestamps.
_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov"}

_PICTURES = (".png", ".jpg", ".jpeg")

# MPEG's clock: fine enough that every usual frame rate has whole ticks.
_TIME_BASE = Fraction(1, 90_000)

# Two seconds, after which a player can start anew; the encoder's own count of pictures is out of reach.
_KEY_STEP, _MOST_BETWEEN_KEYS = 2 * 90_000, 1_000_000

# Three hours: mp4 counts the ticks between two pictures with 31 bits, and clocks of cameras jump by years.
_MAX_STEP = 3 * 3600 * 90_000

# As long as a fragment.
_MOST_WAIT_S = 1.0

# How much x264 tries, from the least on.
_PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo")

# What x264 encodes.
_MAX_SIDE = 16384

_FALLBACK_FPS = Fraction(25)

# Beyond which x264 and the container refuse what is stated; the times tell when pictures are shown.
_MIN_FPS, _MAX_FPS = Fraction(1, 3 * 3600), Fraction(1000)

# Matrix, primaries and transfer of pictures that are converted.
_CONVERTED = (BT709, BT709, BT709)


def check_container(path: Path) -> None:
    """Refuse a video file name whose suffix is not supported; OutputError names those that are."""
    if path.suffix.lower() not in _FORMATS:
        raise OutputError(f"cannot write {path}: name a video file that ends in {', '.join(_FORMATS)}")


def is_picture(path: Path) -> bool:
    """Whether a file of this name is to hold a single picture."""
    return path.suffix.lower() in _PICTURES


class VideoWriter:
    """Writes pictures as an H.264 video; a context manager.

    Until the end the video stands under its partial name, in fragments of a second, so that whatever
    interrupts the run leaves a file that plays. Left without an exception, it is rewritten without encoding
    into an ordinary file that starts fast, and moved into place; without any picture there is no file.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        fps: float | Fraction | None = None,
        crf: int = 23,
        preset: str = "superfast",
        sound: Sound | None = None,
    ) -> None:
        """fps: the usual frame rate, which gives the last picture its duration; 25 if unknown.

        crf, preset: quality of x264, 0 lossless to 51 worst, and its effort. sound: of the video that the pictures are
        of, from the first to the last of them. OutputError if the suffix is not supported, ValueError for what is none
        of these numbers or words.
        """
        self._path = Path(path)
        check_container(self._path)
        refuse_others(*A_NUMBER, NoneType, fps=fps)
        refuse_others("the sound that `open_source` gives, or None", Sound, NoneType, sound=sound)
        if crf not in range(52) or preset not in _PRESETS:
            raise ValueError(
                f"crf must be within 0 and 51, not {crf!r}, preset one of {', '.join(_PRESETS)}, not {preset!r}"
            )
        self._fps = exact_rate(min(max(fps or _FALLBACK_FPS, _MIN_FPS), _MAX_FPS))
        self._options = {"preset": preset, "bf": "0", "g": str(_MOST_BETWEEN_KEYS), **_quality(crf, preset)}
        self._container: Any = None
        self._stream: Any = None
        self._size_wh = (0, 0)
        self._colors = _CONVERTED
        self._sound = sound
        self._first_s = 0.0
        self._last_pts = -1
        self._next_key = 0

    def write(
        self, image: Image, time_s: float, ground: Ground | None = None, rects: Sequence[Rect] | None = None
    ) -> None:
        """Append a picture (H, W, 3) uint8 BGR, shown `time_s` - that of the first picture - into the video.

        ground, rects: what it was drawn on, and inside which rectangles; of the rest the ground's planes are taken. The
        video states the colours of its first one's; of others, and where either is None, everything is converted.
        A time that is not later than the one before is moved to just after it; all from one on that is more than
        three hours later are moved to three hours after it. An odd width or height grows by one pixel that repeats
        the edge; a picture of another size than the first is fitted into that size.
        Raises OutputError if the file cannot be written, ValueError for what is no such picture.
        """
        check_image(image)
        refuse_others(*A_NUMBER, time_s=time_s)
        with _reported(self._path):
            if self._container is None:
                self._colors = ground.planes.colors if ground and rects is not None else _CONVERTED
                self._open(image, time_s)
            frame = self._frame_of(image, ground, rects)
            frame.pts = self._last_pts = self._next_pts(time_s)
            frame.time_base = _TIME_BASE
            if frame.pts >= self._next_key:
                frame.pict_type = PictureType.I
                self._next_key = frame.pts + _KEY_STEP
            self._mux(frame)
            self._write_sound(time_s)

    def close(self) -> None:
        """Finish the video and move it into place."""
        if self._container is None:
            return
        with _reported(self._path):
            self._end_partial()
            _remux(partial_path(self._path), _FORMATS[self._path.suffix.lower()])
            publish(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        if kind is None:
            self.close()
        elif self._container is not None:
            with suppress(av.FFmpegError, OSError):  # the exception on its way says more
                self._end_partial()
        if self._sound:
            self._sound.release()

    @property
    def note(self) -> str | None:
        """One line on what became of the sound, if anything is to be said."""
        return self._sound.note if self._sound else None

    def _frame_of(self, image: Image, ground: Ground | None, rects: Sequence[Rect] | None) -> Any:
        """A frame of the size and colours that the video has."""
        if ground and rects is not None and ground.fits(self._colors, self._size_wh):
            return redrawn(image, ground, rects)
        return converted(_fit(image, self._size_wh), self._colors[0])

    def _write_sound(self, until_s: float) -> None:
        if self._sound:
            self._sound.write_until(until_s, self._first_s)

    def _open(self, image: Image, time_s: float) -> None:
        height, width = image.shape[:2]
        self._size_wh = width + width % 2, height + height % 2
        if max(self._size_wh) > _MAX_SIDE:
            raise OutputError(f"pictures of {width}x{height} exceed H.264's {_MAX_SIDE} a side; scale the input down")
        self._first_s = time_s
        # When sound begins is stated once it has come, which pictures would wait for in memory: of later sound it is
        # not, so that the first packet alone stands at 0, until the end.
        waits = self._sound is not None and self._sound.seek(time_s) < time_s + _MOST_WAIT_S
        self._container = av.open(
            str(partial_path(self._path).absolute()),
            "w",
            format=_FORMATS[self._path.suffix.lower()],
            # A fragment per second, on disk at once, is what an interrupted run keeps; large pictures fill more. After
            # the trailer of fragments, which FFmpeg does without, it does not tell whether the last one was written.
            options={
                "movflags": f"empty_moov+default_base_moof+skip_trailer{'+delay_moov' * waits}",
                "frag_duration": "1000000",
                "frag_size": "16000000",
                "flush_packets": "1",
                "max_interleave_delta": "1000000",  # where sound ends early, pictures do not wait for more
            },
        )
        stream = self._add_stream()
        if self._sound:
            self._sound.begin(self._container)
        self._container.start_encoding()
        self._stream = stream  # only now: FFmpeg crashes when packets follow a header that failed

    def _add_stream(self) -> Any:
        # Superfast takes half the time of veryfast; at crf 23 its files are as large as those of veryfast at 20, or up
        # to 1.4 times if little moves, and its PSNR is 1 dB less. Ultrafast takes two thirds of that, for files of 1.6
        # times the size. Without B-frames the fragments keep the timestamps exactly.
        stream: Any = self._container.add_stream("libx264", rate=self._fps, options=self._options)
        stream.width, stream.height = self._size_wh
        stream.pix_fmt = "yuv420p"
        stream.time_base = _TIME_BASE
        codec = stream.codec_context
        codec.time_base = _TIME_BASE
        codec.colorspace, codec.color_primaries, codec.color_trc = self._colors
        codec.color_range = LIMITED_RANGE
        return stream

    def _next_pts(self, time_s: float) -> int:
        """The time in ticks, within reach of the one before."""
        pts = max(round((time_s - self._first_s) / _TIME_BASE), self._last_pts + 1)
        beyond = max(pts - self._last_pts - _MAX_STEP, 0)
        self._first_s += float(beyond * _TIME_BASE)
        return pts - beyond

    def _mux(self, frame: Any) -> None:
        for packet in self._stream.encode(frame):
            self._container.mux(packet)

    def _end_partial(self) -> None:
        try:
            if self._stream is not None:
                self._mux(None)
                self._write_sound(self._first_s + float(self._last_pts * _TIME_BASE + 1 / self._fps))
                if self._sound:
                    self._sound.close()
        finally:
            self._container.close()
            self._container = None


class PictureWriter:
    """Writes one picture as PNG or JPEG, by the suffix; used like `VideoWriter`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._encoded = b""

    def write(self, image: Image, time_s: float) -> None:
        """Take the picture (H, W, 3) uint8 BGR; ValueError for a second one, OutputError if it is too large."""
        if self._encoded:
            raise ValueError(f"{self._path} holds one picture")
        with opencv_silenced(), suppress(cv2.error):  # where OpenCV 4 raises it, OpenCV 5 gives nothing
            self._encoded = bytes(cv2.imencode(self._path.suffix.lower(), image)[1])
        if not self._encoded:
            raise OutputError(f"cannot write {self._path}: its format holds no picture so large; scale the input down")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        if kind is None and self._encoded:
            with writing(self._path) as partial:
                partial.write_bytes(self._encoded)


class PictureFolder:
    """Writes pictures of a folder into another one, each whole; used like `VideoWriter`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, image: Image, name: str) -> None:
        """Write a picture (H, W, 3) uint8 BGR under the name of the one that it was made of, as `name_in` has it."""
        path = self._folder / self.name_in(name)
        make_folder(path.parent)
        with PictureWriter(path) as picture:
            picture.write(image, 0)

    @staticmethod
    def name_in(name: str) -> str:
        """What a picture is called in the folder: as it was, if it can be written so.

        >>> PictureFolder.name_in("a/1.JPG"), PictureFolder.name_in("2.webp")
        ('a/1.JPG', '2.webp.png')
        """
        return name if is_picture(Path(name)) else f"{name}.png"

    def __enter__(self) -> Self:
        make_folder(self._folder)
        return self

    def __exit__(self, *_: Any) -> None:
        """Nothing is held open."""


def _quality(crf: int, preset: str) -> dict[str, str]:
    """How x264 is told the quality: at its least effort by the quantiser, since to meet a crf it searches each picture.

    That takes a third of its time; where much moves, the crf comes to a quantiser one higher, else to a lower one.
    """
    return {"qp": str(min(crf + 1, 51) if crf else 0)} if preset == "ultrafast" else {"crf": str(crf)}


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    """Errors of FFmpeg and the file system become one line that says what is left."""
    try:
        yield
    except (av.FFmpegError, OSError) as error:
        partial = partial_path(path)
        left = f"; the video so far is in {partial}" if partial.exists() else ""
        reason = OSError(error.errno, error.strerror or str(error))  # which not all of FFmpeg's are
        raise explain_write_error(path, reason, left) from error


def _remux(path: Path, container_format: str) -> None:
    """Rewrite a fragmented file, without encoding, as an ordinary one whose index comes first."""
    # In a folder of its own, where no file of the user's can be; beside the other, where moving costs nothing.
    with TemporaryDirectory(dir=path.parent, prefix=".") as folder:
        whole = Path(folder, path.name)
        with (
            av.open(str(path.absolute())) as source,
            av.open(str(whole.absolute()), "w", format=container_format, options={"movflags": "faststart"}) as target,
        ):
            _copy_packets(source, target)
        whole.replace(path)


def _copy_packets(source: Any, target: Any) -> None:
    streams = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
    packets = (packet for packet in source.demux() if packet.dts is not None)  # the last, empty ones flush decoders
    for packet in _begun_late(packets):
        packet.stream = streams[packet.stream_index]
        target.mux(packet)


def _begun_late(packets: Iterator[Any]) -> Iterator[Any]:
    """The packets, the first of sound that begins late just before the second: a partial file has it at 0."""
    waiting: list[Any] | None = []  # the first of sound, None once it is gone
    for packet in packets:
        if waiting is not None and packet.stream.type == "audio":
            if not waiting:
                waiting.append(packet)
                continue
            (first,), waiting = waiting, None
            if (packet.pts - first.pts) * packet.time_base > _MOST_WAIT_S:
                first.pts = first.dts = packet.pts - packet.duration
            yield first
        yield packet
    yield from waiting or ()


def _fit(image: Image, size_wh: tuple[int, int]) -> Image:
    """The picture in that size: an odd edge repeated, any other size scaled and framed in black."""
    right, below = size_wh[0] - image.shape[1], size_wh[1] - image.shape[0]
    if right == below == 0:
        return image
    border = cv2.BORDER_REPLICATE
    if not (0 <= right <= 1 and 0 <= below <= 1):
        scale = min(size_wh[0] / image.shape[1], size_wh[1] / image.shape[0])
        width, height = (max(round(side * scale), 1) for side in image.shape[1::-1])
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        right, below, border = size_wh[0] - width, size_wh[1] - height, cv2.BORDER_CONSTANT
    left, top = right // 2, below // 2
    return cv2.copyMakeBorder(image, top, below - top, left, right - left, border)  # type: ignore[return-value]
