"""Video files through FFmpeg (PyAV): timestamps, rotation, colours, damage."""

from __future__ import annotations

import math
import os
import re
import stat
import struct
import sys
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from fractions import Fraction
from functools import partial
from itertools import chain, islice
from operator import attrgetter
from pathlib import Path
from typing import Any

import av

from tracker.errors import InputError
from tracker.types import Image
from tracker.video.clock import LONGEST_PAUSE_S, Clock, find_rate, has_timestamps, is_joinable, skip_to
from tracker.video.pictures import Pictures
from tracker.video.piped import PipedInput
from tracker.video.sound import Sound

# Of what has neither timestamps nor a rate.
DEFAULT_FPS = Fraction(25)

# What FFmpeg also plays: text as pictures of letters, and lists of other files.
_NO_VIDEOS = frozenset({"tty", "bin", "xbin", "adf", "idf", "concat", "hls", "dash", "sdp"})

_MEDIA = frozenset({"video", "audio", "subtitle"})

# A little over 16K. Each picture that is larger, as one damaged byte may have it, would take gigabytes.
_MAX_PIXELS = 1 << 27

_STDIN = 0
_PIPED = "pipe mkv, ts, webm, y4m or fragmented mp4"
_EMPTY_PIPE = f"holds no video that FFmpeg can read; {_PIPED}"

# So many pictures of one time come from a clock that stands still; some MPEG-PS files give two the same.
_NUM_STILL = 5

# By how much the sound of a whole file may outlast its pictures.
_SOUND_TAIL_S = 0.5


def open_file(path: Path, fps: Fraction | None, *, deinterlace: bool = True) -> FileReader:
    """A video file; InputError if it cannot be read or is none. fps: rate to take instead of its own, if any."""
    _check_readable(path)
    if path.is_fifo():
        pipe = PipedInput(partial(os.open, path, os.O_RDONLY))
        return _open_pipe(pipe, path.name, fps, deinterlace=deinterlace)
    container = _open_container(path)
    connect = partial(_open_container, path) if path.is_file() else None
    return FileReader(container, connect, path.name, fps, deinterlace=deinterlace)


def open_stdin(fps: Fraction | None, *, deinterlace: bool = True) -> FileReader:
    """A video that comes through stdin, every frame of it; InputError if there is none. fps: as for `open_file`."""
    if sys.stdin is None or os.isatty(_STDIN):
        raise InputError("nothing is piped into stdin; as in: ffmpeg ... -f matroska - | run_video.py --input -")
    if not stat.S_ISREG(os.fstat(_STDIN).st_mode):
        return _open_pipe(PipedInput(partial(os.dup, _STDIN)), "stdin", fps, deinterlace=deinterlace)
    try:
        container = av.open("fd:", options={"fd": str(_STDIN)}, metadata_errors="replace")
    except av.FFmpegError as error:
        raise InputError(f"stdin {_EMPTY_PIPE}") from error
    if not _is_video(container):
        raise InputError(f"stdin {_EMPTY_PIPE}")
    return FileReader(container, None, "stdin", fps, deinterlace=deinterlace)


def _open_pipe(pipe: PipedInput, name: str, fps: Fraction | None, *, deinterlace: bool) -> FileReader:
    """A video that comes through a pipe; InputError if there is none."""
    try:
        container = av.open(pipe, metadata_errors="replace")
    except av.FFmpegError as error:
        pipe.close()
        pipe.raise_interrupt()
        raise InputError(f"{name} {_EMPTY_PIPE}") from error
    pipe.raise_interrupt()
    if not _is_video(container):
        raise InputError(f"{name} {_EMPTY_PIPE}")
    return FileReader(container, None, name, fps, deinterlace=deinterlace, pipe=pipe)


def best_video_stream(container: Any, name: str) -> Any:
    """The video stream to track; InputError, with the container closed, if there is none or it has no decoder."""
    stream = container.streams.best("video")
    if stream is None:
        container.close()
        raise InputError(f"{name} has no video stream, only sound or subtitles; choose a video")
    if av.stream.Disposition.attached_pic in stream.disposition:
        container.close()
        raise InputError(f"{name} is sound with a cover picture, and no video; choose a video, or the picture itself")
    if stream.codec_context is None:
        container.close()
        raise InputError(f"{name} is damaged, or of a kind that FFmpeg cannot decode; convert it to H.264")
    if av.stream.Disposition.dependent in stream.disposition:  # as phones write HEIC
        container.close()
        raise InputError(f"{name} is a picture in tiles, which are not put together here; convert it to JPEG or PNG")
    stream.codec_context.options = {"max_pixels": str(_MAX_PIXELS)}
    return stream


