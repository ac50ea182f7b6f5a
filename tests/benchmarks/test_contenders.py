"""The peers are handed what ours is handed: the same boxes of raw heads, and people whom our tracker tells apart."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks.contenders import TRACKERS, associate, read_heads
from tracker.detection.maps import STRIDES, decode_maps


def test_raw_heads_are_read_as_ours_are() -> None:
    heads = [np.full((1, 5, 416 // stride, 416 // stride), -9, np.float32) for stride in STRIDES]
    heads[0][0, :, 20, 7] = [2, 10, 20, 30, 40]
    heads[0][0, :, 20, 8] = [1, 17, 20, 23, 40]  # a double of it
    heads[2][0, :, 3, 5] = [0.5, 60, 50, 40, 90]
    boxes, scores = decode_maps([head[0] for head in heads], (416, 416), 0.5)
    best = np.delete(np.argsort(-scores), 1)
    np.testing.assert_allclose(sorted(read_heads(heads).tolist()), sorted(boxes[best].tolist()), atol=1e-4)


@pytest.mark.parametrize("name", [name for name in TRACKERS if name.startswith("ours")])
def test_our_trackers_tell_twenty_people_apart(name: str) -> None:
    frames, ids, cpu_s = associate(name, "20", "30")()
    assert (frames, ids) == (30, 20)
    assert cpu_s > 0
