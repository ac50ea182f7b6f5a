"""The tables that papers print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tracker.evaluation.posetrack.summary import Figures, Summary, by_group, mot_columns
from tracker.types import DoubleArray

_Row = tuple[str, Iterable[float]]


def total_table(total: Summary) -> str:
    """The figures of all sequences in percent, in Markdown: by kind of keypoint, then in total."""
    rows = {
        "AP": _ap_columns(total.ap),
        "MOTA": mot_columns(total.mot),
        "MOTA, every person counted": mot_columns(total.every_person),
        "AP (PoseTrack21)": _ap_columns(total.ap21),
        "HOTA (PoseTrack21)": by_group(_hota(total)),
    }
    columns = list(rows["MOTA"])
    return _table("", columns, [(name, [row.get(column, np.nan) for column in columns]) for name, row in rows.items()])


def sequence_table(summaries: Sequence[Summary]) -> str:
    """The totals of each sequence in percent, and id switches per keypoint, in Markdown."""
    columns = ["AP", "MOTA", "MOTP", "Prec", "Rec", "HOTA"]
    return _table("sequence", columns, [(summary.name, _totals(summary)) for summary in summaries])


def _totals(summary: Summary) -> list[float]:
    mot = summary.mot
    figures = summary.ap["ap"], mot["mota"], mot["motp"], mot["pre"], mot["rec"], _hota(summary)
    return [float(values[-1]) for values in figures]


def _ap_columns(figures: Figures) -> dict[str, float]:
    return by_group(figures["ap"]) | {"Prec": float(figures["pre"][-1]), "Rec": float(figures["rec"][-1])}


def _hota(summary: Summary) -> DoubleArray:
    return 100 * summary.hota["HOTA"].mean(axis=0)


def _table(corner: str, columns: Sequence[str], rows: Sequence[_Row]) -> str:
    """Markdown whose columns stand below each other in a terminal, too."""
    width = max(len(corner), *(len(name) for name, _ in rows))
    lines = [
        f"| {corner:<{width}} | {' | '.join(f'{column:>5}' for column in columns)} |",
        f"|{'-' * (width + 2)}|{'------:|' * len(columns)}",
    ]
    for name, values in rows:
        cells = (f"{'–' if np.isnan(value) else f'{value:.1f}':>5}" for value in values)
        lines.append(f"| {name:<{width}} | {' | '.join(cells)} |")
    return "\n".join(lines)
