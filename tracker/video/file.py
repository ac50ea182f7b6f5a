"""Video files through FFmpeg (PyAV): timestamps, rotation, colours, damage."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import av
import cv2

from tracker.errors import InputError
from tracker.types import Image

# FFmpeg's AVFMT_NOTIMESTAMPS: raw streams, whose timestamps are missing or made up. PyAV has renamed its own
# constant between versions.
_NO_TIMESTAMPS = 0x80

# FFmpeg's AVColorSpace numbers, and those that swscale converts: RGB, BT.709, FCC, BT.601 twice, SMPTE 240M, BT.2020.
_BT709, _BT601 = 1, 5
_CONVERTIBLE = frozenset({0, _BT709, 4, _BT601, 6, 7, 9})

# What FFmpeg also plays: text as pictures of letters, and lists of other files.
_NO_VIDEOS = frozenset({"tty", "bin", "xbin", "adf", "idf", "concat", "hls", "dash", "sdp"})

_MEDIA = frozenset({"video", "audio", "subtitle"})

# A little over 16K. Each picture that is larger, as one damaged byte may have it, would take gigabytes.
_MAX_PIXELS = 1 << 27

# By how much the sound of a whole file may outlast its pictures.
_SOUND_TAIL_S = 0.5

# Frame.rotation counts anticlockwise.
_TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}


def open_file(path: Path, fps: Fraction) -> FileReader:
    """A video file; InputError if it cannot be read or is none. fps: rate of a raw stream, which has no timestamps."""
    _check_readable(path)
    connect = partial(_open_container, path)
    return FileReader(connect(), connect, path.name, fps)


def best_video_stream(container: Any, name: str) -> Any:
    """The video stream to track; InputError, with the container closed, if there is none or it has no decoder."""
    stream = container.streams.best("video")
    if stream is None:
        container.close()
        raise InputError(f"{name} has no video stream, only sound or subtitles; choose a video")
    if stream.codec_context is None:
        container.close()
        raise InputError(f"{name} is damaged, or of a kind that FFmpeg cannot decode; convert it to H.264")
    if av.stream.Disposition.dependent in stream.disposition:  # as phones write HEIC
        container.close()
        raise InputError(f"{name} is a picture in tiles, which are not put together here; convert it to JPEG or PNG")
    stream.codec_context.options = {"max_pixels": str(_MAX_PIXELS)}
    return stream


def has_timestamps(container: Any) -> bool:
    """Whether the times of an open container are its own, and not made up by FFmpeg."""
    return not int(container.format.flags) & _NO_TIMESTAMPS


class FileReader:
    """Decodes a video that is all there, in a file or on a server; frames of a variable rate keep their times."""

    is_live = False
    file: str | None = None

    def __init__(self, container: Any, connect: Callable[[], Any], name: str, fps: Fraction) -> None:
        """connect: opens the same again, for another start. fps: rate of a raw stream, which has no timestamps."""
        self.name = name
        self.warning: str | None = None
        self.place: int | None = None
        self._num_before = 0
        self._connect = connect
        self._use(container)
        self._has_timestamps = has_timestamps(container)
        self._is_avi = container.format.name == "avi"
        # AVI stores none of its own: what FFmpeg then calls presentation times is out of order with B-frames.
        self._stamp = attrgetter("dts" if self._is_avi else "pts")
        declared = self._stream.average_rate or self._stream.guessed_rate
        self._rate: Fraction = declared if self._has_timestamps and declared else fps
        self.fps: Fraction | None = self._rate
        self.num_frames = self._stream.frames or self._estimate_num_frames()

    def read(self, start_s: float) -> Iterator[tuple[float, Image]]:
        """Time and picture of each frame from `start_s` on; a damaged file ends early, with a warning."""
        count, time_s = 0, -float(1 / self._rate)
        for time_s, frame in self._frames_from(start_s):
            count += 1
            if start_s == 0 or time_s >= start_s:
                self.place = self._num_before + count - 1
                yield time_s, to_bgr(frame)
        self._note_damage(time_s, count if start_s == 0 else 0)

    def _count_before(self, time_s: float, frame: Any) -> int:
        """How many frames come before that one, by the packets alone: none is decoded."""
        if (stamp := self._stamp(frame)) is None:
            return round(time_s * self._rate)
        count, container = 0, self._connect()
        with container, suppress(av.FFmpegError):
            for packet in container.demux(best_video_stream(container, self.name)):
                if packet.dts is not None and packet.dts > stamp:
                    break
                own = self._stamp(packet)
                count += own is not None and own < stamp and not packet.is_discard
        return count

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _use(self, container: Any) -> None:
        self._container = container
        self._damaged_packets = 0
        self._stream = best_video_stream(container, self.name)
        self._stream.thread_type = "AUTO"

    def _estimate_num_frames(self) -> int | None:
        if self._container.duration is None:
            return None
        return round(Fraction(self._container.duration, av.time_base) * self._rate)

    def _frames_from(self, start_s: float) -> Iterator[tuple[float, Any]]:
        """Every frame from some frame before `start_s` on, or from the first, with its time."""
        if start_s > 0 and self._has_timestamps:
            frames = self._timed(self._decode_after_seek(start_s))
            first = next(frames, None)
            if first is not None and first[0] <= start_s:
                self._num_before = self._count_before(*first)
                yield first
                yield from frames
                return
            # The seek went too far, as it does in a file without an index.
            self.close()
            self._use(self._connect())
        yield from self._timed(self._decode())

    def _decode_after_seek(self, start_s: float) -> Iterator[Any]:
        target = round(start_s / self._stream.time_base) + (self._stream.start_time or 0)
        try:
            self._container.seek(target, stream=self._stream)
        except av.FFmpegError:
            return
        yield from self._decode()

    def _decode(self) -> Iterator[Any]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
                frames = packet.decode()
            except StopIteration:
                return
            except av.FFmpegError:
                self._damaged_packets += 1
                continue
            yield from frames

    def _timed(self, frames: Iterator[Any]) -> Iterator[tuple[float, Any]]:
        step_s = float(1 / self._rate)
        time_s = -step_s
        for index, frame in enumerate(frames):
            if not self._has_timestamps:
                time_s = float(index / self._rate)
            elif (stamp := self._stamp(frame)) is None:
                time_s += step_s
            else:
                time_s = float((stamp - (self._stream.start_time or 0)) * self._stream.time_base)
            yield time_s, frame

    def _note_damage(self, last_s: float, count: int) -> None:
        """Set `warning` from the damaged packets and from what is missing at the end."""
        faults = []
        if self._damaged_packets:
            faults.append(f"{self._damaged_packets} damaged packets were skipped")
        missing = self._count_missing(last_s, count)
        if missing > 1:
            faults.append(f"{missing} of about {self.num_frames} frames are missing at its end")
        if faults:
            remedy = "; copy or record it again" if last_s < 0 else ""  # nothing came of it
            self.warning = f"{self.name} is damaged or cut off: {' and '.join(faults)}{remedy}"

    def _count_missing(self, last_s: float, count: int) -> int:
        """Frames between the last one and the declared length; 0 where nothing is declared.

        A long last frame looks like missing ones, and an edited file declares frames that it hides; so where
        all `count` frames were read, both the length and the number of frames must say so.
        """
        length_s, doubt_s = self._declared_length()
        missing = round((length_s - last_s) * self._rate) - 1
        if missing <= doubt_s * self._rate:
            return 0
        return min(missing, self._stream.frames - count) if count and self._stream.frames else missing

    def _declared_length(self) -> tuple[float, float]:
        """Seconds that the file claims to last, and the doubt in them; 0 where it claims nothing."""
        stream = self._stream
        if self._is_avi:  # whose duration FFmpeg cuts down to the size of a truncated file
            return float(stream.frames / self._rate), 0
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
    # Of an index that is cut off FFmpeg makes streams of no kind.
    if container.format.name in _NO_VIDEOS or not any(stream.type in _MEDIA for stream in container.streams):
        container.close()
        raise InputError(_explain_unreadable(path))
    return container


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


def to_bgr(frame: Any) -> Image:
    """Upright picture (H, W, 3) uint8 BGR of a decoded frame of any pixel format; transparency is dropped."""
    colorspace = frame.colorspace
    if colorspace not in _CONVERTIBLE:
        # Players' convention for untagged files: high definition is BT.709.
        colorspace = _BT709 if frame.width >= 1280 or frame.height > 576 else _BT601
    # Both ends are named because swscale converts between them only where they differ.
    bgr = frame.reformat(
        format="bgr24",
        src_colorspace=colorspace,
        dst_colorspace=_BT601,
        src_color_range=frame.color_range,
    )
    image: Image = bgr.to_ndarray()
    turn = _TURNS.get(round(frame.rotation / 90) * 90 % 360)
    return image if turn is None else cv2.rotate(image, turn)  # type: ignore[return-value]
