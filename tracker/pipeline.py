"""A frame's way: decode → flow → detect → track, each in a thread of its own, with bounded queues between.

`track_video` is the whole of it in one call.
"""

from __future__ import annotations

import inspect
import itertools
import math
import queue
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import NoneType
from typing import Any, Literal, SupportsIndex, TypeAlias, TypeVar, get_args

from tracker.appearance import load_appearance
from tracker.catalogue import find_network
from tracker.detection import load_detector
from tracker.ending import interrupt, stop_at_end
from tracker.engines import ENGINES
from tracker.errors import A_NUMBER, A_WHOLE_NUMBER, UsageError, refuse_others
from tracker.flow import NoFlow, create_flow
from tracker.pace import EXACT, LAG, SPEEDS, Pace, Schedule, Speed
from tracker.pose import load_poses
from tracker.pose.family import FinderSettings
from tracker.pose.grouping import TRACKED_GROUPING, GroupingConfig
from tracker.selection import Choice, Only, Region, Selection, read_selection
from tracker.skeletons import Skeleton
from tracker.tracking.config import TrackerConfig, read_config
from tracker.tracking.foresight import Tracked, look_ahead
from tracker.tracking.looks import Look
from tracker.tracking.propagation import merge_candidates, merge_poses
from tracker.tracking.tracker import PoseTracker
from tracker.types import (
    Appearance,
    Detections,
    FlowEstimator,
    Frame,
    Image,
    KnownPeople,
    Motion,
    PersonDetector,
    PoseEstimator,
    PoseFinder,
    Poses,
    TrackedPoses,
)
from tracker.video.aspect import fit_people, square_frame
from tracker.video.source import VideoSource, open_source

T = TypeVar("T")
# Whom a detector or a finder sees in a frame; None where nobody was looked for.
Found: TypeAlias = Detections | Poses | None
# litepose is what bottom-up was called.
PoseMethod: TypeAlias = Literal["top-down", "bottom-up", "litepose"]


