"""One input through the pipeline to its outputs, and the report on it."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.commands.tasks import outputs_of
from tracker.formats import Header, ResultWriter, open_writer
from tracker.formats.posetrack import PoseTrackSequence
from tracker.formats.posetrack_conversion import open_predictions
from tracker.outputs import partial_path
from tracker.types import TrackedPoses

if TYPE_CHECKING:
    from tracker.commands.sinks import Sinks
    from tracker.pipeline import Pipeline
    from tracker.video.source import VideoSource

# The formats that have the images of a ground truth, and the versions they are; others have frames alone.
_VERSIONS = {"posetrack": "18", "posetrack17": "17", "posetrack18": "18"}


@dataclass
class Report:
    """What a run did, for the summary at its end.

    parts: what really ran, in lines of the summary. busy_s: seconds by stage. warning: on the source, None without.
    """

    outputs: list[Path]
    parts: list[str]
    frames: int = 0
    poses: int = 0
    ids: set[Any] = field(default_factory=set)
    confirmed_ids: set[Any] = field(default_factory=set)
    wall_s: float = float("nan")
    busy_s: dict[str, float] = field(default_factory=dict)
    warning: str | None = None

    def count(self, tracked: TrackedPoses) -> None:
        """Add one frame."""
        self.frames += 1
        self.poses += len(tracked)
        self.ids.update(tracked.track_ids.tolist())
        self.confirmed_ids.update(tracked.track_ids[tracked.confirmed].tolist())

    def print(self) -> None:
        """Print the summary to stderr."""
        print("\n".join(self.lines()), file=sys.stderr)

    def print_partial(self) -> None:
        """Say on stderr what an interrupted run left behind, if it left anything."""
        kept = [str(path) for path in map(partial_path, self.outputs) if path.exists()]
        if self.frames and kept:
            print(f"stopped after {self.frames} frames; what was done is in {' and '.join(kept)}", file=sys.stderr)

    def lines(self) -> list[str]:
        """The summary: frames, poses, ids, speed, milliseconds per stage, engines."""
        per_frame = (f"{name} {1e3 * busy / max(self.frames, 1):.1f}" for name, busy in self.busy_s.items())
        return [
            f"{self.frames} frames in {self.wall_s:.1f} s: {self.frames / self.wall_s:.1f} frames/s end to end",
            f"{self.poses} poses with {len(self.ids)} ids, of which {len(self.confirmed_ids)} are confirmed people",
            f"ms per frame: {', '.join(per_frame)}",
            *self.parts,
            *([f"warning: {self.warning}"] if self.warning else []),
            *(f"written: {path}" for path in self.outputs),
        ]


def merge_reports(reports: Sequence[Report], wall_s: float) -> Report:
    """One report on all runs, which took so long together; an id of one run is another one in the next."""
    merged = Report(
        outputs=list(dict.fromkeys(path.parent for report in reports for path in report.outputs)),
        parts=list(dict.fromkeys(part for report in reports for part in report.parts)),
        frames=sum(report.frames for report in reports),
        poses=sum(report.poses for report in reports),
        wall_s=wall_s,
    )
    for number, report in enumerate(reports):
        merged.ids |= {(number, track_id) for track_id in report.ids}
        merged.confirmed_ids |= {(number, track_id) for track_id in report.confirmed_ids}
        for stage, busy_s in report.busy_s.items():
            merged.busy_s[stage] = merged.busy_s.get(stage, 0) + busy_s
    return merged


def open_input(task: argparse.Namespace) -> tuple[VideoSource, PoseTrackSequence | None]:
    """The source of a task, and the ground truth of a data set's sequence; InputError for what cannot be read."""
    from tracker.video.source import open_images, open_source

    if task.sequence is None:
        span = {"start_s": task.start, "end_s": task.end, "max_frames": task.max_frames}
        return open_source(task.input, fps=task.fps, **span), None
    truth = task.sequence.read()
    paths = task.sequence.image_paths(truth)
    fps = task.fps or task.sequence.fps
    return open_images(task.name, paths, fps, end_s=task.end, max_frames=task.max_frames), truth


