"""Pictures out of decoded frames: deinterlaced, of standard range, upright, in BGR."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
from av.filter import Graph
from av.sidedata import sidedata
from av.video.reformatter import VideoReformatter

from tracker.types import Image, Planes
from tracker.video.planes import BT601, PlaneReader, matrix_of

# FFmpeg's AVColorTransferCharacteristic numbers of high dynamic range.
_PQ, _HLG = 16, 18

_side_data_of: Any = sidedata.SideDataContainer  # whose stub knows no argument

# What the deinterlacer takes.
_LEAST_SIDE = 4


class Pictures:
    """Makes pictures of the frames of one stream, and knows what it did to them.

    pixel_aspect: width of a pixel of the last picture by its height. num_corrupt: pictures that the decoder calls so.
    """

    def __init__(self, stream: Any, *, deinterlace: bool) -> None:
        self.pixel_aspect = self._stored_aspect = _aspect_of(stream)
        self.num_corrupt = 0
        self._deinterlaces = deinterlace
        self._reformatter, self._plane_reader = VideoReformatter(), PlaneReader()
        self._unchanged: Any = None
        self._is_interlaced = self._is_hdr = False

    def deinterlace(self, timed: Iterator[tuple[float, Any]]) -> Iterator[tuple[float, Any]]:
        """The frames, each with its time, deinterlaced where they are flagged, from the first that is; one late."""
        deinterlacer: _Deinterlacer | None = None
        for time_s, frame in timed:
            if deinterlacer and not deinterlacer.takes(frame):
                yield from deinterlacer.end()
                deinterlacer = None
            if deinterlacer is None and self._is_due(frame):
                deinterlacer = _Deinterlacer(frame)
            if deinterlacer is None:
                yield time_s, frame
            else:
                yield from deinterlacer.push(time_s, frame)
        if deinterlacer:
            yield from deinterlacer.end()

    def convert(self, frame: Any) -> Image:
        """Picture (H, W, 3) uint8 BGR of a frame of any pixel format; transparency is dropped, HDR tone-mapped."""
        self.num_corrupt += bool(frame.is_corrupt)
        image = self._to_bgr(frame)
        if frame.color_trc in _TONES:
            self._is_hdr = True
            image = cv2.transform(cv2.LUT(image, _TONES[frame.color_trc]), _BT2020_TO_BT709)  # type: ignore[assignment]
        is_sideways, flip = _orientation(frame)
        is_unchanged = not (is_sideways or flip is not None or frame.color_trc in _TONES)
        self._unchanged = frame if is_unchanged else None
        self.pixel_aspect = 1 / self._stored_aspect if is_sideways else self._stored_aspect
        image = cv2.transpose(image) if is_sideways else image  # type: ignore[assignment]
        return image if flip is None else cv2.flip(image, flip)  # type: ignore[return-value]

    @property
    def planes(self) -> Planes | None:
        """Of the last picture, where nothing else was done to it; None also where they are not of that form."""
        return None if self._unchanged is None else self._plane_reader.read(self._unchanged)

    @property
    def note(self) -> str | None:
        """What was done to the pictures, on one line; None if nothing was."""
        notes = []
        if self._is_interlaced:
            notes.append("interlaced pictures were deinterlaced (--no-deinterlace leaves them)")
        if self._is_hdr:
            notes.append("pictures of high dynamic range were tone-mapped")
        return "; ".join(notes) or None

    def _to_bgr(self, frame: Any) -> Image:
        # Both ends are named because swscale converts between them only where they differ.
        spaces = {"src_colorspace": matrix_of(frame), "dst_colorspace": BT601, "src_color_range": frame.color_range}
        converted: Any = self._reformatter.reformat(frame, format="bgr24", threads=1, **spaces)
        image: Image = converted.to_ndarray()
        return image

    def _is_due(self, frame: Any) -> bool:
        is_due = self._deinterlaces and frame.interlaced_frame and min(frame.width, frame.height) >= _LEAST_SIDE
        self._is_interlaced |= is_due
        return bool(is_due)


def _orientation(frame: Any) -> tuple[bool, int | None]:
    """How a frame comes upright: whether x and y are exchanged, and what `cv2.flip` is told then, None for nothing.

    By the display matrix, of which whole quarter turns and mirrors count: phones turn, their front cameras mirror.
    """
    # `frame.side_data` would be kept by the frame it keeps: each would stay in memory until Python looks for garbage.
    matrix = _side_data_of(frame).get(sidedata.Type.DISPLAYMATRIX)
    if matrix is None:
        return False, None
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    is_sideways = abs(b) + abs(c) > abs(a) + abs(d)
    mirrors_x, mirrors_y = (c < 0, b < 0) if is_sideways else (a < 0, d < 0)
    return is_sideways, {(True, True): -1, (True, False): 1, (False, True): 0}.get((mirrors_x, mirrors_y))


class _Deinterlacer:
    """FFmpeg's bwdif for frames of one size and format; each comes out when the next one is in."""

    def __init__(self, frame: Any) -> None:
        self._kind = _kind_of(frame)
        self._times_s: deque[float] = deque()
        self._graph: Any = Graph()
        size = {"width": frame.width, "height": frame.height}
        source = self._graph.add_buffer(**size, format=frame.format, time_base=Fraction(1, 90_000))
        filters = self._graph.add("bwdif", "mode=send_frame:deint=interlaced"), self._graph.add("buffersink")
        self._graph.link_nodes(source, *filters).configure()

    def takes(self, frame: Any) -> bool:
        """Whether a frame is of that size and format."""
        return _kind_of(frame) == self._kind

    def push(self, time_s: float, frame: Any) -> Iterator[tuple[float, Any]]:
        """Put a frame in; what comes out."""
        self._times_s.append(time_s)
        self._graph.push(frame)
        yield from self._pull()

    def end(self) -> Iterator[tuple[float, Any]]:
        """What is still inside."""
        self._graph.push(None)
        yield from self._pull()

    def _pull(self) -> Iterator[tuple[float, Any]]:
        with suppress(av.BlockingIOError, av.EOFError):
            while True:
                frame = self._graph.pull()
                yield self._times_s.popleft(), frame