class StageTimes:
    """Seconds that each stage was busy; stages run side by side, so their sum may exceed the wall clock.

    cpu_s: of these the CPU time of the stage's own thread; libraries' threads are not in it. counts: `looks` for
    people, poses `estimated` by the network, and those `carried` instead; and `cuts` between scenes.
    """

    def __init__(self) -> None:
        self.busy_s: dict[str, float] = defaultdict(float)
        self.cpu_s: dict[str, float] = defaultdict(float)
        self._threads: dict[str, int] = {}
        self.counts: Counter[str] = Counter()

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the time spent inside to a stage; each stage is measured by one thread only."""
        self._threads[stage] = threading.get_ident()
        start, cpu_start = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            self.cpu_s[stage] += time.thread_time() - cpu_start
            self.busy_s[stage] += time.perf_counter() - start

    @property
    def chains(self) -> list[list[str]]:
        """The stages that run one after another, each group in a thread of its own."""
        groups = defaultdict[int, list[str]](list)
        for stage, thread in self._threads.items():
            groups[thread].append(stage)
        return list(groups.values())

    def measure_each(self, stage: str, items: Iterable[T]) -> Generator[T]:
        """The same items; the time that getting each takes is added to a stage."""
        iterator = iter(items)
        while True:
            with self.measure(stage):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item


# Marks the end of a queue, and the lack of a previous frame; a flow may well prepare None.
_END = _NOTHING = object()
# How long the end of the program waits for an item in hand, and then for what a thread is at in native code.
_GRACE_S, _PATIENCE_S = 0.2, 20.0
# How much more time than it took last an item of a live source is given, and how long its thread may sleep at once.
_LEAD, _LEAD_S, _TURN_S = 1.25, 0.005, 0.1


def run_ahead(items: Generator[T], depth: int, wake: Callable[[], object] = lambda: None) -> Generator[T]:
    """The same items, made in a thread that runs up to `depth` items ahead of who takes them.

    An exception of the maker is raised here. When this generator is closed or left by an exception, the
    maker stops after the item in hand, closes `items` in its own thread and is joined. A generator that takes
    from this one closes it when it ends (`contextlib.closing`), so that a whole chain of them ends together. At the
    end of the program, too, the maker stops; whoever takes on then finds no more items. wake: called before the maker
    is waited for, which may itself wait for something far away.
    """
    ready: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(maxsize=depth)
    stop = threading.Event()
    maker = threading.Thread(target=_make, args=(items, ready, stop), name="run-ahead", daemon=True)

    def wait() -> None:
        if maker.ident:  # it was started
            maker.join(_GRACE_S)
        if maker.is_alive():  # in the many calls of a torch network, say
            interrupt(maker)
            maker.join(_PATIENCE_S)

    forget = stop_at_end(stop.set, wait)
    maker.start()
    try:
        while True:
            item, error = _take(ready, stop)
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        forget()
        stop.set()
        wake()
        maker.join()


def run_just_ahead(items: Generator[T], wake: Callable[[], object] = lambda: None) -> Generator[T]:
    """As `run_ahead`, by one item, which is begun as late as it can be, by the times that the last ones took."""
    turns = _Turns()

    def end() -> None:
        turns.end()
        wake()

    return turns.taken(run_ahead(turns.made(items), 1, end))


class _Turns:
    """When the next item of a live source is to be begun: so that it is ready just as it is asked for.

    What was made earlier would be older than it need be.
    """

    def __init__(self) -> None:
        self._making_s, self._using_s = deque[float](maxlen=5), deque[float](maxlen=5)
        self._begin_s = 0.0
        self._is_taken = threading.Event()
        self._is_taken.set()
        self._is_over = False

    def made(self, items: Generator[T]) -> Generator[T]:
        """The same items, each begun in its turn; in the maker's thread."""
        with closing(items):
            while self._wait():
                start_s = time.monotonic()
                for item in items:
                    self._making_s.append(time.monotonic() - start_s)
                    yield item
                    break
                else:
                    return

    def taken(self, items: Generator[T]) -> Generator[T]:
        """The same items; who takes them is seen to need some time for each."""
        with closing(items):
            for item in items:
                taken_s = time.monotonic()
                if self._using_s:
                    # Rather early than late: what is waited for takes longer than what is a little older.
                    lead_s = _LEAD * max(self._making_s) + _LEAD_S
                    self._begin_s = taken_s + min(self._using_s) - lead_s
                self._is_taken.set()
                yield item
                self._using_s.append(time.monotonic() - taken_s)

    def end(self) -> None:
        """Wait no more."""
        self._is_over = True

    def _wait(self) -> bool:
        """Whether there is a turn; waits until the last item was taken, and then for as long as there is time."""
        while not (self._is_over or self._is_taken.wait(_TURN_S)):
            pass
        self._is_taken.clear()
        while not self._is_over and (left_s := self._begin_s - time.monotonic()) > 0:
            time.sleep(min(left_s, _TURN_S))
        return not self._is_over


def _square_frames(frames: Generator[Frame], stored: deque[Frame]) -> Generator[Frame]:
    """The frames in true proportions; as they came, they are put into `stored`."""
    with closing(frames):
        for frame in frames:
            if not isinstance(frame, Frame):
                raise ValueError(f"frames must be `Frame`s, as `open_source` gives them, not {type(frame).__name__}")
            stored.append(frame)
            yield square_frame(frame)


def _make(items: Generator[Any], ready: queue.Queue[Any], stop: threading.Event) -> None:
    """Put the items, then the end or the exception that ended them, into the queue until told to stop."""

    def put(item: Any, error: BaseException | None = None) -> None:
        while not stop.is_set():
            with suppress(queue.Full):
                ready.put((item, error), timeout=0.05)
                return

    try:
        with closing(items):
            for item in items:
                put(item)
                if stop.is_set():
                    return
        put(_END)
    except BaseException as error:  # noqa: BLE001 - carried to the consumer, whatever it is
        put(_END, error)


def _take(ready: queue.Queue[Any], stop: threading.Event) -> Any:
    """The next item and no exception; waits in short turns, in which Ctrl-C ends it on Windows, too, and `stop`."""
    while not stop.is_set():
        with suppress(queue.Empty):
            return ready.get(timeout=0.2)
    return _END, None


