"""Rendered scenes with exact truth: people who walk, cross and hide each other, with poses, ids and flow.

Lengths and speeds of a scene are in lines of a 720-line picture, whatever the size it is rendered at: a speed
of 60 is 60 pixels per frame at 1280x720 and 30 at 640x360.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np
import numpy.typing as npt

from tracker.boxes import clip_boxes
from tracker.evaluation.backdrop import HORIZON, paint_backdrop
from tracker.evaluation.figures import (
    EXERCISE,
    FLAP,
    NUM_PARTS,
    RUN,
    STAND,
    WALK,
    Figure,
    Gait,
    Placement,
    make_look,
)
from tracker.types import BoolArray, DoubleArray, FloatArray, Frame, Image, IntArray, MovedPoints

FRAMES_PER_SECOND = 25
_LINES = 720
_NUM_KEYPOINTS = 17


# --- what is rendered ---


@dataclass(frozen=True)
class People:
    """The truth about the people of whom at least one keypoint is inside the picture; N rows.

    keypoints: (N, 17, 2) float32 pixels in COCO's order, also of hidden ones and those outside the picture.
    visible: (N, 17) bool, inside the picture and not behind a nearer person (the own body hides nothing).
    boxes: (N, 4) float32 xyxy pixels around the whole person, hidden parts too, cut to the picture.
    track_ids: (N,) int64, from 1. depth_ranks: (N,) int64, 0 is the nearest person of the scene.
    """

    keypoints: FloatArray
    visible: BoolArray
    boxes: FloatArray
    track_ids: IntArray
    depth_ranks: IntArray

    def __len__(self) -> int:
        return len(self.track_ids)


@dataclass(frozen=True)
class TrueMotion:
    """A `Motion` that knows: every point goes where the surface seen at its pixel went."""

    flow: FloatArray
    is_cut: bool = False

    def move(self, points: FloatArray) -> MovedPoints:
        """Where points (N, 2) of the older frame went, in pixels; unreliable outside the picture or NaN."""
        height, width = self.flow.shape[:2]
        columns, rows = np.rint(np.nan_to_num(points, nan=-1)).astype(np.int64).T
        inside = (columns >= 0) & (rows >= 0) & (columns < width) & (rows < height)
        moved = points + self.flow[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)]
        return MovedPoints(moved.astype(np.float32), inside)


@dataclass(frozen=True)
class SceneFrame(Frame):
    """A picture of a scene and the truth about it.

    flow: (H, W, 2) float32 pixels: what the previous frame shows at pixel (x, y) is here, seen or hidden, at
    (x, y) + flow[y, x]. The first frame's is zero.
    """

    people: People
    flow: FloatArray

    @property
    def motion(self) -> TrueMotion:
        """The true motion from the previous frame to this one."""
        return TrueMotion(self.flow)


# --- what a scene is made of ---


@dataclass(frozen=True)
class Actor:
    """A person of a scene, in lines of a 720-line picture.

    x: of the hips at frame 0. ground: row of the feet; perspective makes those lower in the picture larger
    and nearer. speed: per frame, negative to the left. between: the x at which walkers turn round. turn:
    radians by which the body faces the camera, 0 is a profile. phase: of the gait at frame 0, None for a
    random one. breadth, coat: see `Figure`.
    """

    x: float
    ground: float
    speed: float = 0.0
    gait: Gait = WALK
    between: tuple[float, float] = (-np.inf, np.inf)
    turn: float = 0.55
    phase: float | None = None
    breadth: float = 1.0
    coat: bool = False

    @property
    def height(self) -> float:
        """Of the body: the camera hangs at 0.81 of a body's height above the ground."""
        return 1.23 * (self.ground - HORIZON)

    def at(self, index: int) -> tuple[float, int]:
        """Position at a frame, and the direction faced: 1 for right, −1 for left."""
        x, direction = self.x + self.speed * index, 1 if self.speed >= 0 else -1
        low, high = self.between
        if not np.isfinite(high - low):
            return x, direction
        lap, way = divmod(x - low, high - low)
        turned = int(lap) % 2 == 1
        return (high - way, -direction) if turned else (low + way, direction)

    def phase_at(self, index: int, start: float) -> float:
        """Phase of the gait at a frame, in radians."""
        per_frame = self.gait.cadence + 2 * np.pi * abs(self.speed) / (self.gait.stride * self.height)
        return start + per_frame * index


