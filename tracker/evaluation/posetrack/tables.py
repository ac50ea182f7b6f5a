"""The tables that papers print."""

from __future__ import annotations

from collections.abc import Sequence

from tracker.evaluation.posetrack.summary import Figures, Summary, by_group, mot_columns
from tracker.evaluation.tables import markdown_table
from tracker.types import DoubleArray


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
    return markdown_table(["", *columns], [[name, *map(row.get, columns)] for name, row in rows.items()])


def sequence_table(summaries: Sequence[Summary]) -> str:
    """The totals of each sequence in percent, and id switches per keypoint, in Markdown."""
    header = ["sequence", "AP", "MOTA", "MOTP", "Prec", "Rec", "HOTA"]
    return markdown_table(header, [[summary.name, *_totals(summary)] for summary in summaries])


def _totals(summary: Summary) -> list[float]:
    mot = summary.mot
    figures = summary.ap["ap"], mot["mota"], mot["motp"], mot["pre"], mot["rec"], _hota(summary)
    return [float(values[-1]) for values in figures]


def _ap_columns(figures: Figures) -> dict[str, float]:
    return by_group(figures["ap"]) | {"Prec": float(figures["pre"][-1]), "Rec": float(figures["rec"][-1])}


def _hota(summary: Summary) -> DoubleArray:
    return 100 * summary.hota["HOTA"].mean(axis=0)
