"""Who turns out to be a person, known some frames ahead: confirmation from the first frame on, and who was cut off."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np

from tracker.types import TrackedPoses

T = TypeVar("T")

# Frames that wait for those ahead take memory: a few megabytes each.
_MOST_AHEAD = 60


@dataclass(frozen=True)
class _Moment(Generic[T]):
    """A frame: its number, that of its scene, and its people."""

    number: int
    scene: int
    frame: T
    people: TrackedPoses


def look_ahead(tracked: Generator[tuple[T, TrackedPoses, bool]], min_hits: int) -> Generator[tuple[T, TrackedPoses]]:
    """Each frame with its people, `min_hits` frames late, who are confirmed if they come to be so meanwhile.

    tracked: frames with their people, and whether a scene begins with them; closed at the end. Who is not confirmed
    when their scene ends less than `min_hits` frames after they came is marked as cut off.
    """
    waiting: deque[_Moment[T]] = deque()
    first_numbers: dict[int, int] = {}
    scene = 0
    failure: Exception | None = None
    try:
        for number, (frame, people, is_cut) in enumerate(tracked):
            scene += is_cut
            waiting.append(_Moment(number, scene, frame, people))
            for track_id in people.track_ids.tolist():
                first_numbers.setdefault(track_id, number)
            if len(waiting) > min(min_hits, _MOST_AHEAD):
                yield _foresee(waiting, first_numbers, min_hits, number + 1, scene)
    except Exception as error:  # noqa: BLE001 - raised once all before it are out
        failure = error
    finally:
        tracked.close()
    end = waiting[-1].number + 1 if waiting else 0
    while waiting:
        yield _foresee(waiting, first_numbers, min_hits, end, scene if failure else scene + 1)
    if failure:
        raise failure


def _foresee(
    waiting: deque[_Moment[Any]], first_numbers: dict[int, int], min_hits: int, end: int, scene: int
) -> tuple[Any, TrackedPoses]:
    """Take the oldest frame out; end, scene: the number that comes next, and the scene in which that is."""
    confirmed = {i for moment in waiting for i in moment.people.track_ids[moment.people.confirmed].tolist()}
    now = waiting.popleft()
    ends = [moment.number for moment in waiting if moment.scene > now.scene]
    scene_end = ends[0] if ends else end if scene > now.scene else None
    ids = now.people.track_ids.tolist()
    is_confirmed = np.array([track_id in confirmed for track_id in ids], np.bool_)
    is_cut_off = [scene_end is not None and scene_end - first_numbers[track_id] < min_hits for track_id in ids]
    people = replace(now.people, confirmed=is_confirmed, cut_off=np.array(is_cut_off, np.bool_) & ~is_confirmed)
    return now.frame, people