@dataclass(frozen=True)
class Camera:
    """A camera that swings about its place: `reach_xy` to both sides, `cycles_xy` times per frame."""

    reach_xy: tuple[float, float] = (0.0, 0.0)
    cycles_xy: tuple[float, float] = (0.0, 0.0)

    def at(self, index: int) -> DoubleArray:
        """Where the camera looks, (2,), from its place."""
        return np.array(self.reach_xy) * np.sin(2 * np.pi * np.array(self.cycles_xy) * index)


@dataclass(frozen=True)
class Stage:
    """The people of a scene and its camera."""

    actors: tuple[Actor, ...]
    camera: Camera = Camera()


# A hand-held camera that drifts a little; used where the scene is about something else.
_DRIFT = Camera((16, 5), (1 / 90, 1 / 70))


def _outside(width: float) -> tuple[float, float]:
    """Turning points that nobody sees."""
    return -260, width + 260


def _crossing(width: float) -> Stage:
    """Two people who walk towards each other and pass."""
    way = _outside(width)
    return Stage(
        (
            Actor(0.15 * width, 672, 15, between=way),
            Actor(0.85 * width, 640, -14, between=way),
        ),
        _DRIFT,
    )


def _hidden(width: float) -> Stage:
    """Somebody in a coat overtakes a smaller person, who is hidden for ten frames and more."""
    return Stage(
        (
            Actor(0.14 * width, 715, 13.5, between=_outside(width), turn=0.9, breadth=1.4, coat=True),
            Actor(0.29 * width, 535, 8, between=_outside(width), turn=0.3),
        ),
        _DRIFT,
    )


def _fast(width: float) -> Stage:
    """Three people run through the picture, 60 lines per frame, past one who stands."""
    way = _outside(width)
    return Stage(
        (
            Actor(60, 660, 60, RUN, between=way),
            Actor(width + 240, 690, -60, RUN, between=way),
            Actor(-width, 625, 60, RUN, between=(-width - 600, width + 260)),
            Actor(0.5 * width, 560, gait=STAND, turn=1.2),
        )
    )


def _leaving(width: float) -> Stage:
    """One of two people walks out of the picture and comes back."""
    return Stage(
        (
            Actor(width - 330, 650, 21, between=(0.2 * width, width + 260)),
            Actor(0.3 * width, 600, gait=STAND, turn=1.0),
        ),
        _DRIFT,
    )


def _pan(width: float) -> Stage:
    """The camera pans over three people who walk on."""
    return Stage(
        (
            Actor(0.55 * width, 690, 13, between=(-700, width + 700)),
            Actor(0.75 * width, 600, -9, between=(-700, width + 700)),
            Actor(0.95 * width, 640, gait=STAND, turn=1.1),
        ),
        Camera((440, 12), (1 / 200, 1 / 60)),
    )


def _crowd(width: float) -> Stage:
    """Twelve people near and far, walking both ways or standing."""
    walkers = (
        Actor(x * width, ground, pace * 1.23 * (ground - HORIZON), between=(0.03 * width, 0.97 * width))
        for x, ground, pace in (
            (0.08, 700, 0.029), (0.93, 665, -0.028), (0.22, 630, 0.026), (0.72, 600, -0.03),
            (0.45, 575, 0.028), (0.60, 550, -0.026), (0.12, 520, 0.031), (0.88, 495, -0.03),
        )
    )  # fmt: skip
    standing = (
        Actor(x * width, ground, gait=gait, turn=turn)
        for x, ground, gait, turn in (
            (0.36, 480, STAND, 1.2), (0.80, 535, STAND, 0.9),
            (0.30, 450, EXERCISE, 1.57), (0.66, 465, STAND, 0.6),
        )
    )  # fmt: skip
    return Stage((*walkers, *standing), _DRIFT)


def _exercise(width: float) -> Stage:
    """Two people stand half in front of each other and beat their arms in turn.

    Their boxes change shape so fast that each one looks like the other's last: similarity of poses tells them
    apart, overlap of boxes does not.
    """
    return Stage(
        (
            Actor(0.5 * width - 45, 650, gait=FLAP, turn=1.57, phase=0.0),
            Actor(0.5 * width + 45, 662, gait=FLAP, turn=1.57, phase=np.pi),
        )
    )


