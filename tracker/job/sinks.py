"""Where tracked frames go. A further output is a `Sink`, and a line in `open_sinks`."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from tracker.after.ahead import AheadSmoother
from tracker.after.filters import OneEuro
from tracker.after.second_pass import SecondPass, work_over
from tracker.after.table import KeptPeople
from tracker.formats import Header, ResultWriter, open_writer
from tracker.formats.markers import HEIGHT
from tracker.formats.posetrack import PoseTrackSequence
from tracker.formats.posetrack_conversion import open_predictions
from tracker.job.job import Job
from tracker.pace import Speed
from tracker.pipeline import Pipeline, StageTimes
from tracker.runtime import num_cores
from tracker.types import Frame, Image, TrackedPoses
from tracker.video.aspect import fit_people, shrunk, square_frame, square_pixels
from tracker.video.overlay import PARTS, PHOTO_PARTS, OverlayRenderer, draw_status
from tracker.video.source import VideoSource
from tracker.video.window import LiveWindow, window_problem
from tracker.video.writer import PictureFolder, PictureWriter, VideoWriter, is_picture
from tracker.video.yuv import Ground

if TYPE_CHECKING:
    from tracker.job.live import LiveView

# So many cores have nothing to spare beside the networks.
_FEW_CORES = 2
# What is stated of pictures that do not follow one another: nobody is carried or remembered between them.
_PHOTO_SETTINGS = (
    *("keypoint_threshold", "merge", "merge_iou", "duplicate_oks", "newcomer_oks"),
    *("detector", "pose_model", "flip_test"),
)
# Frames that are not drawn but followed, so that trails and the like are those of all: a second or two.
_MOST_PASSED = 64
# The formats that have the images of a ground truth, and the versions they are; others have frames alone.
_VERSIONS = {"posetrack": "18", "posetrack17": "17", "posetrack18": "18"}


class Sink(Protocol):
    """An output of a run, a context manager: left without an error, its files are moved into place.

    note: one line for the summary, once it is left; None for none.
    """

    @property
    def note(self) -> str | None:
        """Nothing is to be said of most."""
        return None

    def write(self, frame: Frame, people: TrackedPoses) -> bool:
        """Take a frame and its people; False where the user wants no more."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: Any) -> None:
        return None


class Watch(Sink):
    """Calls a function for every frame."""

    def __init__(self, on_frame: Callable[[Frame, TrackedPoses], object]) -> None:
        self._on_frame = on_frame

    def write(self, frame: Frame, people: TrackedPoses) -> bool:
        """Call it."""
        self._on_frame(frame, people)
        return True


class ResultSink(Sink):
    """A results file. confirmed_only: leave others out."""

    def __init__(self, results: ResultWriter, times: StageTimes, *, confirmed_only: bool = False) -> None:
        self._results = results
        self._times = times
        self._confirmed_only = confirmed_only

    def write(self, frame: Frame, people: TrackedPoses) -> bool:
        """Write the people, until nobody reads on."""
        with self._times.measure("write"), suppress(BrokenPipeError):
            self._write(frame, people[people.confirmed] if self._confirmed_only else people)
            return True
        return False

    def _write(self, frame: Frame, people: TrackedPoses) -> None:
        self._results.write(frame, people)

    def __exit__(self, *exception: Any) -> None:
        self._results.__exit__(*exception)
        if self._results.note:
            print(f"written: {self._results} ({self._results.note})", file=sys.stderr)


class SecondPassSink(ResultSink):
    """A results file that is worked over at the end; until then, and after a failure, it has people as tracked.

    They are kept in memory: six minutes of three people at 25 frames per second take 15 MB, and 46 at most
    while they are worked over. open_again: of the file.
    """

    def __init__(
        self,
        open_again: Callable[[], ResultWriter],
        times: StageTimes,
        todo: SecondPass,
        threshold: float,
        **kind: bool,
    ) -> None:
        super().__init__(open_again(), times, **kind)
        self._open_again, self._todo, self._threshold = open_again, todo, threshold
        self._kept = KeptPeople(self._results.header)

    def _write(self, frame: Frame, people: TrackedPoses) -> None:
        super()._write(frame, people)
        people = replace(people, poses=replace(people.poses.limited(), features=np.zeros((len(people), 0), np.float32)))
        self._kept.add(frame, people)

    def __exit__(self, *exception: Any) -> None:
        super().__exit__(*exception)
        if exception[0] is None and self._kept.frames:
            worked = work_over(self._kept.take(), self._results.header, self._todo, self._threshold)
            again = self._open_again()
            again.header = worked.header
            with again:
                for frame, people in zip(self._kept.frames, worked.table.people(), strict=True):
                    again.write(frame, people)
            print(worked.summary, file=sys.stderr)


