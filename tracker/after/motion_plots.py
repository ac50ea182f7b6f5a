"""Pictures of a person over time: where each keypoint was and how sure, and how joints and segments were bent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tracker.after.angles import JOINTS, Angles
from tracker.formats.trajectories import Trajectory
from tracker.plots import COLORS, new_figure, save_figure
from tracker.skeletons import Skeleton
from tracker.types import DoubleArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Of x or the left, of y or the right, as in overlays.
_BLUE, _ORANGE = COLORS[0], COLORS[3]
# Of a row of panels, in inches; how much of it is between two, on either side; and what numbers take, in points.
_ROW, _MARGIN, _NUMBERS_WIDTH = 1.4, 0.06, 44


def draw_keypoints(trajectory: Trajectory, path: Path, skeleton: Skeleton) -> None:
    """Draw as PNG x, y (pixels) and score over time, side by side for each keypoint of the body.

    The top is up in the picture, and a pixel as long in all panels, so that noise looks as small as it is.
    """
    keypoints, scores = trajectory.keypoints[:, skeleton.body], trajectory.scores[:, skeleton.body]
    names = [skeleton.keypoint_names[place].replace("_", "\n") for place in skeleton.body.tolist()]
    title = f"person {trajectory.track_id}: x, y (pixels) and score over time"
    figure, columns = _columns(title, len(names))
    (left, right), (top, bottom) = _ranges(keypoints)
    _draw_strips(columns[0], trajectory.times_s, keypoints[..., 0], (right, left), color=_BLUE)
    _draw_strips(columns[1], trajectory.times_s, keypoints[..., 1], (top, bottom), color=_ORANGE)
    _draw_strips(columns[2], trajectory.times_s, scores, (1.05, 0), color="black")
    for axes, name in zip(columns, ("x", "y", "score"), strict=True):
        axes.set_title(name)
    columns[0].set_yticks(np.arange(len(names)) + 0.5, names, minor=True, ha="center", va="center", rotation=90)
    columns[0].tick_params("y", which="minor", length=0, pad=_NUMBERS_WIDTH)
    _finish(figure, columns, path)


def draw_angles(angles: Angles, path: Path) -> None:
    """Draw as PNG each angle over time, right and left in one panel: joints first, then segments."""
    names = dict.fromkeys(name.removeprefix("right_").removeprefix("left_") for name in angles.degrees)
    kinds = sorted(names, key=lambda name: name not in JOINTS)
    title = f"person {angles.trajectory.track_id}: joints (flexion) and segments (to the horizontal), degrees"
    figure, panels = _panels(len(kinds), title, 3)
    for axes, kind in zip(panels, kinds, strict=True):
        for name, color in ((f"left_{kind}", _BLUE), (f"right_{kind}", _ORANGE), (kind, "black")):
            if name in angles.degrees:
                axes.plot(angles.trajectory.times_s, _unjoined(angles.degrees[name]), color=color, label=name)
        axes.set_title(kind if kind in JOINTS else f"{kind} (segment)", fontsize="medium")
    lines = {str(line.get_label()).partition("_")[0]: line for axes in panels for line in axes.get_lines()}
    sides = [side for side in ("left", "right") if side in lines]
    figure.legend([lines[side] for side in sides], sides, loc="outside lower right", ncols=2)
    _finish(figure, panels, path)


def _ranges(keypoints: DoubleArray) -> DoubleArray:
    """What panels of x and of y are to show, lowest and highest (2, 2): spans as long, with room for (T, K, 2)."""
    found = keypoints[np.isfinite(keypoints).all(axis=2)]
    if not len(found):
        return np.array([[0.0, 1.0], [0.0, 1.0]])
    low, high = found.min(axis=0), found.max(axis=0)
    half = 0.55 * max(float((high - low).max()), 1.0)
    return np.stack([(low + high) / 2 - half, (low + high) / 2 + half], axis=1)


def _draw_strips(axes: Any, times_s: DoubleArray, values: DoubleArray, ends: tuple[float, float], color: str) -> None:
    """Draw each column of (T, K) in a strip of its own, one below the other, all in the same axes: others take longer.

    ends: the values at the top and the bottom of each strip.
    """
    from matplotlib.patches import Rectangle
    from matplotlib.ticker import MaxNLocator

    rows, (top, bottom) = np.arange(values.shape[1]), ends

    def place(value: DoubleArray) -> DoubleArray:
        return _MARGIN + (1 - 2 * _MARGIN) * (value - top) / (bottom - top)

    axes.plot(times_s, rows + place(values), color=color)
    numbers = np.asarray(MaxNLocator(3, steps=[1, 2, 5, 10]).tick_values(min(ends), max(ends)))
    numbers = numbers[(numbers >= min(ends)) & (numbers <= max(ends))]
    axes.set_yticks(np.add.outer(rows, place(numbers)).ravel(), [f"{number:g}" for number in numbers] * len(rows))
    axes.set_ylim(len(rows), 0)
    axes.spines[:].set_visible(False)
    for row in rows.tolist():
        frame = Rectangle((0, row + _MARGIN), 1, 1 - 2 * _MARGIN, transform=axes.get_yaxis_transform(), fill=False)
        axes.add_patch(frame).set_clip_on(False)


def _unjoined(degrees: DoubleArray) -> DoubleArray:
    """The same without the line from one end of the circle to the other."""
    found = degrees.copy()
    found[1:][np.abs(np.diff(degrees)) > 180] = np.nan
    return found


def _columns(title: str, num_rows: int) -> tuple[Figure, list[Any]]:
    """A figure, and three panels side by side that have room for so many strips, with margins for names and numbers."""
    width, height = 12.0, 1 + _ROW * num_rows
    figure = new_figure(width, height, layout=None)
    figure.suptitle(title, y=1 - 0.1 / height)
    figure.supxlabel("seconds", y=0.05 / height)
    figure.subplots_adjust(0.85 / width, 0.55 / height, 1 - 0.1 / width, 1 - 0.55 / height, wspace=0.16)
    return figure, list(figure.subplots(1, 3, sharex=True))


def _panels(count: int, title: str, columns: int) -> tuple[Figure, list[Any]]:
    """A figure, and its panels in rows."""
    rows = -(-count // columns)
    figure = new_figure(4 * columns, 1 + _ROW * rows)
    figure.suptitle(title)
    figure.supxlabel("seconds")
    found = list(figure.subplots(rows, columns, sharex=True, squeeze=False).flat)
    for axes in found[count:]:
        axes.set_axis_off()
    return figure, found[:count]


def _finish(figure: Figure, panels: Sequence[Any], path: Path) -> None:
    for axes in panels:
        axes.grid(alpha=0.3)
    save_figure(figure, path)
