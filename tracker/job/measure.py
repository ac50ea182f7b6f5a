"""What a job costs: wall and CPU milliseconds by stage, overlap, memory and fresh memory."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np

from tracker.job.job import Engine, Job, Outputs, Settings, Span
from tracker.job.run import load_pipeline, open_input, run_job
from tracker.job.sinks import Watch
from tracker.pipeline import Pipeline, StageTimes
from tracker.runtime import num_cores
from tracker.scenes.crowd import CrowdNetworks, write_crowd
from tracker.video.source import VideoSource

T = TypeVar("T")
# What is said of a run.
Measure: TypeAlias = Callable[[Job, VideoSource, Pipeline], Any]
# The environment in which glibc takes large blocks from the system and gives them back, one by one.
RETURNING = {"MALLOC_MMAP_THRESHOLD_": str(1 << 16), "NUMPY_MADVISE_HUGEPAGE": "0"}
_PAGE = 4096
# In which everything is made for the first time.
_FIRST_FRAMES = 10


@dataclass
class Measurement:
    """One run over a clip; milliseconds are per frame, and CPU time is that of all threads of the process.

    size_wh: of the frames, the largest where they differ. wall_ms, cpu_ms: by stage; a stage's CPU time is that of its
    own thread. chains: the stages that run one after another, in a thread each. memory_mb: the most of the process.
    growth_kb: by 1,000 frames in the second half of the run, None where it is too short or memory is not known.
    fresh_mb: see `fresh_memory_mb`.
    """

    frames: int
    size_wh: tuple[int, int]
    wall_ms: dict[str, float]
    cpu_ms: dict[str, float]
    chains: list[list[str]]
    frame_wall_ms: float
    frame_cpu_ms: float
    memory_mb: float | None = None
    growth_kb: float | None = None
    fresh_mb: float | None = None
    parts: list[str] = field(default_factory=list)

    @property
    def other_cpu_ms(self) -> float:
        """CPU time beside the stages' own threads."""
        return max(self.frame_cpu_ms - sum(self.cpu_ms.values()), 0.0)

    @property
    def slowest_chain(self) -> tuple[list[str], float]:
        """The stages of the busiest thread, and its wall milliseconds."""
        sums = [(chain, sum(self.wall_ms[stage] for stage in chain)) for chain in self.chains]
        return max(sums, key=lambda one: one[1], default=([], 0.0))

    @property
    def overlap(self) -> float:
        """How near the run is to the least that its parts allow, 0–1: the slowest chain, or the CPU time by cores."""
        return max(self.slowest_chain[1], self.frame_cpu_ms / num_cores()) / self.frame_wall_ms

    def as_json(self) -> dict[str, Any]:
        """All figures."""
        names = ("frames", "size_wh", "wall_ms", "cpu_ms", "chains", "frame_wall_ms", "frame_cpu_ms", "other_cpu_ms")
        further = ("overlap", "memory_mb", "growth_kb", "fresh_mb", "parts")
        return {name: getattr(self, name) for name in names + further} | {"frames_per_s": 1e3 / self.frame_wall_ms}


def measure(job: Job, source: VideoSource, pipeline: Pipeline) -> Measurement:
    """Do a job by itself, with times of its own."""
    pipeline, memory, sizes = replace(pipeline, times=StageTimes()), _Memory(), set[tuple[int, int]]()

    def watch(frame: Any, _: Any) -> None:
        memory.sample()
        sizes.add(frame.size_wh)

    cpu_start = time.process_time()
    report = run_job(job, source, pipeline, Watch(watch))
    cpu_s = time.process_time() - cpu_start
    frames, times = max(report.frames, 1), pipeline.times
    return Measurement(
        report.frames,
        max(sizes, default=(0, 0)),
        {stage: 1e3 * busy_s / frames for stage, busy_s in times.busy_s.items()},
        {stage: 1e3 * cpu_s / frames for stage, cpu_s in times.cpu_s.items()},
        times.chains,
        1e3 * report.wall_s / frames,
        1e3 * cpu_s / frames,
        memory.most_mb,
        memory.growth_kb,
        parts=report.parts,
    )