def _shake(width: float) -> Stage:
    """A camera shakes before four small people with their arms out.

    From frame to frame their keypoints jump by more than OKS forgives at that size; their boxes still
    overlap.
    """
    actors = (
        Actor(x * width, ground, gait=EXERCISE, turn=1.57, phase=phase)
        for x, ground, phase in ((0.14, 420, 2.6), (0.38, 440, 3.0), (0.62, 425, 3.4), (0.86, 435, 2.8))
    )
    return Stage(tuple(actors), Camera((20, 14), (0.31, 0.37)))


SCENARIOS: Mapping[str, Callable[[float], Stage]] = MappingProxyType(
    {
        "crossing": _crossing,
        "hidden": _hidden,
        "fast": _fast,
        "leaving": _leaving,
        "pan": _pan,
        "crowd": _crowd,
        "exercise": _exercise,
        "shake": _shake,
    }
)


# --- rendering ---


def render_scene(
    name: str, size_wh: tuple[int, int] = (640, 360), num_frames: int = 60, seed: int = 0
) -> Iterator[SceneFrame]:
    """The frames of a scene, one by one, at 25 frames per second.

    name: a key of `SCENARIOS`. seed: of the looks, the background and the phases of the gaits: the same arguments
    give the same frames. ValueError for an unknown name.
    """
    if name not in SCENARIOS:
        raise ValueError(f"unknown scene {name!r}; known: {', '.join(SCENARIOS)}")
    return _Set(SCENARIOS[name](size_wh[0] * _LINES / size_wh[1]), size_wh, seed).frames(num_frames)


@dataclass(frozen=True, eq=False)
class _Shot:
    """What the next frame's flow needs of a frame.

    surfaces: (H, W) int16, the nearest part at each pixel: 1 + 12 × actor + part, 0 is the background.
    """

    index: int
    image: Image
    surfaces: npt.NDArray[np.int16]
    camera_xy: DoubleArray
    places: tuple[Placement, ...]


