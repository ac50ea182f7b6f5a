"""The plot of a training run: its loss, and what validation measured."""

from __future__ import annotations

import json
from pathlib import Path

from tracker.plots import can_draw, new_figure, save_figure


def draw(log_path: Path, image_path: Path) -> None:
    """Draw a log (JSON lines of a step and figures by name) as PNG; nothing without matplotlib.

    The loss has a logarithmic axis; below it are all figures of validation.
    """
    if not can_draw():
        return
    curves, figure = read_curves(log_path), new_figure(11, 8)
    from matplotlib import colormaps

    upper, lower = figure.subplots(2, sharex=True)
    upper.semilogy(*zip(*curves.pop("loss", [(0, 1.0)]), strict=True), linewidth=1)
    upper.set(ylabel="loss")
    # By their last value, so that the legend has the order of the lines.
    by_height = sorted(curves.items(), key=lambda curve: -curve[1][-1][1])
    for number, (name, points) in enumerate(by_height):
        lower.plot(
            *zip(*points, strict=True), marker=".", linewidth=1, label=name, color=colormaps["tab20"](number % 20)
        )
    if curves:
        lower.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    lower.set(xlabel="step", ylabel="validation")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    save_figure(figure, image_path)


def read_curves(log_path: Path) -> dict[str, list[tuple[int, float]]]:
    """The pairs of step and value of each figure in a log; the speed is left out."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for line in log_path.read_text(encoding="utf-8").splitlines():
        figures = json.loads(line)
        step = figures.pop("step")
        for name, value in figures.items():
            if name != "steps_per_s":
                curves.setdefault(name, []).append((step, value))
    return curves
