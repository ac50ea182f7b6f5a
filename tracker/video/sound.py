"""The sound of a video on its way into an overlay: copied as it is, or as AAC where mp4 does not hold it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from functools import partial
from itertools import chain
from typing import Any

import av

from tracker.errors import InputError
from tracker.video.clock import LONGEST_PAUSE_S, is_joinable

# What players take in mp4 and mov; of AC-3 these state what only packets tell, too late for a file that is cut off.
_COPIED = frozenset({"aac", "mp3", "alac", "opus"})
# That AAC knows, and how many samples it takes at once.
_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}
_USUAL_RATE, _BLOCK = 48000, 1024

# By how much sound may go back, as packets of some files do, and how far apart samples are that belong together.
_DISORDER_S, _GAP_S = 0.1, 0.05
# Of Matroska's milliseconds.
_ROUNDING_S = 1e-3

_END = None
_LATER = object()


class Sound:
    """The sound of a video, by the times of its pictures.

    Of several tracks it is the one that is flagged as the default, else the first.
    """

    def __init__(
        self,
        connect: Callable[[], Any] | None,
        origin_s: float = 0.0,
        shifts_s: Callable[[], Sequence[float]] = tuple,
        *,
        note: str | None = None,
    ) -> None:
        """connect: opens the video again, None for no sound. origin_s: time of its first picture, by its own clock.

        shifts_s: gives by how much the times of pictures were moved at each jump of that clock up to now.
        """
        self._notes = [note] if note else []
        self._connect = connect
        self._origin_s = origin_s
        self._shifts_s = shifts_s
        self._source: Any = None
        self._stream: Any = None
        self._items: Iterator[Any] = iter(())
        self._next: Any = _LATER
        self._track: _Copied | _Encoded | None = None

    @property
    def note(self) -> str | None:
        """One line on what became of it, None where there is nothing to say."""
        return "; ".join(self._notes) or None

    def seek(self, from_s: float) -> float:
        """Go to the time of the first picture; when the first packet begins, infinite where there is none."""
        if self._connect is None:
            return math.inf
        try:
            self._source = self._connect()
        except InputError as error:
            self._notes.append(f"no sound: {error}")
            return math.inf
        self._stream = self._choose()
        if self._stream is None:
            self._notes.append("the sound is of a kind that cannot be read, and left out")
            return math.inf
        self._items = self._timed(self._stream, from_s)
        self._next = next(self._items, _END)
        return self._next[0] if self._has_packet else math.inf

    def begin(self, target: Any) -> None:
        """Add a stream for it to a container that is not begun yet, once it was brought to where it begins."""
        if self._has_packet:
            self._track = self._open_track(target, self._stream, self._next[1])

    @property
    def _has_packet(self) -> bool:
        return self._next is not _END and self._next is not _LATER

    def _choose(self) -> Any:
        """The stream to take, None where none can be read."""
        tracks = self._source.streams.audio
        readable = [track for track in tracks if track.codec_context is not None]
        default = (track for track in readable if av.stream.Disposition.default in track.disposition)
        chosen = next(default, readable[0] if readable else None)
        if chosen is not None and len(tracks) > 1:
            place = f"sound track {tracks.index(chosen) + 1} of {len(tracks)}"
            self._notes.append(f"{place} is kept ({chosen.codec_context.codec.canonical_name}), others are left out")
        return chosen

    def _open_track(self, target: Any, stream: Any, first: Any) -> _Copied | _Encoded:
        name = stream.codec_context.codec.canonical_name
        if name in _COPIED and name in target.supported_codecs:
            return _Copied(target, stream, first)
        self._notes.append(f"the sound, {name}, is encoded as AAC")
        return _Encoded(target, stream)

    def write_until(self, time_s: float, first_s: float) -> None:
        """Write what comes before a time, first_s being the time at which the overlay begins."""
        if self._track is None:
            return
        while True:
            if self._next is _LATER:
                self._next = next(self._items, _END)
            if not self._has_packet or self._next[0] >= time_s:
                return
            at_s, packet = self._next
            self._next = _LATER
            self._track.write(packet, at_s - first_s)

    def close(self) -> None:
        """Write what an encoder still has, and close the file."""
        if self._track:
            if self._next is _LATER:
                self._notes.append("the sound ends where its clock is set, and that of the pictures is not")
            self._track.end()
        self._track = None
        self.release()

    def release(self) -> None:
        """Close the file."""
        if self._source:
            self._source.close()
        self._source = None

    def _timed(self, stream: Any, from_s: float) -> Iterator[Any]:
        """Each packet from a time on with its own; `_LATER` as long as the pictures have not come so far."""
        jumps, last_s, may_jump = 0, -math.inf, is_joinable(self._source)
        for packet in self._packets(stream, from_s):
            if packet.pts is None:
                continue
            stated_s = float(packet.pts * packet.time_base) - self._origin_s
            is_jump = may_jump and last_s > -math.inf and not -_DISORDER_S <= stated_s - last_s <= LONGEST_PAUSE_S
            jumps, last_s = jumps + is_jump, stated_s
            while len(shifts_s := self._shifts_s()) < jumps:
                yield _LATER
            time_s = stated_s + (shifts_s[jumps - 1] if jumps else 0)
            # The one that ends here, too: from it decoders have what the next one begins with.
            if time_s + float((packet.duration or 0) * packet.time_base) >= from_s - _ROUNDING_S:
                yield time_s, packet

    def _packets(self, stream: Any, from_s: float) -> Iterator[Any]:
        """The packets around a time and later, to the end or to damage."""
        try:
            if from_s > 0 and not is_joinable(self._source):  # whose clock may start anew
                self._source.seek(math.floor((from_s + self._origin_s) * av.time_base))
                first = next(self._source.demux(stream))
                if first.pts is not None and first.pts * first.time_base - Fraction(self._origin_s) <= from_s:
                    yield first
                else:
                    self._source.seek(0)
            yield from self._source.demux(stream)
        except av.FFmpegError:
            self._notes.append("the sound is damaged, and ends before the pictures")


class _Copied:
    """Packets as they are."""

    def __init__(self, target: Any, stream: Any, first: Any) -> None:
        """first: a packet."""
        self._target = target
        self._stream = target.add_stream_from_template(stream)
        self._last = -math.inf
        self._has_headers = stream.codec_context.name == "aac" and not stream.codec_context.extradata
        if self._has_headers:
            self._stream.codec_context.extradata = _aac_config(bytes(first))

    def write(self, packet: Any, time_s: float) -> None:
        """Write a packet, at a time of the overlay."""
        ticks = round(Fraction(time_s) / packet.time_base)
        if ticks <= self._last:
            return
        self._last = ticks
        if self._has_headers:
            packet = _without_header(packet)
        packet.pts = packet.dts = ticks
        packet.stream = self._stream
        self._target.mux(packet)

    def end(self) -> None:
        """Nothing is left."""


class _Encoded:
    """Samples as AAC."""

    def __init__(self, target: Any, stream: Any) -> None:
        rate = stream.codec_context.sample_rate
        self._rate = rate if rate in _RATES else _USUAL_RATE
        layout = _LAYOUTS.get(stream.codec_context.layout.nb_channels, "stereo")
        self._target = target
        self._new_resampler = partial(av.AudioResampler, "fltp", layout, self._rate)
        self._kind: tuple[Any, ...] = ()
        self._stream = target.add_stream("aac", rate=self._rate, layout=layout)
        self._waiting = av.AudioFifo()
        self._place = self._end = 0

    def write(self, packet: Any, time_s: float) -> None:
        """Encode a packet, at a time of the overlay."""
        if time_s < -_ROUNDING_S:
            return
        frames: list[Any] = []
        with suppress(av.FFmpegError):  # what is damaged leaves a gap
            frames = packet.decode()
        for samples in chain.from_iterable(map(self._resample, frames)):
            if abs(gap := round(time_s * self._rate) - self._end) > _GAP_S * self._rate or not self._end:
                self._place += max(gap, 0)
                self._end += max(gap, 0)
            samples.pts, samples.time_base = None, Fraction(1, self._rate)  # they are counted here
            self._end += samples.samples
            self._waiting.write(samples)
            while self._waiting.samples >= _BLOCK:
                self._encode(self._waiting.read(_BLOCK))

    def _resample(self, frame: Any) -> list[Any]:
        kind = (frame.layout.name, frame.format.name, frame.sample_rate)
        if kind != self._kind:  # broadcasts change from two channels to six, and back
            self._kind, self._resampler = kind, self._new_resampler()
        return self._resampler.resample(frame)

    def _encode(self, samples: Any) -> None:
        samples.pts, samples.time_base = self._place, Fraction(1, self._rate)
        self._place += samples.samples
        self._mux(samples)

    def _mux(self, samples: Any) -> None:
        for packet in self._stream.encode(samples):
            if packet.pts >= 0:  # what AAC begins with before the first sample
                self._target.mux(packet)

    def end(self) -> None:
        """Write what is left."""
        if self._waiting.samples:
            self._encode(self._waiting.read(0, partial=True))
        self._mux(None)


def _aac_config(header: bytes) -> bytes:
    """What an mp4 says of AAC (AudioSpecificConfig) by the header of a packet that brings its own (ADTS)."""
    kind, rate, channels = (header[2] >> 6) + 1, header[2] >> 2 & 15, (header[2] & 1) << 2 | header[3] >> 6
    return (kind << 11 | rate << 7 | channels << 3).to_bytes(2, "big")


def _without_header(packet: Any) -> Any:
    data = bytes(packet)
    bare = av.Packet(data[7 if data[1] & 1 else 9 :])
    bare.time_base, bare.duration, bare.is_keyframe = packet.time_base, packet.duration, True
    return bare