@dataclass(frozen=True)
class _Prepared:
    """A frame with all that depends on pixels alone."""

    frame: Frame
    motion: Motion | None
    found: Found = None


@dataclass(frozen=True)
class Pipeline:
    """Detector, flow, pose estimator and tracker put together.

    detector: None where the estimator finds people by itself, which then stands for it in what follows; people who are
    known beforehand stand for the detector, or for the estimator without a detector. flow: recognises cuts, also where
    no setting makes use of its motion. config: where it has no keypoint threshold, the estimator's own is taken.
    detect_every: the detector looks at every N-th frame, propagation carries people in between. detector_batch: frames
    that the detector is given at once, which uses a GPU better; latency grows with it. times: busy seconds per stage,
    over all runs. pace: which frames the networks look at, of those; batches hold no more than it foresees. selection:
    whom it is about; others are not estimated where boxes are known, and do not come out. are_photos: see
    `of_photos`. appearance: tells lost people apart when they come back, None to go by place and pose alone.
    """

    detector: PersonDetector | KnownPeople | None
    estimator: PoseEstimator | PoseFinder | KnownPeople
    flow: FlowEstimator
    config: TrackerConfig = field(default_factory=TrackerConfig)
    detect_every: int = 1
    detector_batch: int = 1
    times: StageTimes = field(default_factory=StageTimes)
    pace: Pace = EXACT
    selection: Selection = field(default_factory=Selection)
    are_photos: bool = False
    appearance: Appearance | None = None

    def __post_init__(self) -> None:
        if any(not isinstance(n, SupportsIndex) or n < 1 for n in (self.detect_every, self.detector_batch)):
            raise ValueError("detect_every and detector_batch must be whole numbers of 1 or more")
        own = getattr(self.estimator, "keypoint_threshold", None)
        object.__setattr__(self, "config", read_config(self.config).settled(own))

    @property
    def skeleton(self) -> Skeleton:
        """Of the poses."""
        return self.estimator.skeleton

    def of_photos(self) -> Pipeline:
        """The same for pictures that do not follow one another: ids count from 1 in each; all are confirmed."""
        config = replace(self.config, propagation=False, confirm_after_s=0.0)
        return replace(self, flow=create_flow("none"), config=config, detect_every=1, pace=EXACT, are_photos=True)

    def run(
        self, frames: Iterable[Frame], *, is_live: bool = False, one_by_one: bool = False
    ) -> Generator[tuple[Frame, TrackedPoses]]:
        """Track the people of one video: each frame with its people, in order, as soon as it is done.

        Who is confirmed is so from their first frame on, except of live sources, where nothing is known ahead.
        Networks and tracker see frames in true proportions, the people are in the pixels of the frames as given.

        Every run has a fresh tracker. Decoding, flow, detection and tracking run in four threads; closing
        the generator ends them all. is_live: only flow and detection run ahead, by a single frame, so that what
        is delivered is fresh; fewer frames are under way, and fewer are done per second; where that is too few, the
        pace is lowered. one_by_one: without threads, with the same results.
        """
        if self.are_photos:
            with closing(run_ahead(self._run_each(frames), 2)) as each:
                yield from each
            return
        stored: deque[Frame] = deque()
        schedule = Schedule(self.pace, self.detect_every, has_boxes=not isinstance(self.estimator, PoseFinder))
        wake = getattr(frames, "stop", lambda: None)  # a video source may wait for a camera or a sender
        decoded = _square_frames(self.times.measure_each("decode", frames), stored)
        confirm_after_s = 0.0 if is_live else self.config.confirm_after_s
        ahead: Any = (lambda items, depth, **_: items) if one_by_one else run_ahead
        if is_live:
            prepared = self._look(self._add_motion(schedule.keep_up(decoded)), schedule)
            prepared = prepared if one_by_one else run_just_ahead(prepared, wake)
        else:
            moved = ahead(self._add_motion(ahead(decoded, 2)), 2 * self.detector_batch)
            prepared = ahead(self._look(moved, schedule), 2)
        choice = Choice(self.selection, self.config.forget_after_s)
        moments = self._track(prepared, schedule, choice)
        chain = choice.pick(look_ahead(moments, confirm_after_s, self.config.confirm_detections))
        with closing(chain if is_live else ahead(chain, 2, wake=wake)) as tracked:
            for square, people in tracked:
                frame = stored.popleft()
                yield frame, fit_people(people, square, frame)

    def _run_each(self, frames: Iterable[Frame]) -> Generator[tuple[Frame, TrackedPoses]]:
        """Each frame by itself, the next ones being read meanwhile."""
        alone = replace(self, are_photos=False)
        with closing(run_ahead(self.times.measure_each("decode", frames), 2)) as pictures:
            for picture in pictures:
                yield from alone.run([picture], one_by_one=True)

    def _add_motion(self, frames: Generator[Frame]) -> Generator[_Prepared]:
        flow: FlowEstimator = self.flow if self.config.needs_motion else NoFlow()
        prepare = _prepares(flow)
        previous: Any = _NOTHING
        with closing(frames):
            for frame in frames:
                with self.times.measure("flow"):
                    current = prepare(frame)
                    motion = None if previous is _NOTHING else flow.between(previous, current)
                    previous = current
                yield _Prepared(frame, motion)

    def _look(self, moved: Generator[_Prepared], schedule: Schedule) -> Generator[_Prepared]:
        stage, look = self._eyes
        size = min(self.detector_batch, LAG) if schedule.pace != EXACT else self.detector_batch
        with closing(moved):
            while batch := list(itertools.islice(moved, size)):
                due = [schedule.is_due(item.frame, item.motion) for item in batch]
                self.times.counts["looks"] += sum(due)
                with self.times.measure(stage):
                    results = iter(look([item.frame for item in itertools.compress(batch, due)]) if any(due) else ())
                for item, is_due in zip(batch, due, strict=True):
                    yield replace(item, found=next(results)) if is_due else item

    @property
    def _eyes(self) -> tuple[str, Callable[[Sequence[Frame]], Sequence[Found]]]:
        """Who finds people, and the name of that stage."""
        if isinstance(self.estimator, KnownPeople):
            return "read", self.estimator.people_in
        if isinstance(self.estimator, PoseFinder):
            return "pose", _at_images(self.estimator.find)
        if isinstance(self.detector, KnownPeople):
            return "read", self.detector.people_in
        if self.detector is None:
            raise ValueError("an estimator of poses in boxes needs a detector")
        return "detect", _at_images(self.detector.detect)

    def _track(self, prepared: Generator[_Prepared], schedule: Schedule, choice: Choice) -> Generator[Tracked[Frame]]:
        """Frames with their people, whether a scene begins with them, and whether people were looked for."""
        tracker = PoseTracker(self.skeleton, self.config)
        poses_in = self._poses_by(tracker, schedule.pace, choice)
        with closing(prepared), closing(schedule):
            for item in prepared:
                poses = poses_in(item)
                is_cut = item.motion is not None and item.motion.is_cut
                self.times.counts["cuts"] += is_cut
                with self.times.measure("track"):
                    tracked = tracker.update(poses, self._look_at(item.frame))
                    choice.follow(tracked, is_cut=is_cut)
                schedule.note(is_calm=tracker.is_calm)
                yield item.frame, tracked, is_cut, item.found is not None

    def _poses_by(self, tracker: PoseTracker, pace: Pace, choice: Choice) -> Callable[[_Prepared], Poses]:
        """How the poses of a frame are made, decided once: such questions to protocols are slow."""
        if isinstance(self.estimator, PoseFinder | KnownPeople):
            return partial(self._merge, tracker, choice=choice)
        return partial(self._estimate, self.estimator, tracker, pace=pace, choice=choice)

    def _look_at(self, frame: Frame) -> Look | None:
        return partial(self.appearance.features, frame.image) if self.appearance else None

    def _estimate(
        self, estimator: PoseEstimator, tracker: PoseTracker, item: _Prepared, pace: Pace, choice: Choice
    ) -> Poses:
        """Top-down: poses in the boxes of detector and propagation together, and of those who rest from the network."""
        with self.times.measure("track"):
            found = item.found if isinstance(item.found, Detections) else None
            propagated = tracker.predict(
                item.motion,
                time_s=item.frame.time_s,
                decay=found is not None,
                pose_s=pace.pose_s,
                still_s=pace.still_s,
                detections=found,
            )
            unknown = Detections.empty() if found is None else found[~tracker.recognised]
            candidates = merge_candidates(unknown, propagated, self.config)
            candidates = candidates[choice.to_look_at(candidates.boxes, item.frame.size_wh)]
        self.times.counts.update(estimated=len(candidates), carried=len(tracker.resting))
        with self.times.measure("pose"):
            poses = estimator.estimate(item.frame.image, candidates)
        return Poses.join([poses, tracker.resting])

    def _merge(self, tracker: PoseTracker, item: _Prepared, choice: Choice) -> Poses:
        """Without boxes: the poses that were found or known, and propagated ones of people who were not."""
        with self.times.measure("track"):
            propagated = tracker.predict_poses(item.motion, time_s=item.frame.time_s, decay=item.found is not None)
            found = item.found if isinstance(item.found, Poses) else Poses.empty(self.skeleton.num_keypoints)
            poses = merge_poses(found, propagated, self.skeleton, self.config)
            return poses[choice.stand_inside(poses.boxes, item.frame.size_wh)]


