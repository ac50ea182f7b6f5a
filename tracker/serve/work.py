"""What is done with pictures and clips, in a process of its own, which may be killed at any time."""

from __future__ import annotations

import base64
import json
import sys
import time
import traceback
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import cv2
import numpy as np
from PIL import Image as Pillow

from tracker.errors import InputError, TrackerError
from tracker.evaluation.inspection import heatmaps_over
from tracker.formats import Header, open_writer, read_results
from tracker.formats.jsonl import frame_record
from tracker.job.job import Job, Outputs, Settings, Span
from tracker.job.run import try_job
from tracker.job.workers import FRAME
from tracker.pace import EXACT
from tracker.pipeline import Pipeline, StageTimes
from tracker.serve.limits import Limits
from tracker.types import Frame, Image, TrackedPoses
from tracker.video.images import read_image
from tracker.video.overlay import OverlayRenderer
from tracker.video.source import open_source

Output: TypeAlias = Literal["json", "csv", "overlay", "heatmaps"]
OUTPUTS: tuple[str, ...] = get_args(Output)
Say: TypeAlias = Callable[[Any], None]
# The results of a clip, and their media types.
RESULTS = {"overlay.mp4": "video/mp4", "poses.jsonl": "application/jsonl", "poses.csv": "text/csv"}

_FAULT = "a fault of the program, which says more on its stderr; try another file"
# The longer side of heatmaps, which are laid over the picture in the browser.
_HEATMAP_SIDE = 480
_MOST_SESSIONS = 4


@dataclass(frozen=True)
class Answer:
    """What came of a task."""

    content: bytes
    media_type: str = "application/json"


@dataclass(frozen=True)
class Refusal:
    """Why nothing came of it, for people, and the status of HTTP."""

    reason: str
    status: int = 422


@dataclass(frozen=True)
class PictureTask:
    """People in a picture. session: of pictures of one camera, in which people keep their ids; None for one picture."""

    path: Path
    output: Output = "json"
    session: str | None = None
    limits: Limits = field(default_factory=Limits)

    def do(self, pipeline: Pipeline, _say: Say) -> Answer:
        """The people in the form that was asked for."""
        begin_s = time.perf_counter()
        _check_picture(self.path, self.limits)
        frame = Frame(0, 0.0, read_image(self.path))
        people = _follow(self.session, pipeline, frame) if self.session else _people_in(frame, pipeline)
        people = replace(people, poses=people.poses.limited())
        if self.output == "overlay":
            return Answer(_draw(frame, people, pipeline), "image/png")
        if self.output == "heatmaps":
            return Answer(_heatmaps(frame.image, people, pipeline))
        header = _header(self.path.name, frame, pipeline)
        if self.output == "csv":
            with open_writer(table := self.path.with_suffix(".csv"), header) as writer:
                writer.write(frame, people)
            return Answer(table.read_bytes(), "text/csv")
        took_ms = round(1e3 * (time.perf_counter() - begin_s), 1)
        more = {"edges": [list(edge) for edge in pipeline.skeleton.edges], "took_ms": took_ms}
        return Answer(_json(header.as_json() | frame_record(frame, people) | more))


@dataclass(frozen=True)
class ClipTask:
    """People with ids in a clip, written beside its folder as `RESULTS`."""

    path: Path
    settings: Settings
    limits: Limits = field(default_factory=Limits)

    def do(self, pipeline: Pipeline, say: Say) -> Answer | Refusal:
        """The summary; says how many frames there are about, and then each of them."""
        say(_check_clip(self.path, self.limits))
        overlay, poses, table = (self.path.parents[1] / name for name in RESULTS)
        span = Span(end_s=self.limits.clip_s, max_frames=self.limits.clip_frames)
        job = Job(str(self.path), self.settings, span, Outputs(overlay, poses))
        outcome = try_job(job, pipeline, on_frame=lambda: say(FRAME))
        report = outcome.report
        if report is None:
            is_fault = "a fault of the program" in outcome.error
            print(outcome.trace if is_fault else "", end="", file=sys.stderr)
            return Refusal(_FAULT, 500) if is_fault else Refusal(_without_folder(outcome.error, self.path))
        results = read_results(poses)
        with open_writer(table, results.header) as writer:
            for frame in results.frames:
                writer.write(frame, frame.tracked)
        note = "; ".join(filter(None, (report.warning, report.hint))) or None
        return Answer(_json({"frames": report.frames, "people": len(report.confirmed_ids), "note": note}))


Task: TypeAlias = PictureTask | ClipTask


def do(task: Task, pipeline: Pipeline, say: Say) -> Answer | Refusal:
    """Do a task, whatever goes wrong."""
    try:
        return task.do(pipeline, say)
    except (TrackerError, OSError) as error:
        return Refusal(_without_folder(" ".join(str(error).split()), task.path))
    except Exception:  # noqa: BLE001 - a bug that one file meets must not end the others
        traceback.print_exc()
        return Refusal(_FAULT, 500)


