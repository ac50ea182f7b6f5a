"""What a run is: settings, which change results, and apart from them where results go and by what they are made."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tracker.after.second_pass import SecondPass
from tracker.formats.posetrack_dataset import DatasetSequence
from tracker.given import Kind
from tracker.job.fingerprint import Fingerprint
from tracker.job.web import Address
from tracker.outputs import PIPE
from tracker.pace import Speed
from tracker.pipeline import PoseMethod
from tracker.pose.grouping import TRACKED_GROUPING, GroupingConfig
from tracker.selection import Only
from tracker.skeletons import Skeleton
from tracker.tracking.config import TrackerConfig
from tracker.video.images import is_image
from tracker.video.stream import is_address, public_address


@dataclass(frozen=True)
class Settings:
    """How people are found and tracked: arguments of `tracker.pipeline.build_pipeline`, by the same names."""

    pose: PoseMethod = "top-down"
    detector: Path | None = None
    pose_model: Path | None = None
    detector_type: str | None = None
    detector_size: int | None = None
    detector_score: float = 0.5
    speed: Speed | None = None
    detect_every: int = 1
    flip_test: bool = False
    flow: str = "dis"
    config: TrackerConfig = field(default_factory=TrackerConfig)
    grouping: GroupingConfig = TRACKED_GROUPING
    people: int | None = None
    only: Only | None = None
    region: tuple[float, ...] | None = None
    appearance: Path | str | None = None


@dataclass(frozen=True)
class Engine:
    """By what networks are run, which changes no results but in bfloat16: likewise arguments of `build_pipeline`.

    num_threads: of ONNX Runtime, OpenCV and torch alike, 0 for their own choices.
    """

    device: str = "auto"
    detector_batch: int = 1
    num_threads: int = 0
    engine: str = "auto"


@dataclass(frozen=True)
class Crew:
    """Who tracks the inputs of a batch: processes, on which GPUs, or the Ray cluster at an address."""

    workers: int | None = None
    gpus: tuple[int, ...] = ()
    ray: str | None = None


@dataclass(frozen=True)
class Span:
    """Which part of an input is tracked, and how it is read: arguments of `tracker.video.source.open_source`."""

    fps: float | None = None
    start_s: float | None = None
    end_s: float | None = None
    max_frames: int | None = None
    deinterlace: bool = True
    reconnect_s: float = math.inf


@dataclass(frozen=True)
class Known:
    """A file that stands for networks: boxes for the detector, poses for both; arguments of `tracker.given.read_given`.

    skeleton: of poses, where the file states only how many keypoints there are.
    """

    path: Path
    kind: Kind
    skeleton: Skeleton | None = None


@dataclass(frozen=True)
class Outputs:
    """Where results go. overlay, poses: files, or their folders before each input has its own; None for none.

    poses may be stdout, `-`, which is none of the files.

    format: of the poses, None to go by the suffix. confirmed_only: leave others out of the poses. show_unconfirmed:
    draw others, too. show: in a live window. serve: to browsers that ask there. draw, line_width, blur_faces: as of
    `OverlayRenderer`, None for what has a meaning. audio: overlay videos have the input's sound. crf: their quality, 0
    lossless to 51 worst. person_height_m: by which poses are scaled in TRC and C3D. smooth_overlay: draw
    smoothed people. second_pass: over the poses.
    """

    overlay: Path | None = None
    poses: Path | None = None
    format: str | None = None
    confirmed_only: bool = False
    show_unconfirmed: bool = False
    show: bool = False
    serve: Address | None = None
    draw: tuple[str, ...] | None = None
    line_width: int | None = None
    blur_faces: bool = False
    audio: bool = True
    crf: int = 23
    person_height_m: float | None = None
    smooth_overlay: bool = True
    second_pass: SecondPass = SecondPass()  # noqa: RUF009 - frozen
    overwrite: bool = False

    @property
    def files(self) -> list[Path]:
        """What is written to disk."""
        return [path for path in (self.overlay, self.poses) if path and path != PIPE]


@dataclass(frozen=True)
class Job:
    """One input to track, and how.

    sequence: of a data set, whose annotation is the input then. fingerprint: of the outputs, in a batch.
    known: who need not be found, None if everybody must be. photos: pictures that do not follow one another.
    """

    input: str
    settings: Settings = field(default_factory=Settings)
    span: Span = field(default_factory=Span)
    outputs: Outputs = field(default_factory=Outputs)
    sequence: DatasetSequence | None = None
    fingerprint: Fingerprint | None = None
    known: Known | None = None
    photos: bool = False

    @property
    def name(self) -> str:
        """What it is called in messages; no password."""
        return self.sequence.name if self.sequence else describe_input(self.input)

    @property
    def has_picture_folder(self) -> bool:
        """Whether each picture of a folder has an overlay of its own."""
        return self.photos and not is_image(Path(self.input))

    @contextmanager
    def claimed_outputs(self) -> Iterator[None]:
        """Whatever is written here is known as made by this job, and as whole if no error comes."""
        if self.fingerprint:
            self.fingerprint.claim()
        yield
        if self.fingerprint:
            self.fingerprint.complete(self.outputs.files)


def describe_input(spec: str) -> str:
    """An input as it may be shown: no password."""
    if spec == str(PIPE):
        return "stdin"
    return public_address(spec) if is_address(spec) else spec
