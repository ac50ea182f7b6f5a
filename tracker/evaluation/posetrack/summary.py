"""The figures of PoseTrack evaluation: of a sequence or of all, as JSON and as the tables that papers print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from tracker.evaluation.posetrack.ap import ap_figures, pool
from tracker.evaluation.posetrack.hota import HotaSums, sequence_figures
from tracker.evaluation.posetrack.measure import MeasuredSequence
from tracker.evaluation.posetrack.mot import MotCounts
from tracker.evaluation.tables import markdown_table
from tracker.skeletons import POSETRACK_15, POSETRACK_17
from tracker.types import DoubleArray

# By keypoint, then their mean; NaN is undefined.
Figures = Mapping[str, DoubleArray]

_NAMES = POSETRACK_15.keypoint_names
GROUPS: Mapping[str, tuple[int, ...]] = {
    "Head": tuple(map(_NAMES.index, ("head_top", "head_bottom", "nose"))),
    **{
        column: (_NAMES.index(f"left_{part}"), _NAMES.index(f"right_{part}"))
        for column, part in zip(
            ("Shou", "Elb", "Wri", "Hip", "Knee", "Ankl"),
            ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"),
            strict=True,
        )
    },
}
# The kit's order: that of PoseTrack18 without ears; then the total.
_ORDER_21 = [_NAMES.index(name) for name in POSETRACK_17.keypoint_names if name in _NAMES] + [len(_NAMES)]


@dataclass(frozen=True, eq=False)
class Summary:
    """The figures of one sequence or of all; (16,) each, those of HOTA (19, 16).

    ap: ap, pre, rec in percent, by poseval; ap21: by PoseTrack21's kit. counts: of CLEAR-MOT, by poseval;
    every_person_counts: every person counted, in the last frame too. hota: HOTA and its parts, 0–1; hota_sums: what
    they are made of.
    """

    name: str
    ap: Figures
    counts: MotCounts
    every_person_counts: MotCounts
    ap21: Figures
    hota: Figures
    hota_sums: HotaSums

    @property
    def mot(self) -> Figures:
        """As poseval counts."""
        return self.counts.figures()

    @property
    def every_person(self) -> Figures:
        """With every person counted."""
        return self.every_person_counts.figures()


def summarise_sequence(measured: MeasuredSequence) -> Summary:
    """The figures of one sequence."""
    sums = measured.hota
    return _summary([measured], measured.name, sequence_figures(sums), sums.with_total())


def summarise_all(measured: Sequence[MeasuredSequence]) -> Summary:
    """The figures of all sequences, whose counts are summed up and whose keypoints are ranked together."""
    sums = reduce(add, (sequence.hota.with_total() for sequence in measured))
    return _summary(measured, "total", sums.figures(), sums)


def _summary(measured: Sequence[MeasuredSequence], name: str, hota: Figures, sums: HotaSums) -> Summary:
    return Summary(
        name=name,
        ap=ap_figures(pool(sequence.ranking for sequence in measured)),
        counts=reduce(add, (sequence.mot for sequence in measured)),
        every_person_counts=reduce(add, (sequence.mot_every_person for sequence in measured)),
        ap21=ap_figures(pool(sequence.ranking21 for sequence in measured), undefined=0),
        hota=hota,
        hota_sums=sums,
    )


def by_group(values: DoubleArray) -> dict[str, float]:
    """The columns of papers' tables, of figures (16,): means over kinds of keypoint, NaN where one is; the total."""
    return {name: float(values[list(group)].mean()) for name, group in GROUPS.items()} | {"Total": float(values[-1])}


def mot_columns(figures: Figures) -> dict[str, float]:
    """MOTA by group, then the totals of MOTP, precision and recall."""
    totals = {"MOTP": "motp", "Prec": "pre", "Rec": "rec"}
    return by_group(figures["mota"]) | {column: float(figures[name][-1]) for column, name in totals.items()}


