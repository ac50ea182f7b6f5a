"""Plots by matplotlib, where it is installed: pictures of evaluations, trainings and people over time."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tracker.errors import DependencyError
from tracker.outputs import writing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which the colour-blind tell apart; black is for marks.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442")


def can_draw() -> bool:
    """Whether matplotlib is there."""
    return importlib.util.find_spec("matplotlib") is not None


def check_can_draw() -> None:
    """DependencyError with the command that installs matplotlib where it is missing."""
    if not can_draw():
        raise DependencyError("no plots without matplotlib; run: pip install 'matplotlib>=3.8,<4'")


def new_figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Figure:
    """An empty figure, in inches; matplotlib is loaded without a word on a home that it cannot write to.

    layout: None for a figure whose margins are set; to find them out, everything is drawn twice.
    """
    log = logging.getLogger("matplotlib")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        from matplotlib.figure import Figure
    finally:
        log.setLevel(before)
    return Figure(figsize=(width, height), layout=layout)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whatever the name."""
    with writing(path) as partial:
        figure.savefig(partial, dpi=100, format="png")
