"""Stylised people made of textured parts: how they look, how they walk, and where each part is in a picture.

A figure is a three-dimensional stick body in a gait, seen from the side or from the front without
perspective. Each of its parts is a flat sprite that an affine map puts into the picture. Body lengths are fractions of
the figure's height.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from tracker.types import BoolArray, DoubleArray, FloatArray, Image

# --- gaits ---


def _hanging() -> DoubleArray:
    return np.zeros(2)


@dataclass(frozen=True, eq=False)
class Stance:
    """Angles of the body in radians; arrays (2,) are left and right, 0 is hanging straight down.

    swings are forward, bends fold the knee backwards and the elbow forwards, lifts are sideways.
    """

    lean: float = 0.0
    leg_swings: DoubleArray = field(default_factory=_hanging)
    knee_bends: DoubleArray = field(default_factory=_hanging)
    leg_lifts: DoubleArray = field(default_factory=_hanging)
    arm_swings: DoubleArray = field(default_factory=_hanging)
    elbow_bends: DoubleArray = field(default_factory=_hanging)
    arm_lifts: DoubleArray = field(default_factory=_hanging)


@dataclass(frozen=True)
class Gait:
    """A periodic movement.

    stance: the angles at a phase in radians. stride: body heights covered in one period, infinite for a
    movement on the spot. cadence: radians per frame that pass without covering any ground.
    """

    stance: Callable[[float], Stance]
    stride: float
    cadence: float = 0.0


def _both_sides(phase: float) -> tuple[DoubleArray, DoubleArray]:
    """Sine and cosine of the phase for left and right, half a period apart."""
    phases = phase + np.array([0, np.pi])
    return np.sin(phases), np.cos(phases)


def _walking(phase: float) -> Stance:
    sine, cosine = _both_sides(phase)
    return Stance(
        lean=0.04,
        leg_swings=0.06 + 0.42 * sine,
        knee_bends=0.12 + 0.8 * np.maximum(cosine, 0) ** 1.5,
        arm_swings=-0.4 * sine,
        elbow_bends=0.35 + 0.25 * np.maximum(-sine, 0),
        arm_lifts=np.full(2, 0.1),
    )


def _running(phase: float) -> Stance:
    sine, cosine = _both_sides(phase)
    return Stance(
        lean=0.2,
        leg_swings=0.25 + 0.75 * sine,
        knee_bends=0.35 + 1.4 * np.maximum(cosine, 0),
        arm_swings=-0.1 - 0.75 * sine,
        elbow_bends=np.full(2, 1.5),
        arm_lifts=np.full(2, 0.15),
    )


def _standing(phase: float) -> Stance:
    sine, _ = _both_sides(phase)
    return Stance(
        lean=0.02 * float(sine[0]),
        leg_swings=0.02 * sine,
        knee_bends=np.full(2, 0.05),
        leg_lifts=np.full(2, 0.05),
        arm_swings=0.05 + 0.06 * sine,
        elbow_bends=0.3 + 0.1 * sine,
        arm_lifts=np.full(2, 0.16),
    )


def _exercising(phase: float) -> Stance:
    raised = (1 - np.cos(phase)) / 2
    return Stance(
        leg_lifts=np.full(2, 0.12),
        elbow_bends=np.full(2, 0.1),
        arm_lifts=np.full(2, 0.2 + 1.3 * raised),
    )


WALK = Gait(_walking, stride=0.82)
RUN = Gait(_running, stride=1.5)
STAND = Gait(_standing, stride=np.inf, cadence=0.12)
# Arms from hanging to horizontal and back; the second one so fast that each frame looks unlike the last.
EXERCISE = Gait(_exercising, stride=np.inf, cadence=0.5)
FLAP = Gait(_exercising, stride=np.inf, cadence=2.2)

# --- the body ---

_THIGH, _SHIN, _FOOT, _TORSO, _UPPER_ARM, _FOREARM = 0.245, 0.235, 0.1, 0.29, 0.165, 0.145
_ANKLE_HEIGHT, _TOE_HEIGHT = 0.045, 0.016
_SIDEWAYS = np.array([[0, 0, 1.0], [0, 0, -1.0]])
# Nose, eyes and ears from the middle of the head: forward, up, left.
_FACE = np.array(
    [
        [0.052, -0.008, 0],
        [0.036, 0.012, 0.022],
        [0.036, 0.012, -0.022],
        [-0.004, 0, 0.046],
        [-0.004, 0, -0.046],
    ]
)

# Rows of the joints beyond COCO's 17.
_MID_HIP, _NECK, _HEAD, _TOES = 17, 18, 19, (20, 21)
_NUM_KEYPOINTS = 17

# Ends of the limbs, left before right, and their lengths; the parts after them are the head and the torso.
_LIMB_JOINTS = np.array([[15, 20], [13, 15], [11, 13], [7, 9], [5, 7], [16, 21], [14, 16], [12, 14], [8, 10], [6, 8]])
_LIMB_LENGTHS = np.array([_FOOT, _SHIN, _THIGH, _FOREARM, _UPPER_ARM] * 2)
_LEGS, _ARMS = ((0, 1, 2), (5, 6, 7)), ((3, 4), (8, 9))
_HEAD_PART, _TORSO_PART = 10, 11


def _towards(swings: DoubleArray, lifts: DoubleArray) -> DoubleArray:
    """Unit vectors (2, 3), forward, up and left, of a left and a right limb at these angles."""
    down = np.cos(lifts)
    return np.stack([np.sin(swings) * down, -np.cos(swings) * down, np.sin(lifts) * [1, -1]], axis=1)


def _joints(stance: Stance) -> DoubleArray:
    """Joints (22, 3) of a standing body: forward, up and left of the point of the ground below its hips."""
    upwards = np.array([np.sin(stance.lean), np.cos(stance.lean), 0])
    shin_swings = stance.leg_swings - stance.knee_bends
    hips = 0.05 * _SIDEWAYS
    knees = hips + _THIGH * _towards(stance.leg_swings, stance.leg_lifts)
    ankles = knees + _SHIN * _towards(shin_swings, stance.leg_lifts)
    toes = ankles + _FOOT * _towards(1.4 + 0.6 * shin_swings, np.full(2, 0.15))
    neck = _TORSO * upwards
    head = neck + 0.122 * upwards
    shoulders = neck + 0.1 * _SIDEWAYS
    elbows = shoulders + _UPPER_ARM * _towards(stance.arm_swings, stance.arm_lifts)
    wrists = elbows + _FOREARM * _towards(stance.arm_swings + stance.elbow_bends, stance.arm_lifts)
    joints = np.concatenate(
        [head + _FACE, shoulders, elbows, wrists, hips, knees, ankles, [[0, 0, 0], neck, head], toes]
    )
    joints[:, 1] -= min((ankles[:, 1] - _ANKLE_HEIGHT).min(), (toes[:, 1] - _TOE_HEIGHT).min())
    return joints


STANDING: DoubleArray = _joints(STAND.stance(0))[:_NUM_KEYPOINTS, [2, 1]] * [1, -1]
"""Keypoints (17, 2) of somebody who faces the camera: body lengths, from the point of the ground below the hips."""

# --- looks ---


@dataclass(frozen=True)
class Look:
    """What tells one figure from another: BGR colours in 0–255."""

    skin: DoubleArray
    hair: DoubleArray
    shirt: DoubleArray
    trousers: DoubleArray


def _bgr(hue: float, saturation: float, value: float) -> DoubleArray:
    return 255 * np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value)[::-1])


def make_look(index: int, rng: np.random.Generator) -> Look:
    """The look of the figure of that number; the next number gets a shirt of another hue."""
    tone = rng.uniform(0, 1)
    return Look(
        skin=(1 - tone) * np.array([166.0, 194, 232]) + tone * np.array([66.0, 92, 141]),
        hair=_bgr(rng.uniform(0.04, 0.1), rng.uniform(0.3, 0.75), rng.uniform(0.12, 0.5)),
        shirt=_bgr(0.58 + 0.381966 * index + rng.uniform(-0.03, 0.03), rng.uniform(0.6, 0.8), rng.uniform(0.65, 0.85)),
        trousers=_bgr(rng.uniform(0.55, 0.7), rng.uniform(0.15, 0.6), rng.uniform(0.22, 0.5)),
    )


# --- sprites ---

# The colours (…, 3) of a part at places (across, along) of the body.
Colouring = Callable[[DoubleArray, DoubleArray], DoubleArray]


@dataclass(frozen=True, eq=False)
class Sprite:
    """A part as a flat picture.

    texture: (h, w, 4) uint8, BGR multiplied by alpha, and alpha. outline: (P, 2) body lengths.
    to_body: (3, 3), from pixels of the texture to body lengths.
    """

    texture: Image
    outline: DoubleArray
    to_body: DoubleArray


def _plain(colour: DoubleArray) -> Colouring:
    return lambda x, y: np.broadcast_to(colour, (*x.shape, 3))


def _striped(colour: DoubleArray) -> Colouring:
    """With soft white stripes across."""
    return lambda x, y: colour + (225 - colour) * (0.5 + 0.5 * np.tanh(2.5 * np.sin(2 * np.pi * y / 0.056)))[..., None]


def _until(limit: float, upper: Colouring, lower: Colouring) -> Colouring:
    """One colouring where a limb is nearer than `limit` to its upper end, another one beyond."""
    return lambda x, y: np.where((y < limit)[..., None], upper(x, y), lower(x, y))


def _sprite(outline: DoubleArray, colouring: Colouring, scale: float, rng: np.random.Generator) -> Sprite:
    """The part inside an outline, woven, with darker rims; `scale` is pixels per body height."""
    low = outline.min(axis=0) - 2 / scale
    width, height = np.ceil((np.ptp(outline, axis=0)) * scale).astype(int) + 4
    alpha = np.zeros((height, width), np.uint8)
    cv2.fillPoly(alpha, [np.rint((outline - low) * scale * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    x, y = np.meshgrid(low[0] + np.arange(width) / scale, low[1] + np.arange(height) / scale)
    depth = cv2.distanceTransform((alpha > 0).astype(np.uint8), cv2.DIST_L2, 3)
    shade = 0.7 + 0.34 * np.minimum(depth / (0.9 * depth.max()), 1) ** 0.7
    grain = max(0.8, scale / 260)
    # Blurring divides the deviation of white noise by 2√π × sigma: of these threads it is 6 grey levels.
    threads = cv2.GaussianBlur(rng.normal(0, 21 * grain, (height, width)), (0, 0), grain)
    colour = np.clip(colouring(x, y) * shade[..., None] + threads[..., None], 0, 255)
    texture = np.dstack([colour * (alpha[..., None] / 255), alpha])
    to_body = np.array([[1 / scale, 0, low[0]], [0, 1 / scale, low[1]], [0, 0, 1]])
    return Sprite(np.rint(texture).astype(np.uint8), outline, to_body)


def _capsule(length: float, start_radius: float, end_radius: float) -> DoubleArray:
    """Outline (P, 2) of a limb along the y axis with round ends."""
    angles = np.linspace(0, np.pi, 12)
    arc = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.concatenate([-start_radius * arc, end_radius * arc + [0, length]])


def _symmetric(widths: Sequence[tuple[float, float]], breadth: float) -> DoubleArray:
    """Outline (P, 2) of a shape along the y axis, from pairs of y and half width × breadth."""
    right = np.array(widths)[:, ::-1] * [breadth, 1]
    return np.concatenate([right, (right * [-1, 1])[::-1]])


_SHIRT = ((-0.07, 0.097), (0.1, 0.082), (0.2, 0.1), (0.262, 0.104), (0.3, 0.085), (0.33, 0.034))
_COAT = ((-0.24, 0.135), (-0.1, 0.12), *_SHIRT[1:])
_HEAD_OUTLINE = _symmetric(((-0.07, 0.015), (-0.05, 0.042), (0, 0.056), (0.05, 0.04), (0.08, 0.03), (0.12, 0.034)), 1.0)


def _head_colouring(look: Look, turn: float) -> Colouring:
    """Hair, face, eyes and neck of a head in a view `turn` radians off the profile; from behind hair and neck."""
    eyes = _FACE[1:3] @ np.array([[np.cos(turn), 0], [0, -1], [np.sin(turn), 0]])

    def colour(x: DoubleArray, y: DoubleArray) -> DoubleArray:
        def inside(centre: npt.ArrayLike, radii: tuple[float, float]) -> BoolArray:
            cx, cy = np.asarray(centre)
            return (((x - cx) / radii[0]) ** 2 + ((y - cy) / radii[1]) ** 2 < 1)[..., None]

        neck = (y > 0.05)[..., None]
        face = inside((0.022 * np.cos(turn), 0.022), (0.047, 0.062)) | neck
        picture = np.where(neck if np.sin(turn) < 0 else face, look.skin, look.hair)
        for eye in eyes if np.sin(turn) >= 0 else ():
            picture = np.where(inside(eye, (0.0085, 0.0055)), [228.0, 232, 236], picture)
            picture = np.where(inside(eye, (0.0052, 0.0055)), [48.0, 36, 30], picture)
        return picture

    return colour


# --- the figure ---

# Heads of those who turn round are drawn in steps of so many radians.
_HEAD_STEP = np.pi / 8


def _torso_share(turn: float) -> float:
    """How broad a torso is at a turn: a chest is about 0.65 as deep as it is wide."""
    return float(np.hypot(np.sin(turn), 0.65 * np.cos(turn)))


@dataclass(frozen=True, eq=False)
class Placement:
    """Where a figure is in one picture.

    maps: (12, 2, 3), from body lengths of each part to pixels. keypoints: (17, 2) float32 pixels, in
    COCO's order. box: (4,) float32 xyxy pixels around the whole figure, also outside the picture.
    order: the parts from the farthest to the nearest one. head: its view.
    """

    maps: DoubleArray
    keypoints: FloatArray
    box: FloatArray
    order: tuple[int, ...]
    head: Sprite


class Figure:
    """A person of some look and size.

    height: of the body, in pixels. turn: angle in radians by which it faces the camera, 0 for a profile.
    coat: broad, and in one down to the knees.
    """

    def __init__(
        self,
        look: Look,
        height: float,
        *,
        turn: float,
        rng: np.random.Generator,
        coat: bool = False,
    ) -> None:
        self.height = height
        self._look, self._turn = look, turn
        self._sprites = [_sprite(*shape, height, rng) for shape in _part_shapes(look, turn, coat)]
        self._heads = {0: self._sprites[_HEAD_PART]}

    def place(self, stance: Stance, foot_xy: tuple[float, float], facing: int, spin: float = 0.0) -> Placement:
        """The figure in a stance, its hips above a point of the ground in pixels.

        facing: 1 to the right of the picture, −1 to the left. spin: by how many radians it has turned on from there,
        first towards the camera, from half a turn on away from it.
        """
        joints, turn = _joints(stance), self._turn + spin
        forward, sideways = facing * np.cos(turn), np.sin(turn)
        across = joints[:, 0] * forward + joints[:, 2] * sideways
        points = np.stack([across, -joints[:, 1]], axis=1) * self.height + foot_xy
        maps = self._part_maps(points, facing)
        maps[_TORSO_PART, :, 0] *= _torso_share(turn) / _torso_share(self._turn)
        near = 1 if forward > 0 else 0
        order = (*_ARMS[1 - near], *_LEGS[1 - near], *_LEGS[near], _HEAD_PART, _TORSO_PART, *_ARMS[near])
        keypoints = points[:_NUM_KEYPOINTS].astype(np.float32)
        return Placement(maps, keypoints, self._box(maps), order, self._head(spin))

    def paint(self, image: Image, seen: npt.NDArray[np.int16], place: Placement, label: int) -> None:
        """Draw into an image (H, W, 3), and write the label where the figure is (H, W)."""
        for part in place.order:
            sprite = place.head if part == _HEAD_PART else self._sprites[part]
            paint_sprite(image, seen, sprite, place.maps[part], label)

    def _head(self, spin: float) -> Sprite:
        """The head in the view nearest to a spin."""
        view = round(spin / _HEAD_STEP)
        if view not in self._heads:
            colouring = _head_colouring(self._look, self._turn + view * _HEAD_STEP)
            self._heads[view] = _sprite(_HEAD_OUTLINE, colouring, self.height, np.random.default_rng(view % 2**16))
        return self._heads[view]

    def _part_maps(self, points: DoubleArray, facing: int) -> DoubleArray:
        maps = np.empty((12, 2, 3))
        ends = np.concatenate([_LIMB_JOINTS, [[_MID_HIP, _NECK]]])
        lengths = np.append(_LIMB_LENGTHS, _TORSO)
        limbs = [*range(_HEAD_PART), _TORSO_PART]
        along = points[ends[:, 1]] - points[ends[:, 0]]
        size = np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6)
        maps[limbs, :, 0] = along[:, ::-1] * [1, -1] / size * self.height
        maps[limbs, :, 1] = along / lengths[:, None]
        maps[limbs, :, 2] = points[ends[:, 0]]
        maps[_HEAD_PART] = [[facing * self.height, 0, points[_HEAD, 0]], [0, self.height, points[_HEAD, 1]]]
        return maps

    def _box(self, maps: DoubleArray) -> FloatArray:
        corners = np.concatenate([s.outline @ m[:, :2].T + m[:, 2] for s, m in zip(self._sprites, maps, strict=True)])
        return np.concatenate([corners.min(axis=0), corners.max(axis=0)]).astype(np.float32)


def _part_shapes(look: Look, turn: float, coat: bool) -> list[tuple[DoubleArray, Colouring]]:
    """Outline and colouring of each part, in the order of part numbers."""
    breadth = 1.4 if coat else 1.0
    shirt, trousers, skin = _striped(look.shirt), _plain(look.trousers), _plain(look.skin)
    limbs = [
        (_capsule(_FOOT, 0.026, 0.02), _plain(look.hair)),
        (_capsule(_SHIN, 0.041 * breadth, 0.028), trousers),
        (_capsule(_THIGH, 0.052 * breadth, 0.041 * breadth), trousers),
        (_capsule(_FOREARM + 0.035, 0.027 * breadth, 0.02), _until(_FOREARM - 0.012, shirt, skin)),
        (_capsule(_UPPER_ARM, 0.036 * breadth, 0.028 * breadth), shirt),
    ]
    torso = _symmetric(_COAT if coat else _SHIRT, breadth * _torso_share(turn))
    return [*limbs, *limbs, (_HEAD_OUTLINE, _head_colouring(look, turn)), (torso, shirt)]


def make_pillar(width: float, height: float, rng: np.random.Generator) -> Sprite:
    """A round pillar of stone whose foot's middle is the origin; pixels, body lengths are its widths."""
    corner = np.array([0.5, height / width])
    outline = corner * [[-1, -1], [1, -1], [1, 0], [-1, 0]]
    return _sprite(outline, _plain(np.array([150.0, 160, 170])), width, rng)


def paint_sprite(image: Image, seen: npt.NDArray[np.int16], sprite: Sprite, body_map: DoubleArray, label: int) -> None:
    """Draw into an image (H, W, 3) by a map (2, 3) from body lengths to pixels; write the label there (H, W)."""
    corners = sprite.outline @ body_map[:, :2].T + body_map[:, 2]
    limit = np.array(seen.shape[::-1])
    left, top = np.clip(np.floor(corners.min(axis=0)).astype(int) - 1, 0, limit)
    right, bottom = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 2, 0, limit)
    if left >= right or top >= bottom:
        return
    to_picture = body_map @ sprite.to_body
    to_picture[:, 2] -= (left, top)
    size_wh = int(right - left), int(bottom - top)
    patch = np.asarray(cv2.warpAffine(sprite.texture, to_picture, size_wh), np.uint8)
    window = np.s_[top:bottom, left:right]
    kept = (255 - patch[..., 3:]).astype(np.uint16)
    image[window] = patch[..., :3] + ((image[window] * kept + 127) // 255).astype(np.uint8)
    seen[window][patch[..., 3] > 127] = label