def _without_folder(message: str, path: Path) -> str:
    return message.replace(str(path), path.name)


def _json(content: Any) -> bytes:
    return json.dumps(content, allow_nan=False, ensure_ascii=False).encode()


def _check_picture(path: Path, limits: Limits) -> None:
    """Refuse, as InputError, what is damaged at its beginning, or too large once it is decoded."""
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            Pillow.open(path, formats=("JPEG", "PNG", "WEBP", "BMP")) as read,
        ):
            width, height = read.size
    except Pillow.DecompressionBombError as error:
        raise InputError(f"{path} has far too many pixels; the most are {limits.picture_mp:g} megapixels") from error
    except Exception as error:  # whatever its parsers raise
        raise InputError(f"{path} is no picture or is damaged; save it again as JPEG or PNG") from error
    if width * height > 1e6 * limits.picture_mp:
        raise InputError(f"{path} is {width}x{height}; make it smaller than {limits.picture_mp:g} megapixels")


def _check_clip(path: Path, limits: Limits) -> int:
    """About how many frames there are, 0 where that is unknown; InputError for a clip beyond the limits."""
    with open_source(path) as source:
        (width, height), fps, num_frames = source.size_wh, source.fps, source.num_frames or 0
    if width * height > 1e6 * limits.frame_mp:
        raise InputError(f"{path} is {width}x{height}; make it smaller than {limits.frame_mp:g} megapixels")
    length_s = num_frames / float(fps) if fps else 0.0
    if length_s > limits.clip_s + 0.5 or num_frames > limits.clip_frames:
        raise InputError(
            f"{path} is {length_s:.0f} s long with {num_frames} frames; cut it to {limits.clip_s:g} s and "
            f"{limits.clip_frames} frames"
        )
    return num_frames


def _people_in(frame: Frame, pipeline: Pipeline) -> TrackedPoses:
    """Everybody in a single picture; ids count them, and nobody needs to be confirmed."""
    config = replace(pipeline.config, confirm_after_s=0.0)
    alone = replace(pipeline, config=config, pace=EXACT, detector_batch=1, times=StageTimes())
    ((_, people),) = alone.run([frame], one_by_one=True)
    return people


class _Session:
    """The pictures of a camera, which come one by one."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._begin_s = time.monotonic()
        alone = replace(pipeline, pace=EXACT, detector_batch=1, times=StageTimes())
        self._tracked = alone.run(self._take(), is_live=True, one_by_one=True)

    def push(self, frame: Frame) -> TrackedPoses:
        """The people in the next picture."""
        self._next = replace(frame, time_s=time.monotonic() - self._begin_s)
        return next(self._tracked)[1]

    def _take(self) -> Iterator[Frame]:
        while True:
            yield self._next


# Of this process, the one that was used last at the end.
_sessions = OrderedDict[str, _Session]()


def _follow(name: str, pipeline: Pipeline, frame: Frame) -> TrackedPoses:
    """The people in the next picture of a session; one that fails, or is not among the last four, begins anew."""
    session = _sessions.pop(name, None) or _Session(pipeline)
    people = session.push(frame)
    _sessions[name] = session
    if len(_sessions) > _MOST_SESSIONS:
        _sessions.popitem(last=False)
    return people


def _header(name: str, frame: Frame, pipeline: Pipeline) -> Header:
    settings = {
        "detector": pipeline.detector and pipeline.detector.name,
        "pose_model": pipeline.estimator.name,
        "keypoint_threshold": pipeline.config.least_keypoint_score,
    }
    return Header(pipeline.skeleton, name, frame.size_wh, None, settings)


def _draw(frame: Frame, people: TrackedPoses, pipeline: Pipeline) -> bytes:
    threshold = pipeline.config.least_keypoint_score
    overlay = OverlayRenderer(pipeline.skeleton, keypoint_threshold=threshold, show_unconfirmed=True)
    return _png(overlay.draw(frame.image, people, time_s=0))


def _heatmaps(image: Image, people: TrackedPoses, pipeline: Pipeline) -> bytes:
    """Width and height, and of each keypoint its peak and a grey PNG in base64, whose white is 1."""
    maps = heatmaps_over(pipeline.estimator, image, people.poses.boxes, _HEATMAP_SIDE)
    grey = np.rint(255 * np.clip(maps, 0, 1)).astype(np.uint8)
    names = pipeline.skeleton.keypoint_names
    drawn = {
        name: {"peak": round(float(values.max()), 4), "png": base64.b64encode(_png(picture)).decode()}
        for name, values, picture in zip(names, maps, grey, strict=True)
    }
    return _json({"size": list(maps.shape[:0:-1]), "heatmaps": drawn})


def _png(image: Image) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()
