"""People who are known before a video is tracked: boxes in place of the detector, poses in place of both networks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence, Sized
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeAlias

import numpy as np

from tracker.boxes import boxes_around
from tracker.errors import A_NUMBER, A_WHOLE_NUMBER, InputError, UsageError, refuse_others
from tracker.flow import create_flow
from tracker.formats import FrameResult, Header, read_people
from tracker.formats.lists import number_in
from tracker.pipeline import Pipeline, track_source
from tracker.selection import Only, Region, read_selection
from tracker.skeletons import COCO_17, USUAL_SKELETONS, Skeleton, skeleton_of
from tracker.tracking.config import TrackerConfig, read_config
from tracker.types import Candidates, Detections, Frame, Poses, TrackedPoses
from tracker.video.aspect import fit_poses, square_width
from tracker.video.images import is_image
from tracker.video.source import VideoSource, files_of

Kind: TypeAlias = Literal["boxes", "poses"]
# Whoever is in a frame: `Poses`, or x, y and score of keypoints (N, K, 3).
Given: TypeAlias = Poses | TrackedPoses | np.ndarray[Any, Any] | Sequence[Any] | None

# From this share of people outside the picture on, a line says so.
_MANY = 0.1
# About how many frames a video has is known: that share of them, or so many, may be missing.
_SHARE_MISSING, _FEW_MISSING = 0.02, 2


class GivenPeople:
    """The people of a video as `KnownPeople`. find: gives whoever is in the frame of an index."""

    engine = "no network"

    def __init__(self, name: str, skeleton: Skeleton, find: Callable[[int], Any], note: str | None = None) -> None:
        self.name = name
        self.skeleton = skeleton
        self.note = note
        self._find = find

    def people_in(self, frames: Sequence[Frame]) -> list[Any]:
        """Who is in each of these frames."""
        return [self._find(frame.index) for frame in frames]


def track_poses(
    source: str | int | Path,
    poses: Path | str | Mapping[int, Given] | Iterable[Given],
    *,
    skeleton: Skeleton | str | None = None,
    flow: str = "dis",
    config: TrackerConfig | None = None,
    detector_score: float = 0.5,
    fps: float | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
    max_frames: int | None = None,
    deinterlace: bool = True,
    people: int | None = None,
    only: Only | None = None,
    region: Region | None = None,
) -> Generator[tuple[Frame, TrackedPoses]]:
    """Give ids to poses that other networks found in a video: each frame with its people, as soon as it is done.

    poses: a file or folder that `tracker.formats.read_people` reads, or whoever is in each frame, by its index in the
    whole video, of an iterator one after the other. Somebody is a row of `Poses`, or of x, y and score of keypoints
    (N, K, 3) in pixels; a keypoint of score 0 is missing. skeleton: of keypoints that are not said to be of any; by
    default it is told by their number. detector_score: least score of a person, where they have one. config: by default
    nobody is carried by the flow, so that whoever comes out went in, second poses of a person left out; with
    propagation carried people keep their moved keypoints. fps to deinterlace: as for `open_source`; people, only,
    region: as for `build_pipeline`. No network is loaded. Raises InputError and UsageError at the call.
    """
    wanted = None if skeleton is None else skeleton_of(skeleton)
    refuse_others(*A_NUMBER, detector_score=detector_score)
    refuse_others("a file, or the people of each frame, in a row or by its index", str, Path, Iterable, poses=poses)
    config, selection = read_config(config, TrackerConfig(propagation=False)), read_selection(people, only, region)

    def build(frames: VideoSource) -> Pipeline:
        is_whole = start_s is end_s is max_frames is None
        if isinstance(poses, str | Path):
            known = read_given(Path(poses), "poses", source, frames, wanted, detector_score, is_whole=is_whole)
        else:
            known = _listed(poses, wanted, detector_score, frames)
            if isinstance(poses, Sized):
                last = max(poses, default=0) if isinstance(poses, Mapping) else len(poses) - 1
                refuse_others(*A_WHOLE_NUMBER, frame_index=last)
                _check_frames(last, "poses", frames, len(_images_of(source)), is_whole=is_whole)
        return Pipeline(None, known, create_flow(flow), config, selection=selection)

    span = {"fps": fps, "start_s": start_s, "end_s": end_s, "max_frames": max_frames, "deinterlace": deinterlace}
    return track_source(source, build, span)


def read_given(
    path: Path,
    kind: Kind,
    spec: str | int | Path,
    source: VideoSource,
    skeleton: Skeleton | None = None,
    least_score: float = 0.5,
    *,
    is_whole: bool = True,
) -> GivenPeople:
    """The people in a file, for the source that `spec` names; its frames are told by number, or by name of images.

    skeleton: of keypoints that the file states by their number alone. least_score: of people; whom the flow carried,
    where the file says so, is left out of boxes, and stays among poses whatever they score. is_whole: all frames are
    to be tracked. Raises InputError for what cannot be read, or does not fit the source, UsageError for a skeleton
    beside another.
    """
    if source.is_live:
        raise UsageError(f"{source.name} shows something else now; name the video that {path} is of")
    results = read_people(path, skeleton)
    stated = results.header.skeleton
    if skeleton and stated.keypoint_names != skeleton.keypoint_names:
        raise UsageError(f"{path} states its keypoints, those of {stated.name}; leave out --skeleton")
    images = _images_of(spec)
    placed = _place(results.frames, images, path, source)
    found = {place: _normal(frame.tracked.poses) for place, frame in placed.items() if len(frame.tracked)}
    if kind == "boxes":
        found = {place: _with_box(poses) for place, poses in found.items()}
    everybody = Poses.join([Poses.empty(stated.num_keypoints), *found.values()])
    _check_kind(everybody, kind, path)
    _check_frames(max(found), str(path), source, len(images), is_whole=is_whole)
    if not images:  # which may differ in size
        _check_size(results.header, path, source)
    notes = [*_check_places(everybody, path, source), *_note_scores(everybody, kind, least_score, path)]
    if results.warning:
        notes.insert(0, results.warning)
    kept = {place: _in_square_pixels(_of_score(poses, least_score), source) for place, poses in found.items()}

    def find(index: int) -> Detections | Poses:
        poses = kept.get(index, everybody[:0])
        return Detections(poses.boxes, poses.box_scores) if kind == "boxes" else poses

    name, note = f"{kind} of {path.name}", "; ".join(notes) or None
    return GivenPeople(name, stated, find, note)


def _listed(
    given: Mapping[int, Given] | Iterable[Given], skeleton: Skeleton | None, least_score: float, source: VideoSource
) -> GivenPeople:
    """People who are handed in frame by frame; ValueError where keypoints are of no skeleton."""
    read, samples = _reader_of(given)
    count = next(filter(None, map(_num_keypoints, samples)), COCO_17.num_keypoints)
    known = skeleton or USUAL_SKELETONS.get(count)
    if known is None:
        raise ValueError(f"poses have {count} keypoints; say whose by skeleton=")

    def find(index: int) -> Poses:
        return _in_square_pixels(_of_score(_normal(_as_poses(read(index), known, index)), least_score), source)

    return GivenPeople("poses as handed in", known, find)


def _reader_of(given: Mapping[int, Given] | Iterable[Given]) -> tuple[Callable[[int], Given], Iterable[Given]]:
    """What tells who is in the frame of an index, asked in the order of frames; and some of these people."""
    if isinstance(given, Mapping):
        return given.get, given.values()
    if isinstance(given, Sequence | np.ndarray):
        return lambda place: given[place] if place < len(given) else None, given
    items = iter(given)
    first = list(islice(items, 1))
    numbered = enumerate(chain(first, items))
    return lambda place: next((item for number, item in numbered if number == place), None), first


def _num_keypoints(given: Given) -> int | None:
    """Of somebody in a frame, None for nobody."""
    poses = given.poses if isinstance(given, TrackedPoses) else given
    if isinstance(poses, Poses):
        return poses.keypoints.shape[1]
    shape = () if poses is None else np.shape(poses)
    return shape[1] if len(shape) == 3 else None


def _as_poses(given: Given, skeleton: Skeleton, place: int) -> Poses:
    if given is None or (isinstance(given, Sized) and len(given) == 0):
        return Poses.empty(skeleton.num_keypoints)
    poses = given.poses if isinstance(given, TrackedPoses) else given
    if isinstance(poses, Poses):
        if poses.keypoints.shape[1] != skeleton.num_keypoints:
            raise ValueError(f"frame {place}: poses must have {skeleton.num_keypoints} keypoints")
        return poses
    triples = np.asarray(poses, np.float32)
    if triples.ndim != 3 or triples.shape[1:] != (skeleton.num_keypoints, 3):
        raise ValueError(f"frame {place}: poses must be (N, {skeleton.num_keypoints}, 3), not {triples.shape}")
    nowhere = np.full((len(triples), 4), np.nan, np.float32)
    scores = np.ones(len(triples), np.float32)
    candidates = Candidates.from_detections(Detections(nowhere, scores))
    return Poses.in_boxes(candidates, triples[..., :2].copy(), triples[..., 2].copy())


def _normal(poses: Poses) -> Poses:
    """Scores up to 1, keypoints that are missing by score or place in both, and boxes around them if there are none.

    No box is less than a pixel wide or high: the similarity of people is relative to their area.
    """
    is_there = (poses.scores > 0) & np.isfinite(poses.keypoints).all(axis=2)
    keypoints = np.where(is_there[..., None], poses.keypoints, np.float32(np.nan))
    boxes = np.where(np.isfinite(poses.boxes).all(axis=1, keepdims=True), poses.boxes, boxes_around(keypoints))
    lacking = np.maximum(1 - (boxes[:, 2:] - boxes[:, :2]), 0) / 2
    return replace(
        poses,
        keypoints=keypoints,
        scores=np.where(is_there, np.minimum(poses.scores, np.float32(1)), np.float32(0)),
        boxes=boxes + np.concatenate([-lacking, lacking], axis=1),
    )


def _with_box(poses: Poses) -> Poses:
    """Those whom a detector found, best first."""
    detected = poses[np.flatnonzero(poses.detected & np.isfinite(poses.boxes[:, 0]))]
    return detected[np.argsort(-detected.box_scores, kind="stable")]


def _of_score(poses: Poses, least: float) -> Poses:
    """Those who score enough, or were carried by the flow; scores end at 1."""
    poses = replace(poses, box_scores=np.minimum(poses.box_scores, np.float32(1)))
    return poses[np.flatnonzero((poses.box_scores >= least) | ~poses.detected)]


def _in_square_pixels(poses: Poses, source: VideoSource) -> Poses:
    """Poses in the stored pixels of a source in those of the frames that a pipeline sees."""
    width = source.size_wh[0]
    return fit_poses(poses, width, square_width(width, float(source.pixel_aspect)))


def _images_of(spec: str | int | Path) -> list[str]:
    """Names of the images that a source consists of, none for a video."""
    return [path.name for path in files_of(str(spec)) if is_image(path)]


def _place(
    frames: Sequence[FrameResult], images: Sequence[str], path: Path, source: VideoSource
) -> dict[int, FrameResult]:
    """Frames by their place in the source: by the names of images where all are found, else by number."""
    files = [frame.file for frame in frames]
    known = _places_by_name(images)
    named = [next((known[key] for key in _keys(file or "") if key in known), None) for file in files]
    if None not in named:
        if len(set(named)) < len(named):
            raise InputError(f"{path} has two frames of the same image of {source.name}; correct the file")
        return {place: frame for place, frame in zip(named, frames, strict=True) if place is not None}
    unknown = next((file for file in files if file is not None and number_in(file) is None), None)
    if unknown is not None:
        raise InputError(f"{path} is of images such as {unknown}, which {source.name} does not have; name those images")
    return {frame.index: frame for frame in frames}


def _places_by_name(images: Sequence[str]) -> dict[str | int, int]:
    """The places of images by each of their names that belongs to one of them only."""
    keys = [(key, place) for place, name in enumerate(images) for key in _keys(name)]
    counts = Counter(key for key, _ in keys)
    return {key: place for key, place in keys if counts[key] == 1}


def _keys(name: str) -> tuple[str | int, ...]:
    """What an image may be called, the most exact first; a name that is its own stem once."""
    base = PurePosixPath(name.replace("\\", "/")).name
    number = number_in(base)
    keys = dict.fromkeys((base, PurePosixPath(base).stem))
    return (*keys, *(() if number is None else (number,)))


def _check_kind(everybody: Poses, kind: Kind, path: Path) -> None:
    """InputError unless there are people with what is needed."""
    if not len(everybody):
        raise InputError(f"nobody is in {path}; name another file")
    if kind == "poses" and not (everybody.scores > 0).any():
        raise InputError(f"{path} has no keypoints; if it has boxes, name it with --boxes")
    low, high = float(everybody.box_scores.min()), float(everybody.box_scores.max())
    if kind == "boxes" and not (low >= 0 and high <= 1):
        raise InputError(f"scores of {path} are from {low:g} to {high:g}; they must be within 0 and 1, or left out")


def _check_frames(last: int, name: str, source: VideoSource, num_images: int, *, is_whole: bool) -> None:
    """InputError for frames that the source does not have; of a part of a video it is not known how many there are."""
    num_frames = num_images or (source.num_frames if is_whole else None)
    if num_frames is None:
        return
    slack = 0 if num_images else max(_FEW_MISSING, _SHARE_MISSING * num_frames)
    if last >= num_frames + slack:
        raise InputError(
            f"{name} goes on to frame {last}, counted from 0, but {source.name} has {num_frames} frames; name the one "
            "that it is of"
        )


def _check_size(header: Header, path: Path, source: VideoSource) -> None:
    """InputError where the file says that it is of pictures of another size."""
    if header.size_wh and header.size_wh != source.size_wh:
        sizes = [" by ".join(map(str, size)) for size in (header.size_wh, source.size_wh)]
        raise InputError(f"{path} is of {sizes[0]} pixels, {source.name} has {sizes[1]}; name the one that it is of")


def _check_places(everybody: Poses, path: Path, source: VideoSource) -> list[str]:
    """InputError for people who are nowhere in the pictures; what to say of those who are partly."""
    width, height = source.size_wh
    boxes = everybody.boxes[np.isfinite(everybody.boxes[:, 0])]
    if len(boxes) and np.abs(boxes).max() <= 2 < min(width, height):
        raise InputError(f"{path} has places such as {boxes[0, 2]:g}, {boxes[0, 3]:g}; they must be in pixels")
    x, y = boxes.reshape(-1, 2, 2).mean(axis=1).T
    outside = int(((x < 0) | (x >= width) | (y < 0) | (y >= height)).sum())
    if outside == len(boxes):
        raise InputError(
            f"nobody in {path} is within the {width} by {height} pixels of {source.name}; give places in its pixels"
        )
    if outside >= _MANY * len(boxes):
        return [f"{outside} of {len(boxes)} people in {path} are outside the {width} by {height} pixels"]
    return []


def _note_scores(everybody: Poses, kind: Kind, least: float, path: Path) -> list[str]:
    """What to say of scores; InputError if all are too low."""
    if kind == "boxes" and (everybody.box_scores == 1).all():
        return [f"{path} states no scores, so all of its boxes count"]
    low = len(everybody) - len(_of_score(everybody, least))
    if low == len(everybody):
        raise InputError(f"nobody in {path} scores {least:g} or more; lower --detector-score")
    return [f"{low} of {len(everybody)} people in {path} score less than {least:g} and are left out"] if low else []