class _Set:
    """A stage with its painted backdrop and dressed figures."""

    def __init__(self, stage: Stage, size_wh: tuple[int, int], seed: int) -> None:
        self._size_wh = size_wh
        self._scale = size_wh[1] / _LINES
        self._stage = stage
        self._margin = np.ceil(np.array(stage.camera.reach_xy) * self._scale).astype(int) + 1
        wide, high = np.array(size_wh) + 2 * self._margin
        horizon = HORIZON * self._scale + self._margin[1]
        self._backdrop = paint_backdrop(
            (int(wide), int(high)), float(horizon), self._scale, np.random.default_rng([seed, 0])
        )
        # One generator each, so that looks and gaits are the same at every size.
        rngs = [np.random.default_rng([seed, 1 + i]) for i in range(len(stage.actors))]
        self._phases = [
            rng.uniform(0, 2 * np.pi) if actor.phase is None else actor.phase
            for actor, rng in zip(stage.actors, rngs, strict=True)
        ]
        self._figures = [self._dress(i, rng) for i, rng in enumerate(rngs)]
        grounds = np.array([actor.ground for actor in stage.actors])
        self._ranks = np.argsort(np.argsort(-grounds, kind="stable")).astype(np.int64)

    def frames(self, num_frames: int) -> Iterator[SceneFrame]:
        previous = self._shoot(0)
        for index in range(num_frames):
            shot = self._shoot(index) if index else previous
            yield SceneFrame(
                index=index,
                time_s=index / FRAMES_PER_SECOND,
                image=shot.image,
                people=self._people(shot),
                flow=_true_flow(previous, shot),
            )
            previous = shot

    def _dress(self, i: int, rng: np.random.Generator) -> Figure:
        actor = self._stage.actors[i]
        height, look = actor.height * self._scale, make_look(i, rng)
        return Figure(look, height, turn=actor.turn, rng=rng, breadth=actor.breadth, coat=actor.coat)

    def _shoot(self, index: int) -> _Shot:
        camera_xy = self._stage.camera.at(index) * self._scale
        image = self._background(camera_xy)
        surfaces = np.zeros(image.shape[:2], np.int16)
        places = tuple(self._place(i, index, camera_xy) for i in range(len(self._figures)))
        for i in np.argsort(-self._ranks):
            self._shadow(image, i, index, camera_xy)
            self._figures[i].paint(image, surfaces, places[i], 1 + NUM_PARTS * int(i))
        return _Shot(index, image, surfaces, camera_xy, places)

    def _background(self, camera_xy: DoubleArray) -> Image:
        shift = np.column_stack([np.eye(2), -self._margin - camera_xy])
        return np.asarray(cv2.warpAffine(self._backdrop, shift, self._size_wh), np.uint8)

    def _place(self, i: int, index: int, camera_xy: DoubleArray) -> Placement:
        actor = self._stage.actors[i]
        x, facing = actor.at(index)
        foot_x, foot_y = np.array([x, actor.ground]) * self._scale - camera_xy
        return self._figures[i].place(
            actor.gait.stance(actor.phase_at(index, self._phases[i])), (foot_x, foot_y), facing
        )

    def _shadow(self, image: Image, i: int, index: int, camera_xy: DoubleArray) -> None:
        """A soft dark ellipse under the feet."""
        actor = self._stage.actors[i]
        centre = np.array([actor.at(index)[0], actor.ground]) * self._scale - camera_xy
        radii = np.array([0.19, 0.028]) * self._figures[i].height
        low = np.clip(np.floor(centre - radii).astype(int), 0, self._size_wh)
        high = np.clip(np.ceil(centre + radii).astype(int) + 1, 0, self._size_wh)
        x, y = np.arange(low[0], high[0]), np.arange(low[1], high[1])[:, None]
        away = ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2
        window = image[low[1] : high[1], low[0] : high[0]]
        window[...] = window * (1 - 0.5 * np.clip(1 - away, 0, 1))[..., None]

    def _people(self, shot: _Shot) -> People:
        keypoints = np.stack([place.keypoints for place in shot.places])
        inside, nearest = self._nearest_ranks(shot.surfaces, keypoints)
        seen = inside.any(axis=1)
        return People(
            keypoints=keypoints[seen],
            visible=(inside & (nearest >= self._ranks[:, None]))[seen],
            boxes=clip_boxes(np.stack([place.box for place in shot.places]), self._size_wh)[seen],
            track_ids=1 + np.flatnonzero(seen),
            depth_ranks=self._ranks[seen],
        )

    def _nearest_ranks(self, surfaces: npt.NDArray[np.int16], keypoints: FloatArray) -> tuple[BoolArray, IntArray]:
        """Which keypoints (N, 17) are inside the picture, and the depth rank of the person seen there."""
        pixels = np.rint(keypoints).astype(np.int64)
        limit = np.array(self._size_wh)
        inside = np.logical_and.reduce((pixels >= 0) & (pixels < limit), axis=2)
        columns, rows = np.moveaxis(np.clip(pixels, 0, limit - 1), 2, 0)
        actor_or_none = (surfaces[rows, columns].astype(np.int64) - 1) // NUM_PARTS
        # The background has row −1: the last entry, farther than everybody.
        return inside, np.append(self._ranks, len(self._ranks))[actor_or_none]


def _true_flow(previous: _Shot, shot: _Shot) -> FloatArray:
    """Motion (H, W, 2) of what is seen at each pixel of the previous frame; exactly 0 if that is this one."""
    flow = np.zeros((*previous.surfaces.shape, 2), np.float32)
    if previous is shot:
        return flow
    flow += (previous.camera_xy - shot.camera_xy).astype(np.float32)
    rows, columns = np.nonzero(previous.surfaces)
    old = np.concatenate([place.maps for place in previous.places])
    new = np.concatenate([place.maps for place in shot.places])
    linear = new[:, :, :2] @ np.linalg.inv(old[:, :, :2])
    offset = new[:, :, 2] - (linear @ old[:, :, 2:])[..., 0]
    part = previous.surfaces[rows, columns] - 1
    across, down = (linear - np.eye(2))[part].transpose(2, 0, 1)
    flow[rows, columns] = across * columns[:, None] + down * rows[:, None] + offset[part]
    return flow