class FileReader:
    """Decodes a video that is all there, in a file or on a server; frames of a variable rate keep their times."""

    is_live = False
    file: str | None = None

    def __init__(
        self,
        container: Any,
        connect: Callable[[], Any] | None,
        name: str,
        fps: Fraction | None,
        *,
        deinterlace: bool,
        pipe: PipedInput | None = None,
    ) -> None:
        """connect: opens the same again, for another start; None for what can be read only once.

        fps: rate to take instead of the file's own, if any. pipe: what the container reads, if it is one.
        """
        self.name = name
        self.warning: str | None = None
        self.place: int | None = None
        self._num_before = 0
        self._connect = connect
        self._pipe = pipe
        self._container = container
        self._stream = best_video_stream(container, name)
        self.pictures = Pictures(self._stream, deinterlace=deinterlace)
        own = find_rate(container, self._stream, connect) if has_timestamps(container) else None
        # What has a clock and no rate can be given one only by its order.
        self._has_timestamps = has_timestamps(container) and (own is not None or fps is None)
        self.fps: Fraction | None = fps or own or (None if self._has_timestamps else DEFAULT_FPS)
        self._rate = self.fps or DEFAULT_FPS
        self._pace = self._rate / own if own else Fraction(1)
        self._is_still = False
        self._is_retimed = fps not in (None, own)
        self._is_avi = container.format.name == "avi"
        # AVI stores none of its own: what FFmpeg then calls presentation times is out of order with B-frames.
        self._stamp = attrgetter("dts" if self._is_avi else "pts")
        self._prepare()
        self.num_frames = self._count_declared() or self._estimate_num_frames()

    def read(self, start_s: float) -> Iterator[tuple[float, Image]]:
        """Time and picture of each frame from `start_s` on; a damaged file ends early, with a warning."""
        count, time_s = 0, -float(1 / self._rate)
        for number, (time_s, frame) in enumerate(self.pictures.deinterlace(self._frames_from(start_s))):
            if start_s == 0 or time_s >= start_s:
                count += 1
                self.place = self._num_before + number
                yield time_s, self.pictures.convert(frame)
        if self._pipe and self._pipe.is_stopped:
            return
        notes = [*self._faults(time_s, count if start_s == 0 else 0), *self._oddities(time_s)]
        self.warning = "; ".join(notes) or None
        if self.num_frames is None:  # as of raw streams, until now
            self.num_frames = round(time_s * self._rate) + 1

    def _count_before(self, time_s: float, frame: Any) -> int:
        """How many frames come before that one, by the packets alone: none is decoded."""
        by_rate = round(time_s * self._rate)
        if (stamp := self._stamp(frame)) is None:
            return by_rate
        assert self._connect
        try:
            container = self._connect()
        except InputError:  # whoever sends it does so once
            return by_rate
        count = 0
        with container, suppress(av.FFmpegError):
            for packet in container.demux(best_video_stream(container, self.name)):
                if packet.dts is not None and packet.dts > stamp:
                    break
                own = self._stamp(packet)
                count += own is not None and own < stamp and not packet.is_discard
        return count

    @property
    def sound(self) -> Sound | None:
        """Its sound, once, for an overlay; None if it has none."""
        if not self._container.streams.audio:
            return None
        if self._connect is None:
            return Sound(None, note=f"no sound: {self.name} can be read only once; name a file to keep its sound")
        if self._is_retimed:
            return Sound(None, note="no sound: --fps gives the pictures other times")
        tick_s = float(self._stream.time_base)
        return Sound(self._connect, self._origin * tick_s, lambda: [shift * tick_s for shift in self._clock.shifts])

    def stop(self) -> None:
        """As for `tracker.video.source.Reader`."""
        if self._pipe:
            self._pipe.stop()

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _prepare(self) -> None:
        """Set what belongs to reading an open container once."""
        self._damaged_packets = self._num_repeated = 0
        self._stream.thread_type = "AUTO"
        self._origin = self._stream.start_time or 0
        step_s = self._pace / self._rate
        longest_s = max(LONGEST_PAUSE_S, 10 * step_s) if is_joinable(self._container) else math.inf
        self._longest = longest_s / self._stream.time_base
        self._clock = Clock(max(round(step_s / self._stream.time_base), 1), self._longest)

    def _count_declared(self) -> int:
        if not self._is_avi:
            return self._stream.frames
        # AVI counts ticks, of which those of a variable rate hold no frame.
        return round(self._stream.frames * self._stream.time_base * self._rate / self._pace)

    def _estimate_num_frames(self) -> int | None:
        if self._container.duration is None or self.fps is None:
            return None
        return round(Fraction(self._container.duration, av.time_base) * self._rate / self._pace)

    def _frames_from(self, start_s: float) -> Iterator[tuple[float, Any]]:
        """Every frame from some frame before `start_s` on, or from the first, with its time."""
        if start_s > 0 and self._has_timestamps and self._connect:
            target = self._origin + round(start_s * self._pace / self._stream.time_base)
            frames = self._timed(self._decode(self._packets_from(target)), is_sought=True)
            first = next(frames, None)
            if first is not None and first[0] <= start_s and self._has_timestamps:
                self._num_before = self._count_before(*first)
                yield first
                yield from frames
                return
            # That went too far, as it does in a file without an index, or through a clock that was set.
            self.close()
            self._container = self._connect()
            self._stream = best_video_stream(self._container, self.name)
            self._prepare()
        yield from self._timed(self._decode(self._packets()))

    def _packets_from(self, target: int) -> Iterator[Any]:
        """The packets that the pictures from a time in ticks on need, or none if they are not found."""
        if is_joinable(self._container):  # FFmpeg would look for the time in whatever recording
            packets = self._packets()
            needed = skip_to(packets, target, self._longest)
            yield from () if needed is None else chain(needed, packets)
        elif self._stream.codec_context.pix_fmt != "pal8":  # a palette stands in some packet before
            with suppress(av.FFmpegError):
                self._container.seek(target, stream=self._stream)
                yield from self._packets()

    def _packets(self) -> Iterator[Any]:
        """The packets from where the container stands to its end, or to damage that ends it."""
        try:
            yield from self._container.demux(self._stream)
        except av.FFmpegError:
            self._damaged_packets += 1
        if self._pipe:
            self._pipe.raise_interrupt()

    def _decode(self, packets: Iterator[Any]) -> Iterator[Any]:
        for packet in packets:
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self._damaged_packets += 1
            else:
                yield from frames

    def _timed(self, frames: Iterator[Any], *, is_sought: bool = False) -> Iterator[tuple[float, Any]]:
        step_s = float(1 / self._rate)
        time_s = -step_s
        for index, frame in enumerate(self._check_clock(frames, is_sought=is_sought)):
            if not self._has_timestamps:
                time_s = float(index / self._rate)
            elif (stamp := self._stamp(frame)) is None:
                time_s += step_s
            else:
                stated_s = float((self._clock.follow(stamp) - self._origin) * self._stream.time_base / self._pace)
                is_later = index == 0 or stated_s > time_s
                self._num_repeated += not is_later
                time_s = stated_s if is_later else time_s + step_s / 4
            yield time_s, frame

    def _check_clock(self, frames: Iterator[Any], *, is_sought: bool) -> Iterator[Any]:
        """All of the frames; where the first ones have one time, the rate times them from there on.

        is_sought: they are those from a time on, of which the beginning alone is left where the clock stands still.
        """
        first = deque(islice(frames, 2))
        while self._has_timestamps and len(first) < _NUM_STILL and self._are_of_one_time(first):
            if (frame := next(frames, None)) is None:
                break
            first.append(frame)
        if self._has_timestamps and self._are_of_one_time(first):
            is_start = is_sought and self._stamp(first[0]) == self._origin
            if is_start or len(first) == _NUM_STILL:
                self._has_timestamps, self._is_still, self.fps = False, True, self._rate
                self.num_frames = self._stream.frames or None
        while first:
            yield first.popleft()
        yield from frames

    def _are_of_one_time(self, frames: Collection[Any]) -> bool:
        stamps = {self._stamp(frame) for frame in frames}
        return len(stamps) == 1 and None not in stamps

    def _faults(self, last_s: float, count: int) -> Iterator[str]:
        """What is to be said of damaged packets and of what is missing at the end."""
        if last_s < 0 and self._connect is None and "mp4" in self._container.format.name:
            yield f"{self.name} is an mp4 with its index at the end, which a pipe cannot reach; {_PIPED}, or name it"
            return
        faults = []
        if self.pictures.num_corrupt:
            faults.append(f"damage shows in {self.pictures.num_corrupt} of its frames")
        if self._damaged_packets:
            faults.append(f"{self._damaged_packets} damaged packets were skipped")
        missing = self._count_missing(last_s, count)
        if missing > 1:
            of_all = f" of about {self.num_frames}" if self.num_frames else ""
            faults.append(f"{missing}{of_all} frames are missing at its end")
        if faults:
            remedy = "; copy or record it again" if last_s < 0 else ""  # nothing came of it
            yield f"{self.name} is damaged or cut off: {' and '.join(faults)}{remedy}"

    def _oddities(self, last_s: float) -> Iterator[str]:
        """What is to be said of the clock; sets the length right that it made wrong."""
        if self._is_still:
            yield f"{self.name} gives all pictures one time; they go by {float(self._rate):g} a second, or --fps R"
        if number := self._num_repeated:
            yield f"{self.name} gives {number} of its frames no later time than the one before; a quarter step is taken"
        if jumps := self._clock.num_jumps:
            self.num_frames = round(last_s * self._rate) + 1
            times = "once" if jumps == 1 else f"{jumps} times"
            yield f"the clock of {self.name} starts anew or jumps {times}; there, times go on one frame later"

    def _count_missing(self, last_s: float, count: int) -> int:
        """Frames between the last one and the declared length; 0 where nothing is declared.

        A long last frame looks like missing ones, and an edited file declares frames that it hides; so where
        all `count` frames were read, both the length and the number of frames must say so.
        """
        if self._clock.num_jumps:
            return 0
        length_s, doubt_s = self._declared_length()
        missing = round((length_s / self._pace - last_s) * self._rate) - 1
        if missing <= doubt_s * self._rate:
            return 0
        return min(missing, self._stream.frames - count) if count and self._stream.frames else missing

    def _declared_length(self) -> tuple[float, float]:
        """Seconds that the file claims to last, and the doubt in them; 0 where it claims nothing."""
        stream = self._stream
        if self._is_avi:  # whose duration FFmpeg cuts down to the size of a truncated file
            return float(stream.frames * stream.time_base), 0
        if stream.duration:
            return float(stream.duration * stream.time_base), 0
        start_s = float((stream.start_time or 0) * stream.time_base)
        # Matroska and WebM.
        if tag := re.fullmatch(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", "")):
            hours, minutes, seconds = map(float, tag.groups())
            return 3600 * hours + 60 * minutes + seconds - start_s, 0
        return (self._container.duration or 0) / av.time_base - start_s, _SOUND_TAIL_S


def _check_readable(path: Path) -> None:
    if not os.access(path, os.R_OK):
        raise InputError(f"no permission to read {path}; change its permissions or copy it")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes); copy or record it again")


