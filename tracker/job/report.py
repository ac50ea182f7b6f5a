"""What a run did, for the summary at its end."""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from tracker.outputs import MOST_NAMED, counted, listed, partials_of
from tracker.pipeline import Pipeline
from tracker.types import KnownPeople, TrackedPoses

# Of a video, so many of the pictures at most begin a scene.
_MOST_CUTS = 0.5


class Delays:
    """How long pictures of a live source took from their coming to their outputs, to the millisecond.

    >>> delays = Delays()
    >>> for delay_ms in range(100):
    ...     delays.add(delay_ms / 1000)
    >>> delays.quantile_ms(0.5), delays.quantile_ms(0.95)
    (49, 94)
    """

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, delay_s: float) -> None:
        """Count a picture."""
        self._counts[round(1e3 * delay_s)] += 1

    def quantile_ms(self, share: float) -> int:
        """The delay that this share of the pictures did not exceed; there must be one."""
        delays_ms = sorted(self._counts)
        below = list(accumulate(self._counts[delay_ms] for delay_ms in delays_ms))
        return delays_ms[bisect_left(below, share * below[-1])]

    def line(self) -> str:
        """Median and 95th percentile, for the summary."""
        return f"{self.quantile_ms(0.5)} ms from picture to output (95 %: {self.quantile_ms(0.95)} ms)"


@dataclass
class Report:
    """Counts of a run.

    outputs: files. parts: what really ran, in lines of the summary. whom: it is about, "" for everybody. are_photos:
    each frame is one by itself. nobody_in: some pictures without people, of which `empty` counts all. busy_s: seconds
    by stage. counts: as of `StageTimes`. delays: of a live source. warning: on the source, None without.
    """

    outputs: list[Path]
    parts: list[str]
    frames: int = 0
    poses: int = 0
    ids: set[Any] = field(default_factory=set)
    confirmed_ids: set[Any] = field(default_factory=set)
    whom: str = ""
    are_photos: bool = False
    nobody_in: list[str] = field(default_factory=list)
    wall_s: float = float("nan")
    busy_s: Counter[str] = field(default_factory=Counter)
    delays: Delays = field(default_factory=Delays)
    counts: Counter[str] = field(default_factory=Counter)
    warning: str | None = None

    @classmethod
    def on(cls, pipeline: Pipeline, outputs: Sequence[Path] = ()) -> Report:
        """The report on a run that is to begin."""
        networks = {"detector": pipeline.detector, "pose": pipeline.estimator}
        used = {role: network for role, network in networks.items() if network is not None}
        parts = [f"{role}: {network.name}, {network.engine}" for role, network in used.items()]
        lines = (line for network in used.values() for line in (network.note or "").splitlines())
        notes = dict.fromkeys(f"note: {line}" for line in lines)
        if not (isinstance(pipeline.estimator, KnownPeople) or pipeline.are_photos):
            meaning = pipeline.pace.describe(
                has_boxes=pipeline.detector is not None, detect_every=pipeline.detect_every
            )
            parts.append(f"speed: {meaning}")
        if not pipeline.are_photos and (changes := pipeline.config.describe()):
            parts.append(f"tracker: {changes}")
        if pipeline.appearance:
            parts.append(f"appearance: {pipeline.appearance.name}")
        whom = pipeline.selection.describe()
        if whom:
            parts.append(f"whom: {whom}")
        return cls(list(outputs), [*parts, *notes], whom=whom, are_photos=pipeline.are_photos)

    def count(self, tracked: TrackedPoses, file: str | None = None) -> None:
        """Add one frame, of an image with its name."""
        if self.are_photos and not len(tracked):
            self.counts["empty"] += 1
            self.nobody_in = [*self.nobody_in, file or f"picture {self.frames}"][:MOST_NAMED]
        self.frames += 1
        self.counts["pictures"] += file is not None
        self.poses += len(tracked)
        self.ids.update(tracked.track_ids.tolist())
        self.confirmed_ids.update(tracked.track_ids[tracked.confirmed].tolist())

    @property
    def hint(self) -> str | None:
        """What to do where pictures belong not together, or nobody comes out who is wanted or confirmed; else None."""
        if self.counts["pictures"] and not self.are_photos and self.counts["cuts"] > _MOST_CUTS * (self.frames - 1):
            return (
                f"{self.counts['cuts']} of these {self.frames} pictures show nothing of the one before; "
                "pass --photos if each is one by itself"
            )
        if self.whom and not self.ids:
            return f"nobody was chosen ({self.whom}); run without --only, --people and --region to see who is there"
        if self.confirmed_ids or not self.ids:
            return None
        return (
            "nobody was detected in a scene often enough to be confirmed; --show-unconfirmed draws everybody, "
            "--confirm-after 0 confirms at once"
        )

    def print(self) -> None:
        """Print the summary to stderr."""
        print("\n".join(self.lines()), file=sys.stderr)

    def print_partial(self) -> None:
        """Say on stderr what an interrupted run left behind, if it left anything."""
        kept = [str(path) for output in self.outputs for path in partials_of(output)]
        if self.frames and kept:
            frames = counted(self.frames, "frame")
            print(f"stopped after {frames}; what was done is in {' and '.join(kept)}", file=sys.stderr)

    def lines(self) -> list[str]:
        """The summary: frames, poses, ids, speed, milliseconds per stage, engines."""
        rate = self.frames / self.wall_s
        per_frame = (f"{name} {1e3 * busy / max(self.frames, 1):.1f}" for name, busy in self.busy_s.items())
        in_boxes = ""
        if self.counts["estimated"] or self.counts["carried"]:
            in_boxes = f"; poses estimated: {self.counts['estimated']}, carried instead: {self.counts['carried']}"
        return [
            f"{counted(self.frames, 'frame')} in {self.wall_s:.1f} s: {rate:.1f} frames/s end to end",
            self._people_line(),
            f"ms per frame: {', '.join(per_frame)}",
            *self.parts,
            f"looks for people: {self.counts['looks']}{in_boxes}",
            *([f"note: {self.hint}"] if self.hint else []),
            *([f"note: nobody was found in {listed(self.nobody_in, self.counts['empty'])}"] if self.nobody_in else []),
            *([f"warning: {self.warning}"] if self.warning else []),
            *(f"written: {what}" for what in _named([path for path in self.outputs if path.exists()])),
        ]

    def _people_line(self) -> str:
        if self.are_photos:
            return f"{counted(self.poses, 'person', 'people')} in {counted(self.frames, 'picture')}"
        num_sure = len(self.confirmed_ids)
        sure = f"{num_sure} {'is a confirmed person' if num_sure == 1 else 'are confirmed people'}"
        return f"{counted(self.poses, 'pose')} with {counted(len(self.ids), 'id')}, of which {sure}"


