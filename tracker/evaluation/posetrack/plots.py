"""Pictures of an evaluation: precision over recall by keypoint, and who had which id when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tracker.evaluation.posetrack.ap import Ranking, ap_figures
from tracker.evaluation.posetrack.measure import Timeline
from tracker.evaluation.posetrack.summary import GROUPS
from tracker.plots import COLORS, new_figure, save_figure
from tracker.skeletons import POSETRACK_15
from tracker.types import IntArray

_CURVES = ((COLORS[0], "-"), (COLORS[3], "--"), ("black", ":"))
_TITLES = ("head", "shoulders", "elbows", "wrists", "hips", "knees", "ankles")


def draw_precision_recall(ranking: Ranking, path: Path) -> None:
    """Draw precision over recall as PNG, a panel for each kind of keypoint, with the AP of each keypoint."""
    figure = new_figure(13, 6.5)
    ap = ap_figures(ranking)["ap"]
    figure.suptitle(f"Precision over recall, mAP {_percent(ap[-1])}")
    panels = figure.subplots(2, 4, sharex=True, sharey=True)
    for axes, title, keypoints in zip(panels.flat, _TITLES, GROUPS.values(), strict=False):
        for keypoint, (color, style) in zip(keypoints, _CURVES, strict=False):
            curve = ranking.curve(keypoint)
            axes.plot(*curve, color=color, linestyle=style, label=f"{_label(keypoint)} {_percent(ap[keypoint])}")
        axes.set(title=title, xlim=(0, 1), ylim=(0, 1.03))
        axes.legend(loc="lower left", title="AP", fontsize="small", title_fontsize="small")
        axes.grid(alpha=0.3)
    panels[0, -1].tick_params(labelbottom=True)
    panels[-1, -1].set_axis_off()
    figure.supxlabel("recall")
    figure.supylabel("precision")
    save_figure(figure, path)


def draw_timeline(timeline: Timeline, name: str, path: Path) -> None:
    """Draw as PNG which predicted id held each true person when; a row per person, in the order they come.

    A bar is coloured by the id and labelled with it, if there is room. A triangle marks a switch to another id. A thin
    line stands where nobody is predicted for the person, nothing where the ground truth has them not.
    """
    people = timeline.track_ids[np.sort(np.unique(timeline.track_ids, return_index=True)[1])]
    ids = timeline.holders[np.sort(np.unique(timeline.holders, return_index=True)[1])]
    colors = {holder: COLORS[place % len(COLORS)] for place, holder in enumerate(ids[ids >= 0].tolist())}
    figure = new_figure(13, 1.3 + 0.3 * max(len(people), 2))
    axes = figure.subplots()
    axes.locator_params(axis="x", integer=True)
    num_switches = sum(_draw_person(axes, row, timeline, person, colors) for row, person in enumerate(people.tolist()))
    axes.set(
        title=f"{name}: {len(people)} people, {len(colors)} ids, switches: {num_switches}",
        xlabel="frame, of those with people in the ground truth    (▼ another id    — found by nobody)",
        ylabel="person",
        xlim=(0, max(timeline.num_frames, 1)),
        ylim=(max(len(people), 1) - 0.4, -0.6),
        yticks=range(len(people)),
        yticklabels=people.tolist(),
    )
    save_figure(figure, path)


def _percent(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.1f}"


def _draw_person(axes: Any, row: int, timeline: Timeline, person: int, colors: dict[int, str]) -> int:
    """Draw a row; returns how many switches it has."""
    theirs = timeline.track_ids == person
    frames, holders = timeline.frames[theirs], timeline.holders[theirs]
    begins, ends, _ = _runs(frames, np.zeros_like(frames))
    axes.hlines([row] * len(begins), begins, ends, color="0.6", linewidth=1, zorder=0)
    held = holders >= 0
    begins, ends, ids = _runs(frames[held], holders[held])
    bars = np.column_stack([begins, ends - begins])
    axes.broken_barh(
        bars, (row - 0.32, 0.64), facecolors=[colors[holder] for holder in ids.tolist()], edgecolors="white"
    )
    for (begin, width), holder in zip(bars.tolist(), ids.tolist(), strict=True):
        if width / timeline.num_frames > 0.009 * (1 + len(str(holder))):
            ink = "white" if colors[holder] == COLORS[0] else "black"
            axes.text(begin + width / 2, row, holder, ha="center", va="center", fontsize="small", color=ink)
    switches = begins[1:][np.diff(ids) != 0]
    axes.plot(switches, [row - 0.36] * len(switches), "kv", markersize=5, clip_on=False)
    return len(switches)


def _runs(frames: IntArray, values: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """First frame, frame after the last, and value of each run of successive frames with the same value."""
    starts = np.flatnonzero((np.diff(frames, prepend=-2) != 1) | (np.diff(values, prepend=-2) != 0))
    ends = np.append(starts[1:], len(frames))[: len(starts)] - 1
    return frames[starts], frames[ends] + 1, values[starts]


def _label(keypoint: int) -> str:
    """The side of a limb's keypoint, the name of another.

    >>> [_label(keypoint) for keypoint in (0, 12, 13)]
    ['right', 'neck', 'nose']
    """
    name = POSETRACK_15.keypoint_names[keypoint]
    return {"head_bottom": "neck", "head_top": "top", "nose": "nose"}.get(name, name.split("_")[0])