def _open_container(path: Path) -> Any:
    # The absolute path keeps FFmpeg from reading a name such as a:b.mp4 as a protocol.
    try:
        container = av.open(str(path.absolute()), metadata_errors="replace")
    except av.FFmpegError as error:
        raise InputError(_explain_unreadable(path)) from error
    if not _is_video(container):
        raise InputError(_explain_unreadable(path))
    return container


def _is_video(container: Any) -> bool:
    """Whether a container may hold a video; if not, it is closed."""
    # Of an index that is cut off FFmpeg makes streams of no kind.
    found = container.format.name not in _NO_VIDEOS and any(stream.type in _MEDIA for stream in container.streams)
    if not found:
        container.close()
    return found


def _explain_unreadable(path: Path) -> str:
    if _lacks_index(path):
        return (
            f"{path} lacks its index (moov), which is written last: the recording or the copy broke off; copy it "
            "again, or mend it with a tool such as untrunc"
        )
    return f"{path} is no video that FFmpeg can read, or its end is missing; play it, or convert it to mp4"


def _lacks_index(path: Path) -> bool:
    """Whether this is an mp4 or mov with pictures, and without the whole box that says where they are."""
    size, place = path.stat().st_size, 0
    kinds: list[bytes] = []
    with path.open("rb") as file:
        while place + 8 <= size:
            file.seek(place)
            header = file.read(16)
            length, kind = struct.unpack_from(">I4s", header)
            if length == 1 and len(header) == 16:
                (length,) = struct.unpack_from(">Q", header, 8)
            if kind == b"moov" and place + length <= size:
                return False
            kinds.append(kind)
            if kinds[0] != b"ftyp" or length < 8:  # a length of 0: to the end
                break
            place += length
    return kinds[:1] == [b"ftyp"] and b"mdat" in kinds