class OverlaySink(Sink):
    """The overlay, drawn once for a file, a live window and browsers.

    smoother: of what is drawn. holds: the window waits at each picture.
    """

    def __init__(
        self,
        overlay: OverlayRenderer,
        drawing: VideoWriter | PictureWriter | PictureFolder | None,
        times: StageTimes,
        window: LiveWindow | None = None,
        smoother: AheadSmoother[Frame] | OneEuro | None = None,
        view: LiveView | None = None,
        *,
        holds: bool = False,
    ) -> None:
        self._view = view
        self._smoother = smoother
        self._holds = holds
        self._overlay = overlay
        self._drawing = drawing
        self._window = window
        self._times = times
        self._stack = ExitStack()
        self._num_frames = 0
        self._start = time.perf_counter()
        self._delays_ms = deque[float](maxlen=100)

    def __enter__(self) -> Self:
        for output in (self._drawing, self._window, self._view):
            if output:
                self._stack.enter_context(output)
        return self

    def __exit__(self, *exception: Any) -> None:
        # Outputs know of what goes wrong here; after a failure what ended the run says more.
        with self._stack if exception[0] is None else suppress(Exception):
            for ready in self._smoother.rest() if self._smoother else ():
                self._show(*ready)
        self._stack.__exit__(*exception)

    @property
    def note(self) -> str | None:
        """What became of the sound."""
        return self._drawing.note if isinstance(self._drawing, VideoWriter) else None

    def write(self, frame: Frame, people: TrackedPoses) -> bool:
        """Draw the people, also into the window, until the user closes it; a smoother may wait for later frames."""
        if not self._smoother:
            return self._show(frame, people)
        with self._times.measure("draw"):
            ready = list(self._smoother.add(frame, people))
        go_on = [self._show(*each) for each in ready]
        return all(go_on)

    def _show(self, frame: Frame, people: TrackedPoses) -> bool:
        self._num_frames += 1
        with self._times.measure("draw"):
            square, shown = square_pixels(frame, people)
            ground = Ground.of(square)
            # The image of a ground was made of its planes and is nobody else's; a decoder may go on from others.
            picture = self._overlay.draw(square.image, shown, time_s=frame.time_s, in_place=ground is not None)
        if self._view:
            self._view.show(frame, people, lambda: picture)
        go_on = True
        if self._window:
            in_window = picture if self._holds else self._with_status(picture)
            go_on = self._window.show(in_window, hold=self._holds)
        if not go_on:
            self._window = None
        if frame.arrived_s is not None:
            self._delays_ms.append(1e3 * (time.monotonic() - frame.arrived_s))
        if self._drawing:
            with self._times.measure("encode"):
                if isinstance(self._drawing, PictureFolder):
                    self._drawing.write(picture, frame.file or f"{frame.index}.png")
                elif isinstance(self._drawing, PictureWriter):
                    self._drawing.write(picture, frame.time_s)
                else:
                    self._drawing.write(picture, frame.time_s, ground, self._overlay.touched)
        return go_on

    def _with_status(self, picture: Image) -> Image:
        """What the window shows alone; a recording says nothing of how fast it was made."""
        delays_ms = np.percentile(self._delays_ms, (50, 95)).tolist() if self._delays_ms else None
        shown = picture.copy() if self._drawing or self._view else picture
        rate = self._num_frames / (time.perf_counter() - self._start)
        draw_status(shown, self._overlay.num_shown, rate, delays_ms)
        return shown


class LiveSink(Sink):
    """The overlay in browsers alone: drawn, small, when somebody asks, and smoothed over what is drawn."""

    def __init__(self, view: LiveView, overlay: OverlayRenderer, smoother: OneEuro | None) -> None:
        self._view, self._overlay, self._smoother = view, overlay, smoother
        self._passed = deque[tuple[int, float, TrackedPoses]](maxlen=_MOST_PASSED)

    def __enter__(self) -> Self:
        self._view.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._view.__exit__(*exception)

    def write(self, frame: Frame, people: TrackedPoses) -> bool:
        """Leave the frame for whoever looks."""
        self._view.show(frame, people, partial(self._draw, frame, people))
        self._passed.append((frame.index, frame.time_s, people))
        return True

    def _draw(self, frame: Frame, people: TrackedPoses) -> Image:
        small = square_frame(replace(frame, image=shrunk(frame.image, self._view.longest)))
        while self._passed and self._passed[0][0] < frame.index:
            _, time_s, others = self._passed.popleft()
            self._overlay.follow(fit_people(others, frame, small), time_s=time_s)
        smoothed = self._smoother.smooth(people, frame.time_s) if self._smoother else people
        return self._overlay.draw(small.image, fit_people(smoothed, frame, small), time_s=frame.time_s)


