"""One iterator of frames for every kind of input."""

from __future__ import annotations

import glob
import math
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import chain
from pathlib import Path
from types import NoneType
from typing import Any, Protocol, Self

from tracker.errors import A_NUMBER, InputError, UsageError, refuse_others
from tracker.outputs import PIPE
from tracker.types import Frame, Image
from tracker.video.camera import open_camera
from tracker.video.clock import exact_rate
from tracker.video.file import DEFAULT_FPS, FileReader, open_file, open_stdin
from tracker.video.images import ImagesReader, is_image, list_folder, natural_key, open_folder
from tracker.video.live import LiveReader, refuse_rate
from tracker.video.pictures import Pictures
from tracker.video.sound import Sound
from tracker.video.stream import is_address, open_stream

# What is taken for a video where a folder is searched; a file that is named may have any suffix.
_VIDEO_SUFFIXES = frozenset(
    {
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".wmv", ".flv", ".3gp", ".ogv", ".gif", ".mjpeg"),
        *(".mpg", ".mpeg", ".ts", ".mts", ".m2ts"),
    }
)


class Reader(Protocol):
    """Where pictures come from; `VideoSource` makes frames of them.

    fps: the average rate, None if unknown. num_frames: of the whole source, None if unknown.
    warning: set while reading, when something of the source could not be delivered.
    place, file: of the picture that was read last, as `Frame` has them; place is None where pictures are counted.
    """

    name: str
    is_live: bool
    fps: Fraction | None
    num_frames: int | None
    warning: str | None
    place: int | None
    file: str | None

    def read(self, start_s: float) -> Iterator[tuple[float, Image]]:
        """Time in seconds and picture (H, W, 3) uint8 BGR of each frame at `start_s` or later."""

    @property
    def pictures(self) -> Pictures | None:
        """What makes the pictures of decoded frames, if anything is done to them."""

    def stop(self) -> None:
        """Let reading end soon even where pictures are waited for; from any thread."""

    def close(self) -> None:
        """Release what the reader holds; may be called twice."""