def _kind_of(frame: Any) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name


def _aspect_of(stream: Any) -> Fraction:
    """Width of a stream's stored pixels by their height; 1 where it is unknown or senseless."""
    aspect = stream.sample_aspect_ratio
    return aspect if aspect and Fraction(1, 4) <= aspect <= 4 else Fraction(1)


def _tones(transfer: int) -> Image:
    """(256,) uint8: the codes of standard range for those of a transfer function, by the light that they stand for.

    Light is in units of white paper, 203 cd/m² (ITU-R BT.2408). Half of that and less stays as it is, more is
    compressed so that 1000 cd/m² are the brightest.
    """
    code = np.linspace(0, 1, 256)
    if transfer == _PQ:  # SMPTE ST 2084
        root = code ** (32 / 2523)
        light = 10_000 * (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (16384 / 2610)
    else:  # ARIB STD-B67, on a display of 1000 cd/m²
        scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - 0.55991073) / 0.17883277) + 0.28466892) / 12)
        light = 1000 * scene**1.2
    light, peak = light / 203, 1000 / 203

    def compress(excess: Any) -> Any:
        return excess / (0.5 + excess)

    high = 0.5 + 0.5 * compress(np.maximum(light - 0.5, 0)) / compress(peak - 0.5)
    shown = np.minimum(np.where(light <= 0.5, light, high), 1) ** (1 / 2.2)
    return np.rint(255 * shown).astype(np.uint8)


_TONES = {transfer: _tones(transfer) for transfer in (_PQ, _HLG)}

# Of BGR (ITU-R BT.2087); meant for light, and near enough for codes, of which grey stays grey.
_BT2020_TO_BT709 = np.array([[1.1187, -0.1006, -0.0181], [-0.0083, 1.1329, -0.1246], [-0.0728, -0.5876, 1.6604]])
