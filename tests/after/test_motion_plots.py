"""Pictures of a person over time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tracker.after import motion_plots
from tracker.after.motion_plots import draw_keypoints
from tracker.formats.trajectories import Trajectory
from tracker.skeletons import COCO_17

pytest.importorskip("matplotlib", reason="matplotlib is not installed (the extra `eval`)")


def drawn(monkeypatch: pytest.MonkeyPatch, keypoints: np.ndarray[Any, np.dtype[np.float64]]) -> Any:
    figures: list[Any] = []
    monkeypatch.setattr(motion_plots, "save_figure", lambda figure, _: figures.append(figure))
    scores = np.where(np.isnan(keypoints[..., 0]), 0.0, 0.5)
    frames = np.arange(len(keypoints))
    draw_keypoints(Trajectory(1, frames, frames / 25, keypoints, scores), Path("k.png"), COCO_17)
    return figures[0]


def test_each_keypoint_reads_as_it_is_in_a_strip_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up is up, and a pixel as long in x as in y."""
    x, y = np.meshgrid(np.linspace(300.0, 900.0, 17), np.linspace(-200.0, 400.0, 4))
    keypoints = np.stack([x, y], axis=2)
    keypoints[2, 5] = np.nan
    values = (keypoints[..., 0], keypoints[..., 1], np.where(np.isnan(keypoints[..., 0]), 0.0, 0.5))
    rises = []
    for axes, wanted in zip(drawn(monkeypatch, keypoints).axes, values, strict=True):
        ticks = dict(zip(axes.get_yticks(), (label.get_text() for label in axes.get_yticklabels()), strict=True))
        for row, line in enumerate(axes.get_lines()):
            places = [place for place in ticks if row < place < row + 1]
            read = np.poly1d(np.polyfit(places, [float(ticks[place]) for place in places], 1))
            np.testing.assert_allclose(read(line.get_ydata()), wanted[:, row], atol=1e-6)
            assert np.nanmax(np.abs(line.get_ydata() - row - 0.5)) < 0.5
        rises.append(read(1) - read(0))
        assert len(axes.get_lines()) == 17
        assert axes.get_ylim() == (17, 0)  # downwards
    assert rises[0] == pytest.approx(-rises[1])
    assert rises[0] < 0


def test_somebody_without_keypoints_has_an_empty_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = drawn(monkeypatch, np.full((3, 17, 2), np.nan)).axes
    assert [len(axes.get_lines()) for axes in columns] == [17, 17, 17]
    assert np.isnan(columns[0].get_lines()[0].get_ydata()).all()