def open_sinks(job: Job, source: VideoSource, pipeline: Pipeline, truth: PoseTrackSequence | None = None) -> list[Sink]:
    """The outputs of a job, poses first; truth: names the images of predictions.

    Where a live window is wanted and none can be opened, stderr says why.
    """
    outputs, sinks = job.outputs, list[Sink]()
    window = _open_window(source.name) if outputs.show else None
    if outputs.poses:
        open_results = partial(_open_results, outputs.poses, _header(job, source, pipeline), outputs.format, truth)
        open_results().check_num_frames(source.num_frames)
        todo, only = outputs.second_pass, outputs.confirmed_only
        threshold = pipeline.config.least_keypoint_score
        sinks.append(
            SecondPassSink(open_results, pipeline.times, todo, threshold, confirmed_only=only)
            if todo.does_something
            else ResultSink(open_results(), pipeline.times, confirmed_only=only)
        )
    if drawn := _open_drawn(job, source, pipeline, window):
        sinks.append(drawn)
    return sinks


def _open_drawn(job: Job, source: VideoSource, pipeline: Pipeline, window: LiveWindow | None) -> Sink | None:
    """What shows or writes pictures; None where nothing does."""
    outputs, view = job.outputs, _open_view(job, source)
    if not (outputs.overlay or window or view):
        return None
    overlay = _open_overlay(job, pipeline)
    is_smoothed, threshold = outputs.smooth_overlay and not job.photos, pipeline.config.least_keypoint_score
    if view and not (outputs.overlay or window):
        return LiveSink(view, overlay, OneEuro(threshold) if is_smoothed else None)
    drawing = _open_drawing(outputs.overlay, job, source, pipeline.pace.name) if outputs.overlay else None
    smoother: AheadSmoother[Frame] | OneEuro | None = None
    if is_smoothed:
        smoother = (OneEuro if source.is_live else AheadSmoother)(threshold)
    return OverlaySink(overlay, drawing, pipeline.times, window, smoother, view, holds=job.photos)


def _open_overlay(job: Job, pipeline: Pipeline) -> OverlayRenderer:
    return OverlayRenderer(
        pipeline.skeleton,
        keypoint_threshold=pipeline.config.least_keypoint_score,
        show_unconfirmed=job.outputs.show_unconfirmed,
        draw=job.outputs.draw or (PHOTO_PARTS if job.photos else PARTS),
        line_width=job.outputs.line_width,
        blur_faces=job.outputs.blur_faces,
    )


def _open_drawing(
    path: Path, job: Job, source: VideoSource, speed: Speed
) -> VideoWriter | PictureWriter | PictureFolder:
    if job.has_picture_folder:
        return PictureFolder(path)
    if is_picture(path):
        return PictureWriter(path)
    sound = source.sound if job.outputs.audio else None
    return VideoWriter(path, fps=source.fps, crf=job.outputs.crf, preset=_effort(speed), sound=sound)


def _effort(speed: Speed) -> str:
    """Of x264, by what the machine has to spare: its least effort takes half the time, for files 1.6 times as large."""
    spares = speed == "exact" or (speed == "balanced" and num_cores() > _FEW_CORES)
    return "superfast" if spares else "ultrafast"


def _header(job: Job, source: VideoSource, pipeline: Pipeline) -> Header:
    settings = asdict(pipeline.config) | {
        "detector": pipeline.detector and pipeline.detector.name,
        "pose_model": pipeline.estimator.name,
        "flow": job.settings.flow,
        "speed": pipeline.pace.name,
        "detect_every": job.settings.detect_every,
        "flip_test": job.settings.flip_test,
    }
    if job.photos:
        settings = {name: settings[name] for name in _PHOTO_SETTINGS} | {"photos": True}
    if pipeline.appearance:
        settings["appearance"] = pipeline.appearance.name
    selection = pipeline.selection
    settings |= {name: value for name, value in vars(selection).items() if value is not None}
    if job.span.fps:
        settings["fps"] = job.span.fps
    if job.outputs.person_height_m:
        settings[HEIGHT] = job.outputs.person_height_m
    if source.pixel_aspect != 1:
        aspect = source.pixel_aspect
        settings |= {"pixel_aspect": f"{aspect.numerator}:{aspect.denominator}", "coordinates": "stored pixels"}
    fps = None if source.fps is None or job.photos else float(source.fps)
    return Header(pipeline.skeleton, source.name, source.size_wh, fps, settings)


def _open_results(path: Path, header: Header, name: str | None, truth: PoseTrackSequence | None) -> ResultWriter:
    if truth is None or not (name is None or name in _VERSIONS):
        return open_writer(path, header, name)
    return open_predictions(path, header, replace(truth, version=_VERSIONS.get(name or "", truth.version)))


def _open_view(job: Job, source: VideoSource) -> LiveView | None:
    if job.outputs.serve is None:
        return None
    from tracker.job.live import LiveView

    return LiveView(job.outputs.serve, source.name)


def _open_window(title: str) -> LiveWindow | None:
    problem = window_problem()
    if problem is None:
        return LiveWindow(title)
    print(f"no live window: {problem}; going on without it", file=sys.stderr)
    return None
