"""Who turns out to be a person, known a moment ahead: confirmation from the first frame on, and who was cut off."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Generic, TypeAlias, TypeVar

import numpy as np

from tracker.tracking.config import FRAME_S
from tracker.types import Frame, TrackedPoses

T = TypeVar("T", bound=Frame)


# A frame, its people, whether a scene begins with it, and whether people were looked for in it.
Tracked: TypeAlias = tuple[T, TrackedPoses, bool, bool]


@dataclass(frozen=True)
class _Moment(Generic[T]):
    """A frame, the number of its scene, its people, and how often people were looked for until then."""

    scene: int
    frame: T
    people: TrackedPoses
    looks: int


def look_ahead(
    tracked: Generator[Tracked[T]], confirm_after_s: float, num_detections: int = 1
) -> Generator[tuple[T, TrackedPoses]]:
    """Each frame with its people, who are confirmed if they come to be, as soon as that is known of all.

    A frame waits for a look more than the `num_detections` and a frame more than the `confirm_after_s` that confirming
    takes; with 0 seconds none does. tracked: closed at the end. Who is not confirmed when their scene ends before they
    could be is marked as cut off.
    """
    foresight = _Foresight[T](confirm_after_s, num_detections)
    failure: Exception | None = None
    try:
        for moment in tracked:
            foresight.add(*moment)
            while foresight.knows_oldest():
                yield foresight.take()
    except Exception as error:  # noqa: BLE001 - raised once all before it are out
        failure = error
    finally:
        tracked.close()
    if not failure:
        foresight.end_scene()
    while foresight.waiting:
        yield foresight.take()
    if failure:
        raise failure


class _Foresight(Generic[T]):
    """The frames that wait, the oldest first, and what is known of everybody so far."""

    def __init__(self, confirm_after_s: float, num_detections: int) -> None:
        self.waiting: deque[_Moment[T]] = deque()
        self._confirm_after_s, self._num_detections = confirm_after_s, num_detections
        self._scene = self._looks = 0
        self._first: dict[int, tuple[float, int]] = {}  # when ids came: time and looks
        self._confirmed: set[int] = set()

    def add(self, frame: T, people: TrackedPoses, is_cut: bool, has_looked: bool) -> None:
        self._scene += is_cut
        self._looks += has_looked
        for track_id in people.track_ids.tolist():
            self._first.setdefault(track_id, (frame.time_s, self._looks))
        self._confirmed.update(people.track_ids[people.confirmed].tolist())
        self.waiting.append(_Moment(self._scene, frame, people, self._looks))

    def end_scene(self) -> None:
        """Nobody who waits can be confirmed any more."""
        self._scene += 1

    def knows_oldest(self) -> bool:
        """Whether the oldest frame need not wait."""
        if not self.waiting:
            return False
        oldest, newest = self.waiting[0], self.waiting[-1]
        if not self._confirm_after_s or newest.scene > oldest.scene or len(self.waiting) > oldest.frame.most_waiting:
            return True
        waited_s, looks = newest.frame.time_s - oldest.frame.time_s, newest.looks - oldest.looks
        has_waited = waited_s >= self._confirm_after_s + FRAME_S and looks >= self._num_detections
        return has_waited or self._confirmed.issuperset(oldest.people.track_ids.tolist())

    def take(self) -> tuple[T, TrackedPoses]:
        """The oldest frame, with what is known of its people by now."""
        last = [moment for moment in self.waiting if moment.scene == self.waiting[0].scene][-1]
        now = self.waiting.popleft()
        ids = now.people.track_ids.tolist()
        is_confirmed = np.array([track_id in self._confirmed for track_id in ids], np.bool_)
        is_cut_off = np.array(
            [self._scene > now.scene and self._is_short(last, *self._first[i]) for i in ids], np.bool_
        )
        return now.frame, replace(now.people, confirmed=is_confirmed, cut_off=is_cut_off & ~is_confirmed)

    def _is_short(self, last: _Moment[T], first_s: float, first_look: int) -> bool:
        """Whether nobody who came then could have been confirmed by the last frame of their scene."""
        is_early = last.frame.time_s - first_s < self._confirm_after_s
        return is_early or (self._confirm_after_s > 0 and last.looks - first_look + 1 < self._num_detections)
