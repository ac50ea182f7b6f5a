"""Pose networks side by side: what they cost, how long they take, and how right they are."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.evaluation.coco import GroundTruth, evaluate_results, keypoint_results
from tracker.evaluation.estimation import Estimation
from tracker.evaluation.mean_oks import mean_oks
from tracker.outputs import partial_path, publish
from tracker.types import Poses

if TYPE_CHECKING:
    from tracker.evaluation.profile import Profile


@dataclass(frozen=True)
class ComparedNetwork:
    """A row of the comparison.

    size: height × width of the input. parameters, macs: of one run of the network, None where they are not to be had.
    ap: OKS AP. mean_oks: of `tracker.evaluation.mean_oks`. ms: the median over the pictures, whole.
    """

    name: str
    size: str | None
    parameters: int | None
    macs: int | None
    ap: float | None
    mean_oks: float | None
    ms: float


def compare_network(
    name: str,
    cost: Profile | None,
    estimation: Estimation,
    truth: GroundTruth,
    poses: Mapping[int, Poses],
    times_s: Sequence[float],
) -> ComparedNetwork:
    """The row of a network that gave these poses by image id, each picture in its time, at least one."""
    results = keypoint_results(poses, estimation.skeleton, truth.skeleton, is_rescored=estimation.is_rescored)
    return ComparedNetwork(
        name=name,
        size="×".join(map(str, cost.size_hw)) if cost else None,
        parameters=cost.total.parameters if cost else None,
        macs=cost.total.macs if cost else None,
        ap=evaluate_results(truth, results, "keypoints")["ap"],
        mean_oks=mean_oks(truth, results),
        ms=1e3 * statistics.median(times_s),
    )


def as_table(rows: Iterable[ComparedNetwork]) -> str:
    """The rows in Markdown."""
    lines = ["| network | input | M parameters | GMACs | OKS AP | mean OKS | ms per picture |", f"|{'---|' * 7}"]
    for row in rows:
        counts = (_scaled(row.parameters, 1e6), _scaled(row.macs, 1e9))
        values = (row.name, row.size or "–", *counts, _scaled(row.ap), _scaled(row.mean_oks), f"{row.ms:.1f}")
        lines.append(f"| {' | '.join(values)} |")
    return "\n".join(lines)


def _scaled(value: float | None, unit: float = 1.0) -> str:
    return "–" if value is None else f"{value / unit:.3f}"


def draw_comparison(rows: Sequence[ComparedNetwork], path: Path) -> None:
    """Draw as PNG the mean OKS of each network over its milliseconds; the area of a dot is its parameters."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5.5), layout="constrained")
    axes = figure.subplots()
    for row in rows:
        oks = row.mean_oks or 0.0
        axes.scatter(row.ms, oks, s=40 + 60 * (row.parameters or 0) / 1e6, alpha=0.6)
        macs = "" if row.macs is None else f"\n{row.macs / 1e9:.2f} GMACs"
        axes.annotate(f"{row.name}{macs}", (row.ms, oks), xytext=(8, 8), textcoords="offset points", fontsize="small")
    axes.set(xlabel="ms per picture", ylabel="mean OKS", title="Area: parameters", ylim=(0, 1), xscale="log")
    axes.grid(alpha=0.3, which="both")
    figure.savefig(partial_path(path), dpi=100, format="png")
    publish(path)