def _at_images(look: Callable[[Sequence[Image]], Sequence[Found]]) -> Callable[[Sequence[Frame]], Sequence[Found]]:
    return lambda frames: look([frame.image for frame in frames])


def _prepares(flow: FlowEstimator) -> Callable[[Frame], Any]:
    """How the flow prepares a frame, decided once: its own one may take the image alone."""
    takes_planes = False
    with suppress(ValueError, TypeError):  # of native code, which may state no parameters
        takes_planes = "planes" in inspect.signature(flow.prepare).parameters
    return lambda frame: flow.prepare(frame.image, **({"planes": frame.planes} if takes_planes else {}))


def build_pipeline(
    *,
    detector: PersonDetector | KnownPeople | Path | str | None = None,
    pose: PoseMethod = "top-down",
    pose_model: PoseEstimator | PoseFinder | KnownPeople | Path | str | None = None,
    device: str = "auto",
    flow: FlowEstimator | str = "dis",
    config: TrackerConfig | None = None,
    speed: Speed | None = None,
    is_live: bool = False,
    detect_every: int = 1,
    detector_batch: int = 1,
    flip_test: bool = False,
    detector_size: int | None = None,
    detector_score: float = 0.5,
    detector_type: str | None = None,
    num_threads: int = 0,
    engine: str = "auto",
    grouping: GroupingConfig = TRACKED_GROUPING,
    people: int | None = None,
    only: Only | None = None,
    region: Region | None = None,
    appearance: Appearance | Path | str | None = None,
) -> Pipeline:
    """Load the networks and put a pipeline together.

    detector, pose_model: a file or a name of `weights list`, an object of your own, or None for what is shipped. pose:
    top-down, or bottom-up, which needs no detector; nor does a pose_model that sees everybody at once, where no
    detector is named. speed, is_live: as for `choose_pace`. grouping: of bottom-up estimation. device: auto, cpu, cuda
    or cuda:N. flow: dis, lk, none, or an object of your own. detector_type, num_threads, engine: as for
    `load_detector`. people, only, region: as for `Selection`, or as the options have them, a region also as points
    (M, 2). appearance: as for `load_appearance`, or an object of your own. Raises ModelError, DeviceError and
    UsageError, ValueError for an unknown pose, flow or speed, and for a selection that makes no sense.
    """
    _check_words(pose, engine, has_detector=detector is not None)
    refuse_others(*A_NUMBER, detector_score=detector_score)
    refuse_others(*A_WHOLE_NUMBER, num_threads=num_threads)
    refuse_others(*A_NUMBER, NoneType, detector_size=detector_size)
    refuse_others("a GroupingConfig", GroupingConfig, grouping=grouping)
    named = (str, Path, NoneType, "people_in")
    refuse_others("a file, a name, or an object that has `detect`", *named, "detect", detector=detector)
    refuse_others("a file, a name, or an object that has `estimate`", *named, "estimate", "find", pose_model=pose_model)
    config, selection = read_config(config), read_selection(people, only, region)
    is_known = isinstance(detector, KnownPeople) or isinstance(pose_model, KnownPeople)
    pace = EXACT if is_known else choose_pace(speed, config, flow, is_live=is_live)
    motion = create_flow(flow, pace.flow_side)
    if pose_model is None or isinstance(pose_model, str | Path):
        settings = FinderSettings(grouping, flip_test, detector_score)
        sees = {"bottom_up": pose != "top-down", "has_boxes": detector is not None}
        pose_model = load_poses(_path(pose_model), device, num_threads, **sees, settings=settings, engine=engine)
    if isinstance(pose_model, PoseFinder | KnownPeople):
        detector = None
    elif detector is None or isinstance(detector, str | Path):
        size = (detector_score, detector_size, num_threads, detector_type, engine)
        detector = load_detector(_path(detector), device, *size)
    appearance = load_appearance(appearance, pose_model.skeleton, device, num_threads)
    parts = (detector, pose_model, motion, config, detect_every, detector_batch)
    return Pipeline(*parts, pace=pace, selection=selection, appearance=appearance)


