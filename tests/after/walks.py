"""Results of people who stand or walk, as tests of what comes after tracking need them."""

from __future__ import annotations

import numpy as np

from tests.people import poses_of, with_ids
from tracker.formats import FrameResult, Header, Results
from tracker.skeletons import COCO_17

HEADER = Header(COCO_17, "clip.mp4", (640, 480), 25.0)


def results(tracks: dict[int, dict[int, float]], num_frames: int) -> Results:
    """People by id who stand at those x in those frames, at 25 per second."""
    frames = []
    for index in range(num_frames):
        there = [(track_id, places[index]) for track_id, places in tracks.items() if index in places]
        x = np.array([place for _, place in there], np.float32).reshape(-1, 1)
        keypoints = np.stack([x + np.linspace(-9, 9, 17), np.tile(np.linspace(0, 200, 17), (len(x), 1))], 2)
        boxes = np.concatenate([x - 30, 0 * x, x + 30, 0 * x + 200], axis=1)
        people = with_ids(poses_of(keypoints, scores=0.8, boxes=boxes), [track_id for track_id, _ in there])
        frames.append(FrameResult(index, index / 25, people))
    return Results(HEADER, tuple(frames))


def walk(start: int, stop: int, x: float, pace: float = 0.0) -> dict[int, float]:
    return {frame: x + pace * (frame - start) for frame in range(start, stop)}


def shaky_walk() -> Results:
    """Somebody whose keypoints shake, who is 1 until frame 20 and 2 from frame 23 on; 3 is there for a moment."""
    shaken = {frame: 100 + 3 * np.sin(7.0 * frame) for frame in range(60)}
    first, second = ({f: x for f, x in shaken.items() if f in span} for span in (range(21), range(23, 60)))
    return results({1: first, 2: second, 3: walk(30, 33, 500)}, 60)
