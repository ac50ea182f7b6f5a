"""The main loop: frames through the pipeline, and their people to the outputs."""

from __future__ import annotations

import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from typing import Any

import cv2

from tracker.after.second_pass import check_cutoff
from tracker.errors import OutputError, TrackerError, UsageError
from tracker.formats.posetrack import PoseTrackSequence
from tracker.given import read_given
from tracker.job.job import Engine, Job, Settings
from tracker.job.report import Outcome, Report
from tracker.job.sinks import Sink, Watch, open_sinks
from tracker.outputs import counted, partial_path
from tracker.pipeline import Pipeline, StageTimes
from tracker.runtime import default_threads
from tracker.types import Frame, KnownPeople
from tracker.video.faces import BLUR_NOTE
from tracker.video.live import LiveReader
from tracker.video.source import VideoSource, open_images, open_source


def track(
    pipeline: Pipeline, frames: Iterable[Frame], sinks: Sequence[Sink], report: Report, *, is_live: bool = False
) -> None:
    """Hand every frame with its people to each of the sinks, until one of them wants no more; all is counted."""
    start = time.perf_counter()
    with ExitStack() as stack:
        for sink in reversed(sinks):  # so that they are completed in their own order
            stack.enter_context(sink)
        tracked = stack.enter_context(closing(pipeline.run(frames, is_live=is_live)))
        for frame, people in tracked:
            report.count(people, frame.file)
            go_on = [sink.write(frame, people) for sink in sinks]
            if frame.arrived_s is not None:
                report.delays.add(time.monotonic() - frame.arrived_s)
            if not all(go_on):
                break
    report.wall_s = time.perf_counter() - start
    report.busy_s.update(pipeline.times.busy_s)
    report.counts.update(pipeline.times.counts)


def run_job(job: Job, source: VideoSource, pipeline: Pipeline, *watchers: Sink) -> Report:
    """Do a job by itself, behind a progress bar; says what a failure leaves behind. source: the open input."""
    pipeline = pipeline.of_photos() if job.photos else pipeline
    report = Report.on(pipeline, job.outputs.files)
    try:
        with _ended_by_signals(source), _frame_bar(source.num_frames) as bars:
            _fill_outputs(job, source, None, pipeline, report, *bars, *watchers)
    except BaseException:
        report.print_partial()
        raise
    return report


@contextmanager
def _frame_bar(num_frames: int | None) -> Iterator[list[Sink]]:
    """What moves a bar of so many frames; nothing where stderr is no terminal, which leaves tqdm unloaded."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield []
        return
    from tqdm import tqdm

    with tqdm(total=num_frames, unit="frame", leave=False) as bar:
        yield [Watch(lambda *_: bar.update())]


@contextmanager
def _ended_by_signals(source: VideoSource) -> Iterator[None]:
    """Ctrl-C and SIGTERM end a live source, as its own end would, so that all is completed; a second one interrupts."""
    previous: dict[signal.Signals, Any] = {}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def end(*_: Any) -> None:
        restore()
        source.stop()

    if source.live:
        previous |= {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        restore()


def try_job(job: Job, pipeline: Pipeline, on_frame: Callable[[], object]) -> Outcome:
    """Do a job of a batch, in whatever process and whatever goes wrong.

    A failure leaves none of its outputs, except where its line names them.
    """
    try:
        report = _run_of_batch(job, replace(pipeline, times=StageTimes()), on_frame)
    except Exception as error:  # noqa: BLE001 - a bug that one input meets must not end the others
        message = " ".join(str(error).split())
        if not isinstance(error, TrackerError | OSError):
            message = f"{type(error).__name__}: {message}; a fault of the program: -v shows where"
        return Outcome(job.name, error=message, trace=traceback.format_exc())
    return Outcome(job.name, report)


def discard(job: Job) -> None:
    """Remove what a failure left of a job's outputs, and its claim on them."""
    for path in map(partial_path, job.outputs.files):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    if job.fingerprint:
        job.fingerprint.withdraw()


