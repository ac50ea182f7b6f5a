"""Results as CSV: one row per person and frame."""

from __future__ import annotations

import csv
import io
import math

from tracker.formats.record import ResultWriter
from tracker.types import Frame, Origin, TrackedPoses

_PERSON_COLUMNS = (
    "frame", "time_s", "track_id", "confirmed", "score", "origin", "similarity", "x1", "y1", "x2", "y2",
)  # fmt: skip


class CsvWriter(ResultWriter):
    """Writes poses with ids as CSV, a row per person and frame, three columns per keypoint.

    Pixels have 2 decimals, scores 4; a missing keypoint and the similarity of a new id are empty cells. A
    frame without people has no row.
    """

    def _header_text(self) -> str:
        names = self.header.skeleton.keypoint_names
        return _text([[*_PERSON_COLUMNS, *(f"{name}_{part}" for name in names for part in ("x", "y", "score"))]])

    def _frame_text(self, frame: Frame, tracked: TrackedPoses) -> str:
        scores = tracked.poses.pose_scores().tolist()
        return _text([_row(frame, tracked, row, score) for row, score in enumerate(scores)])


def _text(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _row(frame: Frame, tracked: TrackedPoses, row: int, score: float) -> list[str]:
    poses = tracked.poses
    keypoints = zip(poses.keypoints[row].tolist(), poses.scores[row].tolist(), strict=True)
    return [
        str(frame.index),
        f"{frame.time_s:.6f}",
        str(int(tracked.track_ids[row])),
        str(bool(tracked.confirmed[row])).lower(),
        _cell(score, 4),
        Origin(poses.origin[row]).name.lower(),
        _cell(float(tracked.similarities[row]), 4),
        *(_cell(value, 2) for value in poses.boxes[row].tolist()),
        *(cell for (x, y), s in keypoints for cell in (_cell(x, 2), _cell(y, 2), _cell(s, 4))),
    ]


def _cell(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}" if math.isfinite(value) else ""
