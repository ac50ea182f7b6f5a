"""What happens in each of the scenes: who walks where, how, and before which camera.

Lengths and speeds are in lines of a 720-line picture, whatever the size it is rendered at: a speed of 60 is 60 pixels
per frame at 1280x720 and 30 at 640x360.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from tracker.scenes.backdrop import HORIZON
from tracker.scenes.figures import EXERCISE, FLAP, RUN, STAND, WALK, Gait
from tracker.types import DoubleArray

# Moments, rising, and a number at each; between them it changes evenly.
Knots: TypeAlias = tuple[tuple[float, float], ...]


def _between(knots: Knots, moment: float) -> float:
    moments, values = np.array(knots).T
    return float(np.interp(moment, moments, values))


@dataclass(frozen=True)
class Actor:
    """A person of a scene, in lines of a 720-line picture.

    x: of the hips at frame 0. ground: row of the feet; perspective makes those lower in the picture larger
    and nearer. speed: per frame, negative to the left. between: the x at which walkers turn round. turn:
    radians by which the body faces the camera, 0 is a profile. phase: of the gait at frame 0, None for a
    random one. coat: see `Figure`. route: moments, rising, and the x at each, in place of x and speed. spin: likewise
    the radians by which the body has turned on. look: number of the clothes, None for clothes of their own.
    """

    x: float
    ground: float
    speed: float = 0.0
    gait: Gait = WALK
    between: tuple[float, float] = (-np.inf, np.inf)
    turn: float = 0.55
    phase: float | None = None
    coat: bool = False
    route: Knots = ()
    spin: Knots = ()
    look: int | None = None

    @property
    def height(self) -> float:
        """Of the body: the camera hangs at 0.81 of a body's height above the ground."""
        return 1.23 * (self.ground - HORIZON)

    def at(self, moment: float) -> tuple[float, int]:
        """Position at a 25th of a second, and the direction faced: 1 for right, −1 for left."""
        if self.route:
            return _between(self.route, moment), self._direction_of_route(moment)
        x, direction = self.x + self.speed * moment, 1 if self.speed >= 0 else -1
        low, high = self.between
        if not np.isfinite(high - low):
            return x, direction
        lap, way = divmod(x - low, high - low)
        turned = int(lap) % 2 == 1
        return (high - way, -direction) if turned else (low + way, direction)

    def phase_at(self, moment: float, start: float) -> float:
        """Phase of the gait at that moment, in radians."""
        per_frame = self.gait.cadence + 2 * np.pi * abs(self.speed) / (self.gait.stride * self.height)
        walked = 2 * np.pi * self._way_of_route(moment) / (self.gait.stride * self.height)
        return start + per_frame * moment + walked

    def spin_at(self, moment: float) -> float:
        """By how many radians the body has turned on."""
        return _between(self.spin, moment) if self.spin else 0.0

    def _direction_of_route(self, moment: float) -> int:
        """That of the last step, however long ago; of the first before it."""
        steps = np.diff([x for _, x in self.route])
        begun = [step for (start, _), step in zip(self.route, steps, strict=False) if step and start <= moment]
        return -1 if (begun[-1] if begun else steps[steps != 0][0]) < 0 else 1

    def _way_of_route(self, moment: float) -> float:
        if not self.route:
            return 0.0
        moments, places = np.array(self.route).T
        return float(np.interp(moment, moments, np.cumsum(np.abs(np.diff(places, prepend=places[:1])))))


@dataclass(frozen=True)
class Camera:
    """A camera that swings about its place: `reach_xy` to both sides, `cycles_xy` times per frame.

    route_x, route_y: moments, rising, and where it looks at each, beside.
    """

    reach_xy: tuple[float, float] = (0.0, 0.0)
    cycles_xy: tuple[float, float] = (0.0, 0.0)
    route_x: Knots = ()
    route_y: Knots = ()

    @property
    def farthest_xy(self) -> DoubleArray:
        """How far from its place it ever looks, (2,)."""
        routes = [max((abs(place) for _, place in route), default=0.0) for route in (self.route_x, self.route_y)]
        return np.array(self.reach_xy) + routes

    def at(self, moment: float) -> DoubleArray:
        """Where the camera looks, (2,), from its place."""
        swing = np.array(self.reach_xy) * np.sin(2 * np.pi * np.array(self.cycles_xy) * moment)
        return swing + [_between(route, moment) if route else 0.0 for route in (self.route_x, self.route_y)]


@dataclass(frozen=True)
class Pillar:
    """Something as high as the picture that hides who walks behind it; the numbers are those of `Actor`."""

    x: float
    ground: float
    width: float


@dataclass(frozen=True)
class Stage:
    """The people of a scene, its camera, and what they walk behind."""

    actors: tuple[Actor, ...]
    camera: Camera = Camera()
    pillars: tuple[Pillar, ...] = ()


# A hand-held camera that drifts a little; used where the scene is about something else.
DRIFT = Camera((16, 5), (1 / 90, 1 / 70))


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
        DRIFT,
    )


def _hidden(width: float) -> Stage:
    """Somebody in a coat overtakes a smaller person, who is hidden for ten frames and more."""
    return Stage(
        (
            Actor(0.14 * width, 715, 13.5, between=_outside(width), turn=0.9, coat=True),
            Actor(0.29 * width, 535, 8, between=_outside(width), turn=0.3),
        ),
        DRIFT,
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
        DRIFT,
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
    return Stage((*walkers, *standing), DRIFT)


def crowd_of(num_people: int) -> Callable[[float], Stage]:
    """So many people near and far, who walk both ways."""

    def stage(width: float) -> Stage:
        grounds = [450 + 250 * (i + 0.5) / num_people for i in range(num_people)]
        actors = (
            Actor(
                (0.1 + 0.618 * i) % 0.9 * width + 0.05 * width,
                ground,
                (-1) ** i * 0.028 * 1.23 * (ground - HORIZON),
                between=(0.03 * width, 0.97 * width),
            )
            for i, ground in enumerate(grounds)
        )
        return Stage(tuple(actors), DRIFT)

    return stage


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
    {stage.__name__[1:]: stage for stage in (_crossing, _hidden, _fast, _leaving, _pan, _crowd, _exercise, _shake)}
)