def _check_words(pose: str, engine: str, *, has_detector: bool) -> None:
    """Refuse those that mean nothing, and a detector where people are found without."""
    for name, word, known in (("pose", pose, get_args(PoseMethod)), ("engine", engine, ENGINES)):
        if word not in known:
            raise ValueError(f"unknown {name} {word!r}; known: {', '.join(known)}")
    if pose != "top-down" and has_detector:
        raise UsageError(f"{pose} finds people without a detector; leave the detector out, or take pose top-down")


def choose_pace(
    speed: Speed | None, config: TrackerConfig, flow: FlowEstimator | str, *, is_live: bool = False
) -> Pace:
    """What a speed means; None stands for balanced, of live sources for fast; for exact where no flow carries people.

    Raises UsageError where such a flow is needed and missing, ValueError for an unknown speed.
    """
    carries = config.propagation and flow != "none"
    if speed is None:
        speed = "exact" if not carries else "fast" if is_live else "balanced"
    if speed not in tuple(SPEEDS):
        raise ValueError(f"unknown speed {speed!r}; known: {', '.join(SPEEDS)}")
    if speed != "exact" and not carries:
        raise UsageError(f"speed {speed} needs propagation and a flow, to carry people between; take speed exact")
    return SPEEDS[speed]


def _path(name: str | Path | None) -> Path | None:
    return None if name is None else find_network(name)


