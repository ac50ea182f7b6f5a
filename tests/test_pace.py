"""Which frames the detector looks at, by what was said of frames before, and by nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Generator

import numpy as np
import pytest

from tracker.flow.still import NoMotion
from tracker.pace import EXACT, LAG, SPEEDS, Pace, Schedule
from tracker.types import Frame

FAST = SPEEDS["fast"]
BALANCED = SPEEDS["balanced"]


def frames(num: int, fps: float = 25) -> Generator[Frame]:
    for index in range(num):
        yield Frame(index, index / fps, np.zeros((8, 8, 3), np.uint8))


class Still:
    is_cut = False


def looks(schedule: Schedule, calm: str, fps: float = 25, cut_at: int = -1) -> str:
    """x where it looks; calm: c for frames that are said to be calm, . for others."""
    seen = ""
    for frame, said in zip(frames(len(calm), fps), calm, strict=True):
        motion = None if frame.index == 0 else NoMotion(is_cut=True) if frame.index == cut_at else Still()
        seen += "x" if schedule.is_due(frame, motion) else "-"
        schedule.note(is_calm=said == "c")
    return seen


@pytest.mark.parametrize(
    ("pace", "calm", "fps", "expected"),
    [
        pytest.param(EXACT, "cccccccccc", 25, "xxxxxxxxxx", id="exact: always"),
        pytest.param(Pace("balanced", 0.13), "." * 10, 25, "xxxxxxxxxx", id="nobody is carried well"),
        pytest.param(Pace("balanced", 0.13), "cccccccccc", 25, "xxxx--x--x", id="calm, known so many frames later"),
        pytest.param(Pace("balanced", 0.13), "cccc.ccccc", 25, "xxxx--x-x-", id="one of them is not"),
        pytest.param(Pace("balanced", 0.13, 0.07), "." * 9, 30, "x-x-x-x-x", id="every second frame"),
        pytest.param(Pace("balanced", 0.13, 0.07), "." * 9, 60, "x---x---x", id="seconds, not frames"),
        pytest.param(FAST, "c" * 30, 30, ("x" + "-" * 11) * 2 + "x-----", id="fast"),
        pytest.param(FAST, "." * 9, 5, "xxxxxxxxx", id="fast, of few frames per second"),
    ],
)
def test_the_detector_looks_as_often_as_the_pace_says(pace: Pace, calm: str, fps: float, expected: str) -> None:
    assert looks(Schedule(pace), calm, fps) == expected


def test_it_looks_after_a_cut_and_at_every_nth_frame_at_most() -> None:
    assert looks(Schedule(FAST), "c" * 12, cut_at=7)[4:] == "---x----"
    assert looks(Schedule(EXACT, 3), "." * 8) == "x--x--x-"
    assert looks(Schedule(Pace("balanced", 0.13, 0.07), 2), "." * 8) == "x-x-x-x-"


def test_a_network_of_poses_skips_frames_for_as_long_as_poses_rest() -> None:
    assert looks(Schedule(FAST, has_boxes=False), "c" * 10) == "xxxx-x-x-x"
    assert looks(Schedule(BALANCED, has_boxes=False), "c" * 10) == "x" * 10


@pytest.mark.parametrize("fps", [10, 25, 120])
def test_births_are_seen_within_half_a_second(fps: int) -> None:
    seen = looks(Schedule(FAST), "c" * 4 * fps, fps)
    assert "-" * (fps // 2) not in seen


def test_a_run_that_has_ended_keeps_nobody_waiting() -> None:
    schedule = Schedule(FAST)
    given = list(frames(LAG + 3))
    for frame in given[:LAG]:
        schedule.is_due(frame, Still())
    schedule.close()
    assert [schedule.is_due(frame, Still()) for frame in given[LAG:]] == [False] * 3


class Clock:
    """Time that passes when it is told to."""

    now_s = 0.0

    def frames(self, num: int, wait_s: float) -> Generator[Frame]:
        """From a source that has one every so often."""
        for frame in frames(num):
            self.now_s += wait_s
            yield frame


def test_what_is_live_and_too_fast_lowers_the_work_and_raises_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("tracker.pace.time.perf_counter", lambda: clock.now_s)

    def rests(schedule: Schedule, num: int, wait_s: float) -> list[float]:
        paces = []
        for _ in schedule.keep_up(clock.frames(num, wait_s)):
            clock.now_s += 0.02
            paces.append(schedule.pace.pose_s)
        return paces

    schedule = Schedule(BALANCED)
    late = rests(schedule, 200, wait_s=0)
    assert late == sorted(late)
    assert [rest for rest, _ in itertools.groupby(late)] == [0, 0.11, 0.2, 0.3]
    assert rests(schedule, 50, wait_s=0.005) == [0.3] * 50  # enough, and no more
    assert [rest for rest, _ in itertools.groupby(rests(schedule, 200, wait_s=0.04))] == [0.3, 0.2, 0.11, 0]
    assert rests(Schedule(EXACT), 100, wait_s=0) == [0] * 100