def _named(paths: Sequence[Path]) -> list[str]:
    """Files by name, or those of many inputs by number and folder."""
    if len(paths) <= MOST_NAMED:
        return [str(path) for path in paths]
    counts = Counter("this folder" if path.parent == Path() else str(path.parent) for path in paths)
    return [f"{counted(count, 'file')} in {folder}" for folder, count in counts.items()]


@dataclass(frozen=True)
class Outcome:
    """What became of an input of that name: a report, or an error in one line and its traceback."""

    name: str
    report: Report | None = None
    error: str = ""
    trace: str = ""


def merge_reports(reports: Sequence[Report], wall_s: float) -> Report:
    """One report on all runs, which took so long together; an id of one run is another one in the next."""
    merged = Report(
        outputs=[path for report in reports for path in report.outputs],
        parts=list(dict.fromkeys(part for report in reports for part in report.parts)),
        frames=sum(report.frames for report in reports),
        poses=sum(report.poses for report in reports),
        wall_s=wall_s,
        are_photos=all(report.are_photos for report in reports),
        nobody_in=[name for report in reports for name in report.nobody_in][:MOST_NAMED],
    )
    for number, report in enumerate(reports):
        merged.ids |= {(number, track_id) for track_id in report.ids}
        merged.confirmed_ids |= {(number, track_id) for track_id in report.confirmed_ids}
        merged.busy_s.update(report.busy_s)
        merged.counts.update(report.counts)
    return merged
