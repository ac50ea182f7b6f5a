"""Harder scenes than those of `scripts`: what they do not show. Each variant, by its seed, happens otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType

import numpy as np

from tracker.scenes.figures import RUN, STAND
from tracker.scenes.oracle import Noise, OracleEstimator
from tracker.scenes.rendering import FRAMES_PER_SECOND, SceneFrame, render_scene
from tracker.scenes.scripts import DRIFT, SCENARIOS, Actor, Camera, Knots, Pillar, Stage, crowd_of

# Variants from this one on judge settings that others were chosen by.
HELD_OUT = 1000

Rng = np.random.Generator


@dataclass(frozen=True)
class Scenario:
    """A scene, how it is filmed, and how well it is seen.

    stage: of a picture so many lines wide, drawn from the generator. moments: its length in 25ths of a second.
    """

    stage: Callable[[float, Rng], Stage]
    moments: int = 60
    fps: float = FRAMES_PER_SECOND
    noise: Noise = field(default_factory=Noise)
    size_wh: tuple[int, int] = (640, 360)

    def frames(self, seed: int, num_frames: int | None = None) -> Iterator[SceneFrame]:
        """One variant, one by one: the whole or so many frames."""
        whole = round(self.moments * self.fps / FRAMES_PER_SECOND)
        return render_scene(
            lambda width: self.stage(width, np.random.default_rng([seed, 2000])),
            self.size_wh,
            whole if num_frames is None else num_frames,
            seed,
            self.fps,
        )

    def oracle(self, seed: int) -> OracleEstimator:
        """Who sees that variant."""
        return OracleEstimator(self.noise, seed)


def _either(rng: Rng) -> int:
    return 1 if rng.random() < 0.5 else -1


def _on_or_back(rng: Rng, start: float, hidden: float, begin: float, pause: float) -> Knots:
    """Walk from a place to a hidden one, stay there for a while, and walk on or back."""
    arrival = 24.0
    end = hidden + _either(rng) * abs(hidden - start)
    return (
        (0.0, start),
        (begin + arrival, hidden),
        (begin + arrival + pause, hidden),
        (begin + 2 * arrival + pause, end),
    )


def _lost_pan(width: float, rng: Rng) -> Stage:
    """The camera pans while somebody stands behind a pillar, out of reach of the place where they were lost."""
    way = _either(rng)
    pillar = 0.5 * width + way * 180
    hider = Actor(0, 485, turn=0.7, route=_on_or_back(rng, pillar - 210, pillar, 0, 26))
    others = (
        Actor(pillar + way * 420, 560, gait=STAND, turn=1.1),
        Actor(pillar + way * 760, 590, -way * 5, turn=0.6),
    )
    pan = ((0.0, 0.0), (28.0, 0.0), (50.0, way * rng.uniform(500, 580)))
    return Stage((hider, *others), Camera((6, 4), (1 / 90, 1 / 70), route_x=pan), (Pillar(pillar, 640, 220),))


def _lost_shake(width: float, rng: Rng) -> Stage:
    """The camera shakes after two have gone behind pillars; a third walks on."""
    hiders = tuple(
        Actor(0, ground, turn=0.7, route=_on_or_back(rng, x * width - way * 210, x * width, begin, rng.uniform(14, 30)))
        for x, ground, way, begin in ((0.3, 540, 1, 0), (0.68, 530, -1, 4))
    )
    moments = np.arange(26.0, 90, 2)
    jolts = rng.normal(0, (55, 30), (len(moments), 2)).clip(-130, 130).T
    route_x, route_y = ((((24.0, 0.0), *zip(moments.tolist(), axis.tolist(), strict=True))) for axis in jolts)
    pillars = tuple(Pillar(x * width, 650, 210) for x in (0.3, 0.68))
    return Stage((*hiders, Actor(60, 680, 10, turn=0.8)), Camera(route_x=route_x, route_y=route_y), pillars)


def _turning(width: float, rng: Rng) -> Stage:
    """Two turn round on the spot close to each other, two walk past and turn round on their way."""
    starts = rng.uniform(0, 20, 4)
    spins = [((start, 0.0), (start + 55, _either(rng) * 2 * np.pi)) for start in starts.tolist()]
    ways = [
        ((0.0, x * width), (start + 25, 0.5 * width), (start + 35, 0.5 * width), (start + 70, (1 - x) * width))
        for x, start in zip((0.15, 0.85), starts[2:].tolist(), strict=True)
    ]
    spinners = tuple(
        Actor((0.5 + 0.06 * side) * width, ground, gait=STAND, turn=1.2, spin=spin)
        for side, ground, spin in ((-1, 560, spins[0]), (1, 572, spins[1]))
    )
    walkers = tuple(
        Actor(0, ground, turn=0.5, route=way, spin=spin)
        for ground, way, spin in zip((640, 605), ways, spins[2:], strict=True)
    )
    return Stage((*spinners, *walkers), DRIFT)


def _behind_pillars(width: float, rng: Rng, looks: tuple[int, int, int, int]) -> Stage:
    """Two pairs, each of one size, meet behind a pillar each and stay for a while: one goes on, the other back.

    looks: numbers of their clothes, pair by pair.
    """
    actors, goes_on = [], _either(rng)
    for pair, place in ((1, 0.27 * width), (-1, 0.73 * width)):
        pause, first = rng.uniform(0, 20), _either(rng)
        for side, ground, look in zip((first, -first), (540, 546), looks[1 - pair :][:2], strict=True):
            end = place + side * goes_on * pair * 260
            arrives, leaves = (27.0, place - side * 20), (27 + pause, place + side * 20)
            route = ((0.0, place - side * 260), arrives, leaves, (54 + pause, end))
            actors.append(Actor(0, ground, turn=0.6, look=look, route=route))
    return Stage(tuple(actors), DRIFT, (Pillar(0.27 * width, 640, 260), Pillar(0.73 * width, 640, 260)))


def _ten(width: float, rng: Rng) -> Stage:
    """Ten leave the picture on both sides and come back at other times."""
    actors = []
    for i in range(10):
        side, ground = (-1) ** i, 480 + 22 * i
        start, outside = width * rng.uniform(0.3, 0.7), (-160 if side < 0 else width + 160)
        leaves, away = rng.uniform(4, 30), rng.uniform(10, 90)
        speed = 0.032 * 1.23 * (ground - 300)
        goes = abs(outside - start) / speed
        route = (
            (leaves, start),
            (leaves + goes, float(outside)),
            (leaves + goes + away, float(outside)),
            (leaves + 2 * goes + away, start),
        )
        actors.append(Actor(0, ground, turn=0.6, route=route))
    return Stage(tuple(actors), DRIFT)


def _few_frames(width: float, rng: Rng) -> Stage:
    """Six people near and far walk both ways before a slow camera."""
    shift = rng.uniform(0, 0.2) * width
    crowd = crowd_of(6)(width)
    return replace(crowd, actors=tuple(replace(actor, x=actor.x * 0.8 + shift) for actor in crowd.actors))


def _many_frames(width: float, rng: Rng) -> Stage:
    """Three run past two who walk, before a fast camera."""
    way = (-260.0, width + 260)
    speeds = rng.uniform(25, 50, 3) * (1, -1, 1)
    runners = tuple(
        Actor(0.5 * width - 12 * speed, ground, speed, RUN, between=way)
        for speed, ground in zip(speeds.tolist(), (690, 660, 625), strict=True)
    )
    return Stage((*runners, Actor(0.3 * width, 600, 9), Actor(0.7 * width, 570, -8)), DRIFT)


def _low(width: float, rng: Rng) -> Stage:
    """A crowd whom the detector sees badly, and people whom it makes up."""
    crowd = crowd_of(12)(width)
    return replace(crowd, actors=tuple(replace(actor, x=actor.x + rng.uniform(-30, 30)) for actor in crowd.actors))


def _long(width: float, rng: Rng) -> Stage:
    """Four walk to and fro, out of the picture and in again, past a pillar, for minutes."""
    actors = tuple(
        Actor(rng.uniform(0, width), 500 + 40 * i, _either(rng) * rng.uniform(5, 12), between=(-250 - 90 * i, far))
        for i, far in enumerate(width + rng.uniform(260, 600, 4))
    )
    return Stage(actors, Camera((90, 8), (1 / 400, 1 / 70)), (Pillar(0.4 * width, 640, 200),))


USUAL: Mapping[str, Scenario] = MappingProxyType(
    {name: Scenario(lambda width, _, stage=stage: stage(width)) for name, stage in SCENARIOS.items()}  # type: ignore[misc]
)
HARD: Mapping[str, Scenario] = MappingProxyType(
    {
        "lost-pan": Scenario(_lost_pan, 100),
        "lost-shake": Scenario(_lost_shake, 90, noise=Noise(miss_rate=0.12)),
        "turning": Scenario(_turning, 90, noise=Noise(exchange_rate=0.5)),
        "unlike": Scenario(partial(_behind_pillars, looks=(0, 1, 2, 3)), 80),
        "alike": Scenario(partial(_behind_pillars, looks=(0, 0, 3, 3)), 80),
        "ten": Scenario(_ten, 200),
        "5-fps": Scenario(_few_frames, 300, fps=5),
        "120-fps": Scenario(_many_frames, 50, fps=120),
        "low": Scenario(_low, 75, noise=Noise(low_rate=0.25, false_people=1.5)),
    }
)
LONG: Mapping[str, Scenario] = MappingProxyType({"long": Scenario(_long, 5000, size_wh=(320, 180))})
SETS: Mapping[str, Mapping[str, Scenario]] = MappingProxyType({"usual": USUAL, "hard": HARD, "long": LONG})