def as_json(measured: Sequence[MeasuredSequence], total: Summary) -> dict[str, Any]:
    """All figures, by sequence and in total; undefined ones are None.

    `every_person_counted` has the MOT figures that poseval's rules about empty and last frames leave out.
    """
    sequences = [summarise_sequence(sequence) for sequence in measured]
    every = [*sequences, total]
    return without_nan(
        {
            "joints": [name.replace("head_bottom", "neck") for name in _NAMES],
            "poseval": {summary.name: _poseval(summary) for summary in every},
            "poseval_counts": {
                "evaluated_frames_ap": {sequence.name: sequence.num_frames for sequence in measured},
                "evaluated_frames_mot": {sequence.name: max(sequence.num_frames - 1, 0) for sequence in measured},
                "per_sequence": {summary.name: _counts(summary.counts) for summary in sequences},
                "total": _counts(total.counts),
            },
            "every_person_counted": {summary.name: _every_person(summary) for summary in every},
            "posetrack21": {
                "joints": [_NAMES[row] for row in _ORDER_21[:-1]],
                "hota_pose": {_name_21(summary, total): _hota(summary) for summary in every},
                "posemap": {_name_21(summary, total): _posemap(summary) for summary in every},
                "frame_flags_before_ignore_regions": {sequence.name: _flags(sequence) for sequence in measured},
            },
        }
    )


def _poseval(summary: Summary) -> dict[str, Any]:
    return {
        "ap": {**summary.ap, "table": by_group(summary.ap["ap"])},
        "mot": {**summary.mot, "table": mot_columns(summary.mot)},
    }


def _every_person(summary: Summary) -> dict[str, Any]:
    figures = summary.every_person
    return {**figures, "table": mot_columns(figures), "counts": _counts(summary.every_person_counts)}


def _counts(counts: MotCounts) -> list[dict[str, float]]:
    """One record by keypoint."""
    columns = {
        "num_objects": counts.num_objects,
        "num_detections": counts.num_detections,
        "num_misses": counts.num_misses,
        "num_false_positives": counts.num_false_positives,
        "num_switches": counts.num_switches,
        "sum_dist_matched": counts.distance,
    }
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _name_21(summary: Summary, total: Summary) -> str:
    return "COMBINED_SEQ" if summary is total else summary.name


def _hota(summary: Summary) -> dict[str, Any]:
    sums = summary.hota_sums
    return {
        "mean_over_alpha_percent": {name: 100 * table.mean(axis=0)[_ORDER_21] for name, table in summary.hota.items()},
        **{f"{name}_alpha0": getattr(sums, name)[0, _ORDER_21] for name in ("tp", "fn", "fp")},
    }


def _posemap(summary: Summary) -> dict[str, Any]:
    names = {"map": "ap", "precision": "pre", "recall": "rec"}
    return {kit: by_group(summary.ap21[ours]) for kit, ours in names.items()}


def _flags(sequence: MeasuredSequence) -> dict[str, int]:
    return {
        "labeled_frames_without_gt": sequence.num_frames_without_truth,
        "labeled_frames_without_prediction": sequence.num_frames_without_prediction,
    }


def total_table(total: Summary) -> str:
    """The figures of all sequences in percent, in Markdown: by kind of keypoint, then in total."""
    rows = {
        "AP": _ap_columns(total.ap),
        "MOTA": mot_columns(total.mot),
        "MOTA, every person counted": mot_columns(total.every_person),
        "AP (PoseTrack21)": _ap_columns(total.ap21),
        "HOTA (PoseTrack21)": by_group(_mean_hota(total)),
    }
    columns = list(rows["MOTA"])
    return markdown_table(["", *columns], [[name, *map(row.get, columns)] for name, row in rows.items()])


def sequence_table(summaries: Sequence[Summary]) -> str:
    """The totals of each sequence in percent, and id switches per keypoint, in Markdown."""
    header = ["sequence", "AP", "MOTA", "MOTP", "Prec", "Rec", "HOTA"]
    return markdown_table(header, [[summary.name, *_totals(summary)] for summary in summaries])


def _totals(summary: Summary) -> list[float]:
    mot = summary.mot
    figures = summary.ap["ap"], mot["mota"], mot["motp"], mot["pre"], mot["rec"], _mean_hota(summary)
    return [float(values[-1]) for values in figures]


def _ap_columns(figures: Figures) -> dict[str, float]:
    return by_group(figures["ap"]) | {"Prec": float(figures["pre"][-1]), "Rec": float(figures["rec"][-1])}


def _mean_hota(summary: Summary) -> DoubleArray:
    return 100 * summary.hota["HOTA"].mean(axis=0)


def without_nan(value: Any) -> Any:
    """The same with lists for arrays, and None for NaN."""
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    if isinstance(value, np.ndarray):
        return without_nan(value.tolist())
    return None if isinstance(value, float) and np.isnan(value) else value
