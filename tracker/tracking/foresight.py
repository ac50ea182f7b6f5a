"""Who turns out to be a person, known a moment ahead: confirmation from the first frame on, and who was cut off."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from tracker.tracking.config import FRAME_S
from tracker.types import Frame, TrackedPoses

T = TypeVar("T", bound=Frame)

# Frames that wait for those ahead take memory: a few megabytes each.
_MOST_AHEAD = 60


@dataclass(frozen=True)
class _Moment(Generic[T]):
    """A frame, the number of its scene, and its people."""

    scene: int
    frame: T
    people: TrackedPoses


def look_ahead(
    tracked: Generator[tuple[T, TrackedPoses, bool]], confirm_after_s: float
) -> Generator[tuple[T, TrackedPoses]]:
    """Each frame with its people, later by a frame more than confirming takes, who are confirmed if they are by then.

    tracked: frames with their people, and whether a scene begins with them; closed at the end. Who is not confirmed
    when their scene ends less than `confirm_after_s` after they came is marked as cut off. With 0 no frame waits.
    """
    ahead_s = confirm_after_s + FRAME_S if confirm_after_s else 0.0
    waiting: deque[_Moment[T]] = deque()
    first_s: dict[int, float] = {}
    scene = 0
    failure: Exception | None = None
    try:
        for frame, people, is_cut in tracked:
            scene += is_cut
            waiting.append(_Moment(scene, frame, people))
            for track_id in people.track_ids.tolist():
                first_s.setdefault(track_id, frame.time_s)
            while frame.time_s - waiting[0].frame.time_s >= ahead_s or len(waiting) > _MOST_AHEAD:
                yield _foresee(waiting, first_s, confirm_after_s, scene)
                if not waiting:
                    break
    except Exception as error:  # noqa: BLE001 - raised once all before it are out
        failure = error
    finally:
        tracked.close()
    while waiting:
        yield _foresee(waiting, first_s, confirm_after_s, scene if failure else scene + 1)
    if failure:
        raise failure


def _foresee(
    waiting: deque[_Moment[T]], first_s: dict[int, float], confirm_after_s: float, scene: int
) -> tuple[T, TrackedPoses]:
    """Take the oldest frame out; scene: the one that comes next."""
    confirmed = {i for moment in waiting for i in moment.people.track_ids[moment.people.confirmed].tolist()}
    last_s = [moment.frame.time_s for moment in waiting if moment.scene == waiting[0].scene][-1]
    now = waiting.popleft()
    ids = now.people.track_ids.tolist()
    is_confirmed = np.array([track_id in confirmed for track_id in ids], np.bool_)
    is_cut_off = [scene > now.scene and last_s - first_s[track_id] < confirm_after_s for track_id in ids]
    people = replace(now.people, confirmed=is_confirmed, cut_off=np.array(is_cut_off, np.bool_) & ~is_confirmed)
    return now.frame, people