def _run_of_batch(job: Job, pipeline: Pipeline, on_frame: Callable[[], object]) -> Report:
    source, truth = open_input(job)
    pipeline = pipeline.of_photos() if job.photos else pipeline
    report = Report.on(pipeline, job.outputs.files)
    with source, job.claimed_outputs():
        try:
            _fill_outputs(job, source, truth, pipeline, report, Watch(lambda *_: on_frame()))
        except OutputError:  # of a full disk, say; its line names what there is
            raise
        except Exception:
            discard(job)
            raise
    return report


def _fill_outputs(
    job: Job,
    source: VideoSource,
    truth: PoseTrackSequence | None,
    pipeline: Pipeline,
    report: Report,
    *watchers: Sink,
) -> None:
    """Track an open source into the outputs of its job; the watchers have each frame before."""
    sinks = [*watchers, *open_sinks(job, source, pipeline, truth)]
    track(pipeline, source, sinks, report, is_live=source.is_live)
    report.warning = source.loss if job.photos else source.warning
    if job.outputs.blur_faces:
        report.parts.append(f"note: {BLUR_NOTE}")
    if source.live and report.frames:
        report.parts.append(_live_line(source.live, report))
    report.parts.extend(f"note: {note}" for note in (source.note, *(sink.note for sink in sinks)) if note)


def _live_line(live: LiveReader, report: Report) -> str:
    """What the summary says of a live source."""
    line = f"live: {report.delays.line()}; {counted(live.num_dropped, 'picture')} dropped, not asked for yet"
    if not live.num_reopened:
        return line
    times = "once" if live.num_reopened == 1 else f"{live.num_reopened} times"
    return f"{line}; opened again {times}, without pictures for {live.gaps_s:.1f} s"


def open_input(job: Job) -> tuple[VideoSource, PoseTrackSequence | None]:
    """The source of a job, and the ground truth of a data set's sequence; InputError for what cannot be read."""
    span, sequence = job.span, job.sequence
    if sequence is None:
        source = open_source(job.input, **vars(span), keeps_planes=True)
        try:
            _check_second_pass(job, source)
        except TrackerError:
            source.close()
            raise
        return source, None
    truth = sequence.read()
    paths = sequence.image_paths(truth)
    fps = span.fps or sequence.fps
    return open_images(job.name, paths, fps, end_s=span.end_s, max_frames=span.max_frames), truth


def _check_second_pass(job: Job, source: VideoSource) -> None:
    todo = job.outputs.second_pass
    if source.is_live and todo.does_something:
        raise UsageError(
            f"{job.name} is live and has no end that a second pass could wait for; leave out --smooth and what "
            "belongs to it, and convert its poses afterwards"
        )
    if source.fps:
        check_cutoff(todo, float(source.fps))


def open_pipeline(job: Job, source: VideoSource, engine: Engine) -> Pipeline:
    """The pipeline of a job; source: the open input. Raises what `load_pipeline` and `tracker.given.read_given` do."""
    known, settings, span = job.known, job.settings, job.span
    if known is None:
        return load_pipeline(settings, engine, is_live=source.is_live)
    people = read_given(
        known.path,
        known.kind,
        job.input,
        source,
        known.skeleton,
        settings.detector_score,
        is_whole=span.start_s is span.end_s is span.max_frames is None,
    )
    if known.kind == "boxes":
        return load_pipeline(settings, engine, detector=people)
    return load_pipeline(settings, engine, pose_model=people)


def load_pipeline(settings: Settings, engine: Engine, *, is_live: bool = False, **parts: KnownPeople) -> Pipeline:
    """The pipeline of a process, with these parts made already; raises what `tracker.pipeline.build_pipeline` does."""
    from tracker.pipeline import build_pipeline

    pipeline = build_pipeline(**(vars(settings) | parts), **vars(engine), is_live=is_live)
    # By default OpenCV takes all cores for each picture, in every stage at once, and its threads spin for work.
    cv2.setNumThreads(default_threads(engine.num_threads))
    if engine.num_threads and (torch := sys.modules.get("torch")):  # where no network needs it, it is not loaded
        torch.set_num_threads(engine.num_threads)
    return pipeline