def track_video(
    source: str | int | Path,
    *,
    fps: float | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
    max_frames: int | None = None,
    deinterlace: bool = True,
    reconnect_s: float = math.inf,
    **settings: Any,
) -> Generator[tuple[Frame, TrackedPoses]]:
    """Track the people of a video: each frame with its people, as soon as it is done.

    source, fps to reconnect_s: as for `open_source`. settings: those of `build_pipeline`. Leaving the loop early closes
    everything. Raises InputError, ModelError and DeviceError at the call.
    """

    span = {
        "fps": fps,
        "start_s": start_s,
        "end_s": end_s,
        "max_frames": max_frames,
        "deinterlace": deinterlace,
        "reconnect_s": reconnect_s,
    }
    return track_source(source, lambda frames: build_pipeline(is_live=frames.is_live, **settings), span)


def track_source(
    source: str | int | Path, build: Callable[[VideoSource], Pipeline], span: Mapping[str, Any]
) -> Generator[tuple[Frame, TrackedPoses]]:
    """`track_video` by a pipeline that is built for the open source; span: other arguments of `open_source`."""

    def start() -> Generator[Any]:
        with open_source(source, **span, keeps_planes=True) as frames:
            pipeline = build(frames)
            yield None  # what can go wrong until here is raised at the call
            with closing(pipeline.run(frames, is_live=frames.is_live)) as tracked:
                yield from tracked

    tracking = start()
    next(tracking)
    return tracking
