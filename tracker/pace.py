"""How much of the work each frame gets: what `--speed` means, and which frames the detector looks at."""

from __future__ import annotations

import math
import queue
import time
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

from tracker.types import Frame, Motion

Speed: TypeAlias = Literal["exact", "balanced", "fast"]

# What the tracker says of a frame counts for the one that comes so many later: far enough that the detector need not
# wait for it, and always as far, so that the results of a file do not depend on the machine.
LAG = 4
_ROUNDING_S = 1e-3
# A live source that lets nobody wait is faster than the program: shares of the time between frames, smoothed over
# some of them, under which the work is lowered, and over which it is raised again.
_SHORT, _AMPLE, _GAIN = 0.05, 0.4, 0.1


@dataclass(frozen=True)
class Pace:
    """What a speed means.

    calm_s: longest time between looks of the detector while the flow carries everybody well, 0 for a look at every
    frame. busy_s: likewise while it does not. pose_s: longest time between looks of the pose network at somebody who
    is followed surely, and carried between, keypoints and all; of a network that needs no boxes, while all are carried
    well. still_s: likewise at somebody who, beside that, hardly moves but as a whole; between the two for who moves a
    little. flow_side: longest side in pixels of the pictures that dense flow sees, None for its own.
    """

    name: Speed
    calm_s: float = 0.0
    busy_s: float = 0.0
    pose_s: float = 0.0
    still_s: float = 0.0
    flow_side: int | None = None

    def describe(self, *, has_boxes: bool = True, detect_every: int = 1) -> str:
        """What it means, in words; has_boxes: a detector gives them to the pose network."""
        at_most = f", in 1 of {detect_every} frames at most (--detect-every)" if detect_every > 1 else ""
        return f"{self.name}: {self._looks(has_boxes=has_boxes)}{at_most}"

    def _looks(self, *, has_boxes: bool) -> str:
        pose = _every(self.pose_s)
        if not has_boxes:
            return f"the network looks {pose}" + " where everybody is carried well" * bool(self.pose_s)
        pose += " at people who are followed surely" * bool(self.pose_s)
        pose += f", {_every(self.still_s)} at those who hardly move" * bool(self.still_s)
        busy = f", {_every(self.busy_s)} where people come, go, meet or are hard to follow" * bool(self.calm_s)
        return f"the pose network looks {pose}, the detector {_every(self.calm_s)}{busy}"


def _every(time_s: float) -> str:
    return f"every {time_s:g} s" if time_s else "at every frame"


EXACT = Pace("exact")
_FAST = Pace("fast", calm_s=0.4, busy_s=0.14, pose_s=0.11, still_s=0.25, flow_side=320)
SPEEDS: Mapping[str, Pace] = MappingProxyType(
    {
        pace.name: pace
        for pace in (EXACT, Pace("balanced", calm_s=0.13, busy_s=0.07, still_s=0.14, flow_side=320), _FAST)
    }
)
# What a live source that is still too fast is met with, one after the other.
_SPARING = (_FAST, Pace("fast", 0.5, 0.25, 0.2, still_s=0.3), Pace("fast", 0.5, 0.5, 0.3, still_s=0.4))


class Schedule:
    """Which frames of one run the detector looks at: those due by the pace among every `detect_every`-th.

    The thread that detects asks once for each frame, in order; the one that tracks notes once for each frame, in order,
    whether the flow carries everybody well. has_boxes: it is a detector, not a network of poses.
    """

    def __init__(self, pace: Pace, detect_every: int = 1, *, has_boxes: bool = True) -> None:
        more = _SPARING[_SPARING.index(pace) + 1 if pace in _SPARING else 0 :]
        self._paces = (pace, *more) if pace.calm_s else (pace,)
        self._level, self._slack = 0, _AMPLE
        self._detect_every = detect_every
        self._has_boxes = has_boxes
        self._notes: queue.SimpleQueue[bool | None] = queue.SimpleQueue()
        for _ in range(LAG):
            self._notes.put(False)
        self._last_s = self._last_look_s = -math.inf
        self._number = 0

    @property
    def pace(self) -> Pace:
        """What holds now."""
        return self._paces[self._level]

    def is_due(self, frame: Frame, motion: Motion | None) -> bool:
        """Whether the detector looks at the next frame; waits until the frame that is LAG before is tracked.

        Always after a cut. Never once the run has ended.
        """
        is_calm = self._notes.get() if self.pace.calm_s else False
        if is_calm is None:
            self._notes.put(None)
            return False
        is_due = motion is None or motion.is_cut or self._is_time(frame.time_s, is_calm=is_calm)
        is_due &= self._number % self._detect_every == 0
        self._number += 1
        self._last_s = frame.time_s
        self._last_look_s = frame.time_s if is_due else self._last_look_s
        return is_due

    def _is_time(self, time_s: float, *, is_calm: bool) -> bool:
        step_s, since_s = time_s - self._last_s, time_s - self._last_look_s
        calm_s, busy_s = (self.pace.calm_s, self.pace.busy_s) if self._has_boxes else (self.pace.pose_s, 0.0)
        limit_s = calm_s if is_calm else busy_s
        return step_s <= 0 or since_s + step_s > limit_s + _ROUNDING_S  # at the next frame it would be too late

    def note(self, *, is_calm: bool) -> None:
        """Say whether the flow carries everybody of the next frame well."""
        if self.pace.calm_s:
            self._notes.put(is_calm)

    def close(self) -> None:
        """End the run: nobody waits any more."""
        self._notes.put(None)

    def keep_up(self, frames: Generator[Frame]) -> Generator[Frame]:
        """The frames of a live source; the work is lowered as long as the next one is always there already."""
        with closing(frames):
            before_s = time.perf_counter()
            while True:
                asked_s = time.perf_counter()
                frame = next(frames, None)
                if frame is None:
                    return
                now_s = time.perf_counter()
                self._adapt((now_s - asked_s) / max(now_s - before_s, 1e-6))
                before_s = now_s
                yield frame

    def _adapt(self, slack: float) -> None:
        """slack: the share of the time since the last frame that was spent waiting for this one."""
        self._slack += _GAIN * (slack - self._slack)
        change = (self._slack < _SHORT) - (self._slack > _AMPLE)
        level = min(max(self._level + change, 0), len(self._paces) - 1)
        if level != self._level:
            self._level, self._slack = level, (_SHORT + _AMPLE) / 2
