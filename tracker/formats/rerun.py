"""Recordings for the viewer of Rerun: people as points and boxes over time."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tracker.errors import load_extra
from tracker.formats.record import FILES, RUN_FACTS, TRACKING_FACTS, Header, Moment
from tracker.formats.writer import ResultWriter
from tracker.outputs import partial_path
from tracker.types import TrackedPoses

# The class of people; without one keypoints would be of class 0, which has no edges.
_PERSON = 1
# Rerun counts from the corner of the first pixel, we from its centre.
_HALF = np.float32(0.5)


class RerunWriter(ResultWriter):
    """Writes a recording: `people/ID` has a person's keypoints, with scores, and `people/ID/box` the box.

    Each person is an entity of their own, since edges join the points of one, and is cleared when gone, since the last
    ones would stay. The timelines are `frame` and, where times are known, `time`.
    """

    drops: ClassVar[frozenset[str]] = frozenset(
        (RUN_FACTS | TRACKING_FACTS | {"box scores", "the picture's size", "frames without people", FILES})
        - {"the source", "times"}
    )

    def __init__(self, path: Path, header: Header) -> None:
        super().__init__(path, header)
        self._recording: Any = None
        self._shown: set[int] = set()

    def _open(self) -> None:
        rr: Any = load_extra("rerun")
        partial_path(self.path).write_bytes(b"")  # Rerun's own error for what cannot be written is no OSError
        skeleton = self.header.skeleton
        points = [rr.AnnotationInfo(id=place, label=name) for place, name in enumerate(skeleton.keypoint_names)]
        person = rr.ClassDescription(
            info=rr.AnnotationInfo(id=_PERSON, label="person"),
            keypoint_annotations=points,
            keypoint_connections=list(skeleton.edges),
        )
        self._recording = rr.RecordingStream("pose-tracker")
        self._recording.save(partial_path(self.path))
        if self.header.source:
            self._recording.send_recording_name(self.header.source)
        self._recording.log("/", rr.AnnotationContext([person]), static=True)

    def _append(self, moment: Moment, tracked: TrackedPoses) -> None:
        import rerun as rr

        self._recording.set_time("frame", sequence=moment.index)
        if np.isfinite(moment.time_s):
            self._recording.set_time("time", duration=moment.time_s)
        here = set(tracked.track_ids.tolist())
        for track_id in self._shown - here:
            self._recording.log(f"people/{track_id}", rr.Clear(recursive=True))
        self._shown = here
        for person in tracked:
            is_there = np.isfinite(person.keypoints[:, 0])
            points = rr.Points2D(
                person.keypoints[is_there] + _HALF, class_ids=_PERSON, keypoint_ids=np.flatnonzero(is_there)
            )
            self._recording.log(f"people/{person.track_id}", points, rr.AnyValues(scores=person.scores[is_there]))
            if np.isfinite(person.box).all():
                name = str(person.track_id)
                box = rr.Boxes2D(array=person.box + _HALF, array_format=rr.Box2DFormat.XYXY, labels=name)
                self._recording.log(f"people/{person.track_id}/box", box)

    def _finish(self) -> None:
        self._recording.flush()
        self._recording.disconnect()
