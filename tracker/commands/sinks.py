"""Where tracked frames go: overlay video, results file, live window."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tracker.formats import Header, ResultWriter, open_writer
from tracker.pipeline import StageTimes
from tracker.types import Frame, TrackedPoses
from tracker.video.overlay import OverlayRenderer
from tracker.video.window import LiveWindow, window_problem
from tracker.video.writer import VideoWriter

if TYPE_CHECKING:
    from fractions import Fraction


class Sinks:
    """The outputs of one run, a context manager: left without an error, the files are moved into place.

    output, poses: files to write, or None. poses_format: None to go by the suffix. confirmed_only: leave others out of
    the poses file. show: open a live window, or say why there is none.
    """

    def __init__(
        self,
        *,
        output: Path | None,
        poses: Path | None,
        poses_format: str | None,
        confirmed_only: bool,
        show: bool,
        fps: Fraction | None,
        header: Header,
        overlay: OverlayRenderer,
        times: StageTimes,
    ) -> None:
        self._stack = ExitStack()
        self._window = _open_window(header.source) if show else None
        self._video = VideoWriter(output, fps=fps) if output else None
        self._results: ResultWriter | None = open_writer(poses, header, poses_format) if poses else None
        self._confirmed_only = confirmed_only
        self._overlay = overlay
        self._times = times

    def __enter__(self) -> Self:
        for sink in (self._video, self._results, self._window):
            if sink is not None:
                self._stack.enter_context(sink)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def write(self, frame: Frame, tracked: TrackedPoses, frames_per_s: float) -> bool:
        """Hand a frame to every output; False when the user closed the window."""
        if self._results:
            with self._times.measure("write"):
                self._results.write(frame, tracked[tracked.confirmed] if self._confirmed_only else tracked)
        if not self._video and not self._window:
            return True
        with self._times.measure("draw"):
            picture = self._overlay.draw(frame.image, tracked, time_s=frame.time_s, frames_per_s=frames_per_s)
        if self._video:
            with self._times.measure("encode"):
                self._video.write(picture, frame.time_s)
        return self._window.show(picture) if self._window else True


def _open_window(title: str) -> LiveWindow | None:
    problem = window_problem()
    if problem is None:
        return LiveWindow(title)
    print(f"no live window: {problem}; going on without it", file=sys.stderr)
    return None
