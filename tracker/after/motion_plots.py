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


def draw_keypoints(trajectory: Trajectory, path: Path, skeleton: Skeleton) -> None:
    """Draw as PNG x, y (pixels) and score over time, side by side for each keypoint of the body.

    The top is up in the picture, and a pixel as long in all panels, so that noise looks as small as it is.
    """
    figure, panels = _panels(
        3 * len(skeleton.body), f"person {trajectory.track_id}: x, y (pixels) and score over time", 3
    )
    for row, place in enumerate(skeleton.body.tolist()):
        for axes, values, color in zip(
            panels[3 * row : 3 * row + 3],
            (*trajectory.keypoints[:, place].T, trajectory.scores[:, place]),
            (_BLUE, _ORANGE, "black"),
            strict=True,
        ):
            axes.plot(trajectory.times_s, values, color=color)
        panels[3 * row].set_ylabel(skeleton.keypoint_names[place].replace("_", "\n"))
        panels[3 * row + 2].set_ylim(0, 1.05)
    _share_range(panels, trajectory.keypoints[:, skeleton.body])
    for axes, title in zip(panels, ("x", "y", "score"), strict=False):
        axes.set_title(title)
    _finish(figure, panels, path)


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


def _share_range(panels: Sequence[Any], keypoints: DoubleArray) -> None:
    """Let panels of x and of y, every third, show a span that has room for all keypoints (T, K, 2), y downwards."""
    found = keypoints[np.isfinite(keypoints).all(axis=2)]
    if len(found):
        low, high = found.min(axis=0), found.max(axis=0)
        half = 0.55 * max(float((high - low).max()), 1.0)
        for place, (middle, up) in enumerate(zip(((low + high) / 2).tolist(), (1, -1), strict=True)):
            for axes in panels[place::3]:
                axes.set_ylim(middle - up * half, middle + up * half)


def _unjoined(degrees: DoubleArray) -> DoubleArray:
    """The same without the line from one end of the circle to the other."""
    found = degrees.copy()
    found[1:][np.abs(np.diff(degrees)) > 180] = np.nan
    return found


def _panels(count: int, title: str, columns: int) -> tuple[Figure, list[Any]]:
    """A figure, and its panels in rows."""
    rows = -(-count // columns)
    figure = new_figure(4 * columns, 1 + 1.4 * rows)
    figure.suptitle(title)
    found = list(figure.subplots(rows, columns, sharex=True, squeeze=False).flat)
    for axes in found[count:]:
        axes.set_axis_off()
    return figure, found[:count]


def _finish(figure: Figure, panels: Sequence[Any], path: Path) -> None:
    for axes in panels:
        axes.grid(alpha=0.3)
    figure.supxlabel("seconds")
    save_figure(figure, path)
