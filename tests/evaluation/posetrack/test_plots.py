"""The pictures of an evaluation."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.evaluation.posetrack.people import crowd, frame, measure, person
from tracker.errors import DependencyError
from tracker.evaluation.posetrack.ap import Ranking
from tracker.evaluation.posetrack.measure import Timeline, measure_sequence
from tracker.evaluation.posetrack.plots import check_can_draw, draw_precision_recall, draw_timeline

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


def test_the_picture_grows_with_the_people(tmp_path: Path) -> None:
    heights = [cv2.imread(str(draw(tmp_path, timeline(*[[1, 2]] * people)))).shape[0] for people in (2, 12)]
    assert heights == [190, 490]


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(NOBODY, id="no frames"),
        pytest.param(measure([frame([person(1)])], [frame()]).timeline, id="one frame, nobody found"),
        pytest.param(measure_sequence(*crowd(0)).timeline, id="a crowd"),
        pytest.param(timeline(list(range(9)), list(range(4, 13))), id="more ids than colours"),
    ],
)
def test_a_timeline_is_drawn(tmp_path: Path, what: Timeline) -> None:
    assert cv2.imread(str(draw(tmp_path, what))) is not None


@pytest.mark.parametrize(
    "ranking",
    [
        pytest.param(measure_sequence(*crowd(0)).ranking, id="a crowd"),
        pytest.param(measure([frame([person(1)])], [frame()]).ranking, id="no predictions"),
        pytest.param(measure([frame([person(1, only=[])])], [frame([person(7)])]).ranking, id="no truth"),
    ],
)
def test_precision_and_recall_are_drawn(tmp_path: Path, ranking: Ranking) -> None:
    path = tmp_path / "curves.png"
    draw_precision_recall(ranking, path)
    assert cv2.imread(str(path)).shape == (650, 1300, 3)


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    check_can_draw()
    monkeypatch.setattr(sys.modules["importlib.util"], "find_spec", lambda _: None)
    with pytest.raises(DependencyError, match=r"no plots without matplotlib; run: pip install 'matplotlib>=3.8,<4'"):
        check_can_draw()
