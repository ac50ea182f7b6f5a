"""The pictures of an evaluation."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tracker.errors import DependencyError
from tracker.evaluation.posetrack.measure import Timeline
from tracker.evaluation.posetrack.plots import draw_timeline
from tracker.plots import check_can_draw

NOBODY = Timeline(*(np.zeros(0, np.int64) for _ in range(3)), num_frames=0)


def timeline(*rows: list[int]) -> Timeline:
    """Who holds each person, frame by frame; a person is absent where there is None."""
    held = np.array(rows)
    people, frames = np.meshgrid(np.arange(len(rows)), np.arange(held.shape[1]), indexing="xy")
    return Timeline(people.ravel(), frames.ravel(), held.T.ravel(), held.shape[1])


def colors(path: Path) -> set[str]:
    """Those of more than a hundredth of the picture, as hexadecimal RGB; grey is left out, as writing is grey."""
    pixels, counts = np.unique(cv2.imread(str(path)).reshape(-1, 3)[:, ::-1], axis=0, return_counts=True)
    shown = pixels[(counts > counts.sum() / 100) & (np.ptp(pixels, axis=1) > 0)]
    return {bytes(pixel).hex().upper() for pixel in shown}


def draw(tmp_path: Path, what: Timeline) -> Path:
    path = tmp_path / "ids.png"
    draw_timeline(what, "000001_bonn_train", path)
    assert not list(tmp_path.glob("*partial*"))
    return path


def test_ids_have_colours_and_misses_are_gaps(tmp_path: Path) -> None:
    assert colors(draw(tmp_path, timeline([7, 7, 8, 8]))) == {"0072B2", "E69F00"}
    assert colors(draw(tmp_path, timeline([7, 7, 7, 7]))) == {"0072B2"}
    assert colors(draw(tmp_path, timeline([-1, -1, -1, -1]))) == set()


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    check_can_draw()
    monkeypatch.setattr(sys.modules["importlib.util"], "find_spec", lambda _: None)
    with pytest.raises(DependencyError, match=r"no plots without matplotlib; run: pip install 'matplotlib>=3.8,<4'"):
        check_can_draw()
