"""Rendered scenes with exact truth: people who walk, cross and hide each other, with poses and ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from tracker.boxes import clip_boxes
from tracker.scenes.backdrop import HORIZON, paint_backdrop
from tracker.scenes.figures import Figure, Placement, make_look, make_pillar, paint_sprite
from tracker.scenes.scripts import SCENARIOS, Stage
from tracker.types import BoolArray, DoubleArray, FloatArray, Frame, Image, IntArray

FRAMES_PER_SECOND = 25
_LINES = 720


@dataclass(frozen=True)
class People:
    """The truth about the people of whom at least one keypoint is inside the picture; N rows.

    keypoints: (N, 17, 2) float32 pixels in COCO's order, also of hidden ones and those outside the picture.
    visible: (N, 17) bool, inside the picture and not behind a nearer person or pillar (the own body hides nothing).
    boxes: (N, 4) float32 xyxy pixels around the whole person, hidden parts too, cut to the picture.
    track_ids: (N,) int64, from 1. depth_ranks: (N,) int64, the nearest one of the scene has the lowest.
    """

    keypoints: FloatArray
    visible: BoolArray
    boxes: FloatArray
    track_ids: IntArray
    depth_ranks: IntArray

    def __len__(self) -> int:
        return len(self.track_ids)


@dataclass(frozen=True)
class SceneFrame(Frame):
    """A picture of a scene and the truth about it."""

    people: People


def render_scene(
    name: str | Callable[[float], Stage],
    size_wh: tuple[int, int] = (640, 360),
    num_frames: int = 60,
    seed: int = 0,
    fps: float = FRAMES_PER_SECOND,
) -> Iterator[SceneFrame]:
    """The frames of a scene, one by one; at another rate the same happens in the same time.

    name: a key of `SCENARIOS`, or a function like its values. seed: of the looks, the background and the phases of the
    gaits: the same arguments give the same frames. ValueError for an unknown name.
    """
    if isinstance(name, str) and name not in SCENARIOS:
        raise ValueError(f"unknown scene {name!r}; known: {', '.join(SCENARIOS)}")
    stage = SCENARIOS[name] if isinstance(name, str) else name
    return _Set(stage(size_wh[0] * _LINES / size_wh[1]), size_wh, seed).frames(num_frames, fps)


class _Set:
    """A stage with its painted backdrop and dressed figures."""

    def __init__(self, stage: Stage, size_wh: tuple[int, int], seed: int) -> None:
        self._size_wh = size_wh
        self._scale = size_wh[1] / _LINES
        self._stage = stage
        self._margin = np.ceil(stage.camera.farthest_xy * self._scale).astype(int) + 1
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
        self._pillars = [
            make_pillar(pillar.width * self._scale, float(high), np.random.default_rng([seed, 1000 + i]))
            for i, pillar in enumerate(stage.pillars)
        ]
        # Of the people, then of the pillars.
        grounds = np.array([*(actor.ground for actor in stage.actors), *(pillar.ground for pillar in stage.pillars)])
        self._ranks = np.argsort(np.argsort(-grounds, kind="stable")).astype(np.int64)

    def frames(self, num_frames: int, fps: float) -> Iterator[SceneFrame]:
        for index in range(num_frames):
            image, people = self._shoot(index * FRAMES_PER_SECOND / fps)
            yield SceneFrame(index, index / fps, image, people)

    def _dress(self, i: int, rng: np.random.Generator) -> Figure:
        actor = self._stage.actors[i]
        look = make_look(i, rng) if actor.look is None else make_look(actor.look, np.random.default_rng(actor.look))
        return Figure(look, actor.height * self._scale, turn=actor.turn, rng=rng, coat=actor.coat)

    def _shoot(self, moment: float) -> tuple[Image, People]:
        """moment: the time in 25ths of a second, by which the scripts state speeds."""
        camera_xy = self._stage.camera.at(moment) * self._scale
        image = self._background(camera_xy)
        # Who is seen at each pixel, by number from 1; 0 is the background.
        seen = np.zeros(image.shape[:2], np.int16)
        places = [self._place(i, moment, camera_xy) for i in range(len(self._figures))]
        for i in np.argsort(-self._ranks).tolist():
            if i < len(places):
                self._shadow(image, i, moment, camera_xy)
                self._figures[i].paint(image, seen, places[i], 1 + i)
            else:
                self._paint_pillar(image, seen, i - len(places), camera_xy)
        return image, self._people(seen, places)

    def _background(self, camera_xy: DoubleArray) -> Image:
        shift = np.column_stack([np.eye(2), -self._margin - camera_xy])
        return np.asarray(cv2.warpAffine(self._backdrop, shift, self._size_wh), np.uint8)

    def _place(self, i: int, moment: float, camera_xy: DoubleArray) -> Placement:
        actor = self._stage.actors[i]
        x, facing = actor.at(moment)
        foot_x, foot_y = np.array([x, actor.ground]) * self._scale - camera_xy
        return self._figures[i].place(
            actor.gait.stance(actor.phase_at(moment, self._phases[i])), (foot_x, foot_y), facing, actor.spin_at(moment)
        )

    def _paint_pillar(self, image: Image, seen: npt.NDArray[np.int16], i: int, camera_xy: DoubleArray) -> None:
        pillar = self._stage.pillars[i]
        foot_xy = np.array([pillar.x, pillar.ground]) * self._scale - camera_xy
        body_map = np.column_stack([np.eye(2) * pillar.width * self._scale, foot_xy])
        paint_sprite(image, seen, self._pillars[i], body_map, 1 + len(self._figures) + i)

    def _shadow(self, image: Image, i: int, moment: float, camera_xy: DoubleArray) -> None:
        """A soft dark ellipse under the feet."""
        actor = self._stage.actors[i]
        centre = np.array([actor.at(moment)[0], actor.ground]) * self._scale - camera_xy
        radii = np.array([0.19, 0.028]) * self._figures[i].height
        low = np.clip(np.floor(centre - radii).astype(int), 0, self._size_wh)
        high = np.clip(np.ceil(centre + radii).astype(int) + 1, 0, self._size_wh)
        x, y = np.arange(low[0], high[0]), np.arange(low[1], high[1])[:, None]
        away = ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2
        window = image[low[1] : high[1], low[0] : high[0]]
        window[...] = window * (1 - 0.5 * np.clip(1 - away, 0, 1))[..., None]

    def _people(self, seen: npt.NDArray[np.int16], places: Sequence[Placement]) -> People:
        keypoints, ranks = np.stack([place.keypoints for place in places]), self._ranks[: len(places)]
        inside, nearest = self._nearest_ranks(seen, keypoints)
        rows = inside.any(axis=1)
        return People(
            keypoints=keypoints[rows],
            visible=(inside & (nearest >= ranks[:, None]))[rows],
            boxes=clip_boxes(np.stack([place.box for place in places]), self._size_wh)[rows],
            track_ids=1 + np.flatnonzero(rows),
            depth_ranks=ranks[rows],
        )

    def _nearest_ranks(self, seen: npt.NDArray[np.int16], keypoints: FloatArray) -> tuple[BoolArray, IntArray]:
        """Which keypoints (N, 17) are inside the picture, and the depth rank of what is seen there."""
        pixels = np.rint(keypoints).astype(np.int64)
        limit = np.array(self._size_wh)
        inside = np.logical_and.reduce((pixels >= 0) & (pixels < limit), axis=2)
        columns, rows = np.moveaxis(np.clip(pixels, 0, limit - 1), 2, 0)
        # The background has row −1: the last entry, farther than everybody.
        return inside, np.append(self._ranks, len(self._ranks))[seen[rows, columns].astype(np.int64) - 1]
