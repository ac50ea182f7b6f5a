"""The clock of a recording: where it starts anew or jumps, and how many pictures it has a second."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import islice, pairwise
from typing import Any

import av

from tracker.errors import InputError

# FFmpeg's AVFMT_NOTIMESTAMPS: raw streams, whose timestamps are missing or made up. PyAV has renamed its own
# constant between versions.
_NO_TIMESTAMPS = 0x80

# Streams of packets that are cut and joined as bytes: MPEG-TS (.m2ts, parts of HLS) and MPEG-PS (.mpg, .vob).
_JOINABLE = frozenset({"mpegts", "mpeg"})

# What is more was no pause: the clock was set.
LONGEST_PAUSE_S = 3600

# By so many pictures, some files have them out of order.
_DISORDER = 2

# Packets, of a minute or so, that are kept until it is known whether they are needed.
_MOST_NEEDED = 3000

# Of clocks in milliseconds, or that jump, FFmpeg claims rates such as 1000 or 0.001, which are measured then.
_LEAST_FPS, _MOST_FPS = 2, 120
_NUM_MEASURED = 100


def exact_rate(fps: float | Fraction) -> Fraction:
    """Frames per second as the fraction that is meant, such as 30000/1001 for 29.97002997."""
    return Fraction(fps).limit_denominator(100_000)


def has_timestamps(container: Any) -> bool:
    """Whether the times of an open container are its own, and not made up by FFmpeg."""
    return not int(container.format.flags) & _NO_TIMESTAMPS


def is_joinable(container: Any) -> bool:
    """Whether an open container may be several recordings one after the other, each with a clock of its own."""
    return container.format.name in _JOINABLE


def declared_rate(container: Any, stream: Any) -> Fraction | None:
    """The average frame rate that a stream with timestamps claims; None if it is unknown or to be doubted."""
    rate: Fraction | None = stream.average_rate
    least = _LEAST_FPS if is_joinable(container) else 0
    return rate if rate and least <= rate <= _MOST_FPS else None


def find_rate(container: Any, stream: Any, connect: Callable[[], Any] | None) -> Fraction | None:
    """The average frame rate of a stream with timestamps, None if unknown; one to be doubted is measured.

    connect: opens the container again; None where that cannot be done.
    """
    if (declared := declared_rate(container, stream)) or connect is None:
        return declared
    stamps = []
    with suppress(InputError, av.FFmpegError), connect() as again:  # up to the first damage
        for packet in islice(again.demux(again.streams[stream.index]), _NUM_MEASURED):
            stamps += [] if packet.dts is None else [packet.dts]  # of decoding, which are in order
    steps = sorted(later - earlier for earlier, later in pairwise(sorted(stamps)) if later > earlier)
    return _mean_rate(steps, stream.time_base) if steps else None


def _mean_rate(steps: Sequence[int], tick_s: Fraction) -> Fraction:
    """The mean rate of steps in time, in ticks and in order, without pauses; a whole number where that fits."""
    usual = [step for step in steps if step <= 10 * steps[len(steps) // 2]]
    span_s = sum(usual) * tick_s
    whole = Fraction(max(round(len(usual) / span_s), 1))
    return whole if abs(len(usual) / whole - span_s) <= 2 * tick_s else len(usual) / span_s


class Clock:
    """Lets the times of pictures go on, one picture later, where a recording's clock starts anew or jumps ahead."""

    def __init__(self, step: int, longest: float) -> None:
        """step: from one picture to the next, in ticks. longest: what is more is no pause, but a jump."""
        self.shifts: list[int] = []
        """By how many ticks times were moved from each jump on."""
        self._step = step
        self._longest = longest
        self._shift = 0
        self._last: int | None = None

    @property
    def num_jumps(self) -> int:
        """How often it was set."""
        return len(self.shifts)

    def follow(self, stamp: int) -> int:
        """The time of the next picture, in ticks, that goes on from those before."""
        ahead = 0 if self._last is None else stamp + self._shift - self._last
        if ahead < -_DISORDER * self._step or ahead > self._longest:
            self._shift += self._step - ahead
            self.shifts.append(self._shift)
        self._last = stamp + self._shift
        return self._last


def skip_to(packets: Iterator[Any], stamp: float, longest: float) -> list[Any] | None:
    """The packets from the key picture on that those shown from `stamp` on need; more where key pictures are rare.

    They are taken from `packets`. None if the clock is set before; longest: as for `Clock`.
    """
    needed: list[Any] = []
    decoded = shown = -math.inf
    for packet in packets:
        if packet.pts is not None and packet.dts is not None:
            is_back = packet.dts < decoded and packet.pts <= shown
            if is_back or (needed and packet.pts > max(shown, decoded) + longest):
                return None
            decoded, shown = packet.dts, max(shown, packet.pts)
            if packet.is_keyframe and packet.pts <= stamp:
                needed.clear()
        needed.append(packet)
        if decoded >= stamp or len(needed) == _MOST_NEEDED:
            break
    return needed