def track_source(
    args: argparse.Namespace,
    source: VideoSource,
    pipeline: Pipeline,
    watch: Callable[[TrackedPoses], None] = lambda _: None,
) -> Report:
    """Track one source behind a progress bar, its people also handed to `watch`; says what a failure leaves behind."""
    from tqdm import tqdm

    report = _report_on(args, pipeline)
    with tqdm(total=source.num_frames, unit="frame", disable=not sys.stderr.isatty(), leave=False) as bar:

        def advance(tracked: TrackedPoses) -> None:
            bar.update()
            watch(tracked)

        try:
            _fill_outputs(args, source, pipeline, report, advance)
        except BaseException:
            report.print_partial()
            raise
    return report


def track_quietly(
    args: argparse.Namespace,
    source: VideoSource,
    pipeline: Pipeline,
    truth: PoseTrackSequence | None,
    watch: Callable[[TrackedPoses], None],
) -> Report:
    """Track one source among others; truth: names the images of the predictions."""
    report = _report_on(args, pipeline)
    _fill_outputs(args, source, pipeline, report, watch, truth)
    return report


def _report_on(args: argparse.Namespace, pipeline: Pipeline) -> Report:
    networks = {"detector": pipeline.detector, "pose": pipeline.estimator}
    used = {role: network for role, network in networks.items() if network is not None}
    return Report(
        outputs=outputs_of(args),
        parts=[
            *(f"{role}: {network.name}, {network.engine}" for role, network in used.items()),
            *(f"note: {network.note}" for network in used.values() if network.note),
        ],
    )


def _fill_outputs(
    args: argparse.Namespace,
    source: VideoSource,
    pipeline: Pipeline,
    report: Report,
    watch: Callable[[TrackedPoses], None],
    truth: PoseTrackSequence | None = None,
) -> None:
    """Run the pipeline over the source and hand every frame to the outputs."""
    start = time.perf_counter()
    with (
        _open_sinks(args, source, pipeline, truth) as sinks,
        closing(pipeline.run(source, is_live=source.is_live)) as frames,
    ):
        for frame, tracked in frames:
            report.count(tracked)
            watch(tracked)
            rate = report.frames / (time.perf_counter() - start)
            if not sinks.write(frame, tracked, frames_per_s=rate):
                break
    report.wall_s = time.perf_counter() - start
    report.busy_s = dict(pipeline.times.busy_s)
    report.warning = source.warning


def _open_sinks(
    args: argparse.Namespace, source: VideoSource, pipeline: Pipeline, truth: PoseTrackSequence | None
) -> Sinks:
    from tracker.commands.sinks import Sinks
    from tracker.video.overlay import OverlayRenderer

    skeleton = pipeline.estimator.skeleton
    settings = asdict(pipeline.config) | {
        "detector": pipeline.detector and pipeline.detector.name,
        "pose_model": pipeline.estimator.name,
        "flow": args.flow,
        "detect_every": args.detect_every,
        "flip_test": args.flip_test,
    }
    fps = None if source.fps is None else float(source.fps)
    header = Header(skeleton, source.name, source.size_wh, fps, settings)
    return Sinks(
        output=args.output,
        results=_open_results(args.poses, header, args.format, truth) if args.poses else None,
        confirmed_only=args.confirmed_only,
        show=args.show,
        fps=source.fps,
        title=source.name,
        overlay=OverlayRenderer(
            skeleton,
            keypoint_threshold=pipeline.config.keypoint_threshold,
            show_unconfirmed=args.show_unconfirmed or source.num_frames == 1,  # which is too few to confirm anybody
        ),
        times=pipeline.times,
    )


def _open_results(path: Path, header: Header, name: str | None, truth: PoseTrackSequence | None) -> ResultWriter:
    if truth is None or not (name is None or name in _VERSIONS):
        return open_writer(path, header, name)
    return open_predictions(path, header, replace(truth, version=_VERSIONS.get(name or "", truth.version)))
