"""Native results: JSON lines, a header and then one line per frame, also for frames without people."""

from __future__ import annotations

import json
import math
from typing import Any

from tracker.formats.record import ResultWriter
from tracker.types import Frame, Origin, TrackedPoses

FORMAT = "pose-tracker/1"


class JsonlWriter(ResultWriter):
    """Writes poses with ids as JSON lines.

    The first line is an object with `format`, `skeleton`, `keypoint_names`, `source`, `size` (width, height), `fps` and
    `settings`; each further line is a frame (see `frame_record`). Coordinates have 2 decimals, scores 4.
    """

    def _header_text(self) -> str:
        return _line({"format": FORMAT} | self.header.as_json())

    def _frame_text(self, frame: Frame, tracked: TrackedPoses) -> str:
        return _line(frame_record(frame, tracked))


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, allow_nan=False, ensure_ascii=False, separators=(",", ":")) + "\n"


def frame_record(frame: Frame, tracked: TrackedPoses) -> dict[str, Any]:
    """A frame as JSON values: `frame`, `time_s` and `people`, each with id, box, scores and keypoints.

    A missing keypoint is `[null, null, 0]`; the similarity of a new id is null.
    """
    people = [_person(tracked, row, score) for row, score in enumerate(tracked.poses.pose_scores().tolist())]
    return {"frame": frame.index, "time_s": round(frame.time_s, 6), "people": people}


def _person(tracked: TrackedPoses, row: int, score: float) -> dict[str, Any]:
    poses = tracked.poses
    keypoints = zip(poses.keypoints[row].tolist(), poses.scores[row].tolist(), strict=True)
    return {
        "track_id": int(tracked.track_ids[row]),
        "confirmed": bool(tracked.confirmed[row]),
        "box": [_number(value, 2) for value in poses.boxes[row].tolist()],
        "score": _number(score, 4),
        "origin": Origin(poses.origin[row]).name.lower(),
        "similarity": _number(float(tracked.similarities[row]), 4),
        "keypoints": [[_number(x, 2), _number(y, 2), round(s, 4) if s else 0] for (x, y), s in keypoints],
    }


def _number(value: float, decimals: int) -> float | None:
    return round(value, decimals) if math.isfinite(value) else None