def middle(runs: Sequence[Measurement]) -> Measurement:
    """Of several runs of one job: medians of the times, the most memory."""

    def medians(name: str) -> dict[str, float]:
        return {stage: statistics.median(getattr(run, name)[stage] for run in runs) for stage in getattr(runs[0], name)}

    return replace(
        runs[0],
        wall_ms=medians("wall_ms"),
        cpu_ms=medians("cpu_ms"),
        frame_wall_ms=statistics.median(run.frame_wall_ms for run in runs),
        frame_cpu_ms=statistics.median(run.frame_cpu_ms for run in runs),
        memory_mb=max((run.memory_mb for run in runs if run.memory_mb is not None), default=None),
        growth_kb=runs[-1].growth_kb,
    )


def fresh_memory_mb(job: Job, source: VideoSource, pipeline: Pipeline) -> float | None:
    """Megabytes of memory that a frame takes anew, in a process begun with `RETURNING`; None for under 20 frames.

    Large arrays are memory of their own then, and each is written once at least: their page faults are counted.
    """
    counts: list[int] = []
    run_job(job, source, replace(pipeline, times=StageTimes()), Watch(lambda *_: counts.append(_page_faults())))
    if len(counts) < 2 * _FIRST_FRAMES:
        return None
    return _PAGE * (counts[-1] - counts[_FIRST_FRAMES]) / (len(counts) - 1 - _FIRST_FRAMES) / 1e6


def run_measures(
    settings: Settings,
    engine: Engine,
    measures: Sequence[Measure],
    source: str | None,
    people: int,
    height: int,
    num_frames: int,
) -> list[Any]:
    """What each of these says of a run of its own, on a source or a drawn crowd of so many people."""
    with tempfile.TemporaryDirectory() as folder:
        outputs = Outputs(overlay=Path(folder) / "overlay.mp4", poses=Path(folder) / "poses.jsonl", overwrite=True)
        job = Job(source or str(Path(folder) / "crowd.mp4"), settings, Span(max_frames=num_frames), outputs)
        if not source:  # painted in another process, whose memory is not measured
            truth = elsewhere({}, write_crowd, Path(job.input), people, height, num_frames)
        else:
            open_input(job)[0].close()  # what cannot be read is said before networks are loaded
        pipeline, found = load_pipeline(settings, engine), []
        for one in measures:
            with open_input(job)[0] as video:
                seeing = pipeline if source else CrowdNetworks(pipeline, truth, video.size_wh).pipeline()
                found.append(one(job, video, seeing))
    return found


def elsewhere(environment: Mapping[str, str], function: Callable[..., T], *arguments: Any) -> T:
    """Call it in a process of its own, begun with these variables."""
    before = os.environ.copy()
    os.environ.update(environment)
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            return pool.submit(function, *arguments).result()
    finally:
        os.environ.clear()
        os.environ.update(before)


def _page_faults() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


class _Memory:
    """What the process holds, frame by frame; a thousand samples at most."""

    def __init__(self) -> None:
        self._samples: list[tuple[int, float]] = []
        self._frames = 0
        self._every = 1

    def sample(self) -> None:
        """Look, in every n-th frame."""
        if self._frames % self._every == 0 and (held := _held_mb()) is not None:
            self._samples.append((self._frames, held))
            if len(self._samples) == 1000:
                self._samples, self._every = self._samples[::2], 2 * self._every
        self._frames += 1

    @property
    def most_mb(self) -> float | None:
        return max((held for _, held in self._samples), default=None)

    @property
    def growth_kb(self) -> float | None:
        late = np.array([sample for sample in self._samples if sample[0] >= self._frames / 2])
        return float(1e6 * np.polyfit(late[:, 0], late[:, 1], 1)[0]) if len(late) >= 100 else None


def _held_mb() -> float | None:
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE / 1e6
    except (OSError, IndexError, ValueError):
        return None
