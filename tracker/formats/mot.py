"""Boxes with ids in the form of the MOT challenge: a line per person and frame."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from tracker.boxes import xyxy_to_xywh
from tracker.errors import InputError
from tracker.formats.fields import Fields, FrameTable, Lines, Person, cell_value, has_all_cells
from tracker.formats.record import FILES, RUN_FACTS, TRACKING_FACTS, Header, Moment, Results
from tracker.formats.writer import TextWriter
from tracker.skeletons import COCO_17
from tracker.types import TrackedPoses

_COLUMNS = ("frame", "id", "left", "top", "width", "height", "confidence")
_NUM_NEEDED = 6


class MotWriter(TextWriter):
    """Writes boxes with ids as lines of frame, id, left, top, width, height, confidence, -1, -1, -1.

    Frames and pixels count from 1, as the challenge has it; the confidence is the box score. Pixels have 2 decimals,
    the confidence 4. Whoever has no box is left out.
    """

    drops: ClassVar[frozenset[str]] = (
        RUN_FACTS
        | TRACKING_FACTS
        | {"frames without people", "keypoints", "people without a box", FILES, "the picture's size"}
    )

    def _frame_text(self, moment: Moment, tracked: TrackedPoses) -> str:
        boxed = tracked[np.flatnonzero(np.isfinite(tracked.poses.boxes).all(axis=1))]
        # Rounded before the width is taken, so that the right and lower edges are as exact as the others.
        boxes = xyxy_to_xywh(boxed.poses.boxes.astype(np.float64).round(2)) + np.array([1, 1, 0, 0])
        people = zip(boxed.track_ids.tolist(), boxes.tolist(), boxed.poses.box_scores.tolist(), strict=True)
        return "".join(
            f"{moment.index + 1},{track_id},{','.join(f'{side:.2f}' for side in box)},{score:.4f},-1,-1,-1\n"
            for track_id, box, score in people
        )


def read_mot(path: Path) -> Results:
    """The results in a file of the MOT challenge, with people who have boxes and no keypoints.

    The id of detections, -1, stands for none; so does a confidence of -1, or none, and counts as 1.
    """
    frames = FrameTable(COCO_17.num_keypoints)
    lines = Lines(path, has_all_cells)
    for where, line in lines:
        cells = line.split(",")
        if len(cells) < _NUM_NEEDED:
            raise InputError(f"{where} has {len(cells)} columns, not {_NUM_NEEDED} or more; correct the file")
        record = Fields(dict(zip(_COLUMNS, map(cell_value, cells), strict=False)), where)
        index = record.whole("frame", least=1) - 1
        frames.add_frame(index)
        frames.add_person(index, _person(record), where)
    return frames.results(Header(COCO_17), lines.warning)


def _person(record: Fields) -> Person:
    left, top, width, height = (record.number(side) for side in _COLUMNS[2:6])
    has_confidence = record.values.get("confidence", -1) != -1
    return Person(
        track_id=record.track_id("id"),
        keypoints=np.tile((np.nan, np.nan, 0.0), (COCO_17.num_keypoints, 1)),
        box=np.array([left - 1, top - 1, left - 1 + width, top - 1 + height]),
        box_score=record.number("confidence") if has_confidence else 1.0,
    )
