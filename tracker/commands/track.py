"""`track`: poses with ids out of a video, as an overlay video, a results file or a live window."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.commands.options import (
    HelpFormatter,
    add_model_options,
    add_tracking_options,
    model_options,
)
from tracker.commands.tasks import check_outputs, describe_input, outputs_of, plan_tasks
from tracker.errors import TrackerError, UsageError
from tracker.formats import FORMATS, Header
from tracker.outputs import partial_path
from tracker.types import Frame, TrackedPoses

if TYPE_CHECKING:
    from tracker.commands.sinks import Sinks
    from tracker.pipeline import Pipeline
    from tracker.video.source import VideoSource


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "track",
        help="track people's poses in a video",
        description="Track people's poses in a video: overlay video, results file, live window. With none of "
        "--output, --poses and --show, NAME_tracked.mp4 and NAME_tracked.jsonl are written to this folder. Of several "
        "inputs each has outputs of these names, and --output and --poses name folders.",
        formatter_class=HelpFormatter,
    )
    group = parser.add_argument_group("input and output")
    group.add_argument(
        "--input",
        required=True,
        nargs="+",
        metavar="SOURCE",
        help="video or image file, folder of images, quoted pattern, camera number, or address (rtsp://, http://, ...)",
    )
    group.add_argument("--output", type=Path, metavar="FILE", help="overlay video (H.264 mp4)")
    group.add_argument("--poses", type=Path, metavar="FILE", help="poses with ids, in the format of the suffix")
    group.add_argument("--format", choices=FORMATS, help="format of --poses; default: by its suffix")
    group.add_argument("--confirmed-only", action="store_true", help="leave unconfirmed people out of --poses")
    group.add_argument("--show", action="store_true", help="live window: q quits, space pauses, s saves a picture")
    group.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    group.add_argument("--start", type=float, metavar="S", help="first second to track; default: 0")
    group.add_argument("--end", type=float, metavar="S", help="second to stop at; default: the end")
    group.add_argument("--max-frames", type=int, metavar="N", help="frames to stop after; default: all")
    group.add_argument("--fps", type=float, metavar="R", help="frame rate of a source without timestamps; default: 25")
    add_model_options(parser)
    add_tracking_options(parser)
    group = parser.add_argument_group("overlay")
    group.add_argument("--show-unconfirmed", action="store_true", help="draw people who are not confirmed yet, too")
    parser.add_argument("-v", "--verbose", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Track each input as the arguments say; 1 if one of several failed."""
    tasks = plan_tasks(args)
    options = model_options(args)
    from tracker.pipeline import build_pipeline

    if len(tasks) > 1:
        return _track_each(tasks, build_pipeline(**options))
    _track(tasks[0], partial(build_pipeline, **options))
    return 0


def _track_each(tasks: Sequence[argparse.Namespace], pipeline: Pipeline) -> int:
    """Track one input after the other; what fails is reported, and the others go on."""
    from tracker.pipeline import StageTimes

    num_failed = 0
    for number, task in enumerate(tasks, 1):
        print(f"[{number}/{len(tasks)}] {describe_input(task.input)}", file=sys.stderr)
        try:
            _track(task, lambda: replace(pipeline, times=StageTimes()))
        except UsageError:
            raise
        except (TrackerError, OSError) as error:
            num_failed += 1
            if task.verbose:
                traceback.print_exc()
            print(f"error: {error}", file=sys.stderr)
    if num_failed:
        print(f"{num_failed} of {len(tasks)} inputs failed", file=sys.stderr)
    return 1 if num_failed else 0


def _track(task: argparse.Namespace, load: Callable[[], Pipeline]) -> None:
    from tracker.video.source import open_source

    check_outputs(task)
    with open_source(
        task.input, fps=task.fps, start_s=task.start, end_s=task.end, max_frames=task.max_frames
    ) as source:
        report = track_source(task, source, load())
    report.print()


@dataclass
class Report:
    """What a run did, for the summary at its end."""

    pipeline: Pipeline
    source: VideoSource
    outputs: list[Path]
    frames: int = 0
    poses: int = 0
    ids: set[int] = field(default_factory=set)
    confirmed_ids: set[int] = field(default_factory=set)
    wall_s: float = float("nan")

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
        stages = self.pipeline.times.busy_s
        per_frame = (f"{name} {1e3 * busy / max(self.frames, 1):.1f}" for name, busy in stages.items())
        return [
            f"{self.frames} frames in {self.wall_s:.1f} s: {self.frames / self.wall_s:.1f} frames/s end to end",
            f"{self.poses} poses with {len(self.ids)} ids, of which {len(self.confirmed_ids)} are confirmed people",
            f"ms per frame: {', '.join(per_frame)}",
            f"detector: {self.pipeline.detector.name}, {self.pipeline.detector.engine}",
            f"pose: {self.pipeline.estimator.name}, {self.pipeline.estimator.engine}",
            *(f"note: {part.note}" for part in (self.pipeline.detector, self.pipeline.estimator) if part.note),
            *([f"warning: {self.source.warning}"] if self.source.warning else []),
            *(f"written: {path}" for path in self.outputs),
        ]


def track_source(
    args: argparse.Namespace,
    source: VideoSource,
    pipeline: Pipeline,
    watch: Callable[[TrackedPoses], None] | None = None,
) -> Report:
    """Run the pipeline over the source and hand every frame to the outputs, its people also to `watch`."""
    report = Report(pipeline, source, outputs_of(args))
    start = time.perf_counter()
    try:
        with (
            _open_sinks(args, source, pipeline) as sinks,
            closing(pipeline.run(source, is_live=source.is_live)) as frames,
            _progress(frames, source) as bar,
        ):
            for frame, tracked in bar:
                report.count(tracked)
                if watch:
                    watch(tracked)
                rate = report.frames / (time.perf_counter() - start)
                if not sinks.write(frame, tracked, frames_per_s=rate):
                    break
    except BaseException:
        report.print_partial()
        raise
    report.wall_s = time.perf_counter() - start
    return report


def _open_sinks(args: argparse.Namespace, source: VideoSource, pipeline: Pipeline) -> Sinks:
    from tracker.commands.sinks import Sinks
    from tracker.video.overlay import OverlayRenderer

    skeleton = pipeline.estimator.skeleton
    settings = asdict(pipeline.config) | {
        "detector": pipeline.detector.name,
        "pose_model": pipeline.estimator.name,
        "flow": args.flow,
        "detect_every": args.detect_every,
        "flip_test": args.flip_test,
    }
    fps = None if source.fps is None else float(source.fps)
    return Sinks(
        output=args.output,
        poses=args.poses,
        poses_format=args.format,
        confirmed_only=args.confirmed_only,
        show=args.show,
        fps=source.fps,
        header=Header(skeleton, source.name, source.size_wh, fps, settings),
        overlay=OverlayRenderer(
            skeleton,
            keypoint_threshold=pipeline.config.keypoint_threshold,
            show_unconfirmed=args.show_unconfirmed,
        ),
        times=pipeline.times,
    )


def _progress(frames: Iterable[tuple[Frame, TrackedPoses]], source: VideoSource) -> Any:
    """The same frames behind a progress bar, a context manager; no bar where stderr is no terminal."""
    from tqdm import tqdm

    return tqdm(frames, total=source.num_frames, unit="frame", disable=not sys.stderr.isatty(), leave=False)