class VideoSource:
    """The frames of a video, a live source or images, once and in order; a context manager.

    `Frame.time_s` is the source's own clock, 0 at its beginning, and never decreases. Frames with start_s <= time_s <
    end_s are delivered, so that ranges that touch share no frame. Frames may differ in size.
    """

    def __init__(
        self,
        reader: Reader,
        *,
        start_s: float | None = None,
        end_s: float | None = None,
        max_frames: int | None = None,
        keeps_planes: bool = False,
    ) -> None:
        """Decode the first frame, so that a bad input is refused here; InputError if there is none."""
        self._reader = reader
        self._keeps_planes = keeps_planes
        self._start_s = start_s or 0.0
        self._end_s = math.inf if end_s is None else end_s
        self._max_frames = max_frames
        self._size_warning: str | None = None
        frames = self._read()
        first = next(frames, None)
        if first is None:
            raise InputError(self._explain_no_frame())
        self.size_wh = first.size_wh
        self._frames = chain((first,), frames)

    @property
    def name(self) -> str:
        """The input in a few characters, for headers and summaries."""
        return self._reader.name

    @property
    def is_live(self) -> bool:
        """Frames come when they happen, and those that nobody fetches in time are dropped."""
        return self._reader.is_live

    @property
    def live(self) -> LiveReader | None:
        """The reader of a live source, which knows what was dropped; None of all others."""
        return self._reader if isinstance(self._reader, LiveReader) else None

    @property
    def fps(self) -> Fraction | None:
        """Average frame rate, not rounded; None if unknown."""
        return self._reader.fps

    @property
    def num_frames(self) -> int | None:
        """About how many frames will be delivered; None if unknown."""
        count = self._count_in_range()
        if self._max_frames is None:
            return count
        return self._max_frames if count is None else min(count, self._max_frames)

    @property
    def warning(self) -> str | None:
        """One line if the input ended early, was damaged or changed its size; known once all frames are read."""
        return "; ".join(filter(None, (self._reader.warning, self._size_warning))) or None

    @property
    def loss(self) -> str | None:
        """`warning` without what it says of sizes."""
        return self._reader.warning

    @property
    def note(self) -> str | None:
        """One line on what was done to the pictures, if anything was; known once all frames are read."""
        return self._reader.pictures.note if self._reader.pictures else None

    @property
    def sound(self) -> Sound | None:
        """The sound of a file, for `VideoWriter`; None where there is none, and of live sources."""
        return self._reader.sound if isinstance(self._reader, FileReader) else None

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of the stored pixels by their height."""
        return self._reader.pictures.pixel_aspect if self._reader.pictures else Fraction(1)

    def stop(self) -> None:
        """Let the frames end soon even where one is waited for, as from a camera or a pipe; from any thread."""
        self._reader.stop()

    def close(self) -> None:
        """Release the file, camera or connection."""
        self._reader.close()

    def __iter__(self) -> Iterator[Frame]:
        return self._frames

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _read(self) -> Iterator[Frame]:
        previous_s = 0.0
        for count, (time_s, image) in enumerate(self._reader.read(self._start_s)):
            previous_s = max(time_s, previous_s)
            if previous_s >= self._end_s:
                return
            index = count if self._reader.place is None else self._reader.place
            frame = Frame(
                index,
                previous_s,
                image,
                file=self._reader.file,
                pixel_aspect=float(self.pixel_aspect),
                arrived_s=self.live.arrived_s if self.live else None,
            )
            if self._keeps_planes and self._reader.pictures:
                frame = frame.with_planes(self._reader.pictures.planes)
            if count > 0:
                self._note_size(frame)
            yield frame
            if count + 1 == self._max_frames:
                return

    def _note_size(self, frame: Frame) -> None:
        if frame.size_wh != self.size_wh and self._size_warning is None:
            sizes = "{}x{}, then {}x{} at frame {}".format(*self.size_wh, *frame.size_wh, frame.index)
            what_follows = "poses are in the pixels of each, the overlay keeps the first size"
            self._size_warning = f"pictures differ in size ({sizes}): {what_follows}"

    def _count_in_range(self) -> int | None:
        if self.fps is None or self._reader.num_frames is None:
            return None
        count = self._reader.num_frames
        stop = count if math.isinf(self._end_s) else min(count, math.ceil(self._end_s * self.fps))
        return max(stop - math.ceil(self._start_s * self.fps), 1)

    def _explain_no_frame(self) -> str:
        warning = self._reader.warning
        if self._start_s == 0 and math.isinf(self._end_s):
            return warning or f"{self.name} has no frame that can be decoded; play it to see whether it is whole"
        span = (
            f"from {self._start_s:g} s on"
            if math.isinf(self._end_s)
            else f"from {self._start_s:g} to {self._end_s:g} s"
        )
        length = ""
        if self.fps and self._reader.num_frames:
            length = f"; it is {float(self._reader.num_frames / self.fps):.1f} s long"
        return "; ".join(filter(None, (f"{self.name} has no frame {span}{length}", warning)))


def open_source(
    spec: str | int | Path,
    *,
    fps: float | Fraction | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
    max_frames: int | None = None,
    deinterlace: bool = True,
    reconnect_s: float = math.inf,
    keeps_planes: bool = False,
) -> VideoSource:
    """Open a video file, an image, a folder of images, a camera or a stream.

    spec: the path of a file or folder, a pattern that images match, the number of a camera, an address such as
    rtsp://host/path, or `-` for stdin. fps: rate to take instead of the source's own, and of images and raw streams,
    which have none, 25 if not given. start_s, end_s: part to deliver, in seconds by that rate; the end is exclusive.
    deinterlace: pictures that are flagged as interlaced. reconnect_s: for how long a live source that drops is tried
    again, 0 for not at all. keeps_planes: frames have their `planes`, which spares conversions; not for who writes into
    their images. Raises InputError for what cannot be read, and UsageError for
    an empty name, a pattern that videos match, a range without frames or the rate of a live source.
    """
    check_range(fps, start_s, end_s, max_frames)
    refuse_others(*A_NUMBER, reconnect_s=reconnect_s)
    refuse_others("True or False", bool, deinterlace=deinterlace)
    if not reconnect_s >= 0:
        raise UsageError(f"--reconnect must be 0 or more seconds, not {reconnect_s}")
    reader = _reader_of(str(spec), exact_rate(fps) if fps else None, deinterlace=deinterlace, reconnect_s=reconnect_s)
    try:
        return VideoSource(reader, start_s=start_s, end_s=end_s, max_frames=max_frames, keeps_planes=keeps_planes)
    except BaseException:
        reader.close()
        raise


def open_images(
    name: str,
    paths: Sequence[Path],
    fps: float | Fraction,
    *,
    end_s: float | None = None,
    max_frames: int | None = None,
) -> VideoSource:
    """Open images that are all needed, one frame for each: InputError, once it is read, for one that is broken."""
    reader = ImagesReader(name, paths, exact_rate(fps), all_needed=True)
    return VideoSource(reader, end_s=end_s, max_frames=max_frames)


def match_inputs(spec: str) -> list[str]:
    """The inputs that `spec` names: each video and folder of a pattern is one of its own, images are one together.

    A folder without images names the videos and the folders of images in it. All else, what exists under the very name
    of a pattern, and a pattern that nothing matches come back as they are.
    """
    paths = _match(spec) or _inputs_in(spec)
    return [spec] if all(map(is_image, paths)) else [str(path) for path in paths]


def files_of(spec: str) -> list[Path]:
    """The files that an input is read from; none for stdin, a camera, a stream, and what is not there."""
    if not _is_path(spec):
        return []
    with suppress(OSError):
        path = Path(spec)
        if path.is_dir():
            return list(filter(is_image, list_folder(path)))
        return [path] if path.is_file() else _match(spec)
    return []


def absolute_spec(spec: str) -> str:
    """The same input, wherever one stands."""
    return str(Path(spec).absolute()) if _is_path(spec) else spec


def is_pattern(spec: str) -> bool:
    """Whether this is a pattern of paths, and no path that exists nor an address."""
    return re.search(r"[*?[]", spec) is not None and not is_address(spec) and not os.path.lexists(spec)


def _match(spec: str) -> list[Path]:
    """What a pattern matches, in natural order; nothing for what is no pattern."""
    if not is_pattern(spec):
        return []
    folders = (spec[: place.start()] for place in re.finditer(r"[/\\]", spec))
    literal = max(filter(os.path.exists, folders), default="")  # a folder that exists may have brackets in its name
    pattern = glob.escape(literal) + spec[len(literal) :]
    # Path.glob takes no absolute pattern before Python 3.13.
    return sorted(map(Path, glob.iglob(pattern, recursive=True)), key=natural_key)  # noqa: PTH207


def _inputs_in(spec: str) -> list[Path]:
    """The videos and the folders of images in a folder that has no images of its own."""
    entries = _entries(Path(spec)) if spec and _is_path(spec) else []
    if any(map(is_image, entries)):
        return []
    return [entry for entry in entries if _is_video(entry) or any(map(is_image, _entries(entry)))]


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in _VIDEO_SUFFIXES and path.is_file()


def _entries(folder: Path) -> list[Path]:
    """What is in a folder; nothing for what is none, or cannot be listed, which opening it tells."""
    with suppress(OSError):
        return list_folder(folder) if folder.is_dir() else []
    return []


def _is_camera(spec: str) -> bool:
    return spec.isascii() and spec.isdigit()


def _is_path(spec: str) -> bool:
    return not (_is_camera(spec) or is_address(spec) or spec == str(PIPE))


def _reader_of(spec: str, fps: Fraction | None, *, deinterlace: bool, reconnect_s: float) -> Reader:
    """The kind of source that `spec` names; another kind is one more line here and a file beside this one."""
    if _is_camera(spec):
        refuse_rate(f"camera {spec}", fps)
        return open_camera(int(spec), reconnect_s=reconnect_s)
    if not spec:
        raise UsageError("--input is empty; name a video, an image folder, an address or the number of a camera")
    if is_address(spec):
        return open_stream(spec, fps, deinterlace=deinterlace, reconnect_s=reconnect_s)
    return open_stdin(fps, deinterlace=deinterlace) if spec == str(PIPE) else _reader_of_path(spec, fps, deinterlace)


def _reader_of_path(spec: str, fps: Fraction | None, deinterlace: bool) -> Reader:
    if paths := _match(spec):
        return _open_images(spec, paths, fps or DEFAULT_FPS)
    path = Path(spec)
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except OSError as error:
        raise InputError(f"cannot open {path} ({error.strerror}); check the path") from error
    if is_folder:
        return open_folder(path, fps or DEFAULT_FPS)
    if is_image(path):
        return _open_images(path.name, [path], fps or DEFAULT_FPS)
    return open_file(path, fps, deinterlace=deinterlace)


def _open_images(name: str, paths: Sequence[Path], fps: Fraction) -> ImagesReader:
    others = [path for path in paths if not is_image(path)]
    if others:
        raise UsageError(f"{name} matches {others[0]}, which is no image; name one video at a time")
    return ImagesReader(name, paths, fps)


def check_range(
    fps: float | Fraction | None, start_s: float | None, end_s: float | None, max_frames: int | None
) -> None:
    """Refuse, as UsageError, a part of a source that makes no sense; arguments as for `open_source`."""
    refuse_others(*A_NUMBER, NoneType, fps=fps, start_s=start_s, end_s=end_s, max_frames=max_frames)
    if fps is not None and not 1e-5 <= fps <= 1e6:
        raise UsageError(f"--fps must be within 0.00001 and 1000000, not {fps}")
    if start_s is not None and not 0 <= start_s < math.inf:
        raise UsageError(f"--start must be 0 or more seconds, not {start_s}")
    if end_s is not None and not end_s > (start_s or 0):
        raise UsageError(f"--end ({end_s} s) must come after --start ({start_s or 0} s)")
    if max_frames is not None and max_frames < 1:
        raise UsageError(f"--max-frames must be 1 or more, not {max_frames}")
