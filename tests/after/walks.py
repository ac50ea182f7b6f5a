"""Results of people who stand or walk, as tests of what comes after tracking need them."""

from __future__ import annotations

import numpy as np

from tracker.formats import FrameResult, Header, Results
from tracker.skeletons import COCO_17
from tracker.types import Poses, TrackedPoses

HEADER = Header(COCO_17, "clip.mp4", (640, 480), 25.0)


def results(tracks: dict[int, dict[int, float]], num_frames: int) -> Results:
    """People by id who stand at those x in those frames, at 25 per second."""
    frames = []
    for index in range(num_frames):
        there = [(track_id, places[index]) for track_id, places in tracks.items() if index in places]
        x = np.array([place for _, place in there], np.float32).reshape(-1, 1)
        poses = Poses(
            keypoints=np.stack([x + np.linspace(-9, 9, 17), np.tile(np.linspace(0, 200, 17), (len(x), 1))], 2).astype(
                np.float32
            ),
            scores=np.full((len(x), 17), 0.8, np.float32),
            boxes=np.concatenate([x - 30, 0 * x, x + 30, 0 * x + 200], axis=1).astype(np.float32),
            box_scores=np.ones(len(x), np.float32),
            origin=np.zeros(len(x), np.int8),
        )
        ids = np.array([track_id for track_id, _ in there], np.int64)
        people = TrackedPoses(poses, ids, np.ones(len(x), np.float32), np.ones(len(x), np.bool_))
        frames.append(FrameResult(index, index / 25, people))
    return Results(HEADER, tuple(frames))


def walk(start: int, stop: int, x: float, pace: float = 0.0) -> dict[int, float]:
    return {frame: x + pace * (frame - start) for frame in range(start, stop)}


def shaky_walk() -> Results:
    """Somebody whose keypoints shake, who is 1 until frame 20 and 2 from frame 23 on; 3 is there for a moment."""
    shaken = {frame: 100 + 3 * np.sin(7.0 * frame) for frame in range(60)}
    first, second = ({f: x for f, x in shaken.items() if f in span} for span in (range(21), range(23, 60)))
    return results({1: first, 2: second, 3: walk(30, 33, 500)}, 60)
