"""Where tracked frames go: overlay video, results file, live window."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tracker.formats import ResultWriter
from tracker.pipeline import StageTimes
from tracker.types import Frame, TrackedPoses
from tracker.video.overlay import OverlayRenderer
from tracker.video.window import LiveWindow, window_problem
from tracker.video.writer import PictureWriter, VideoWriter, is_picture

if TYPE_CHECKING:
    from fractions import Fraction


class Sinks:
    """The outputs of one run, a context manager: left without an error, the files are moved into place.

    output: overlay to write, or None. results: the poses' writer, or None. confirmed_only: leave others out of the
    poses. show: open a live window of that title, or say why there is none.
    """

    def __init__(
        self,
        *,
        output: Path | None,
        results: ResultWriter | None,
        confirmed_only: bool,
        show: bool,
        fps: Fraction | None,
        title: str,
        overlay: OverlayRenderer,
        times: StageTimes,
    ) -> None:
        self._stack = ExitStack()
        self._window = _open_window(title) if show else None
        self._drawing = _open_drawing(output, fps) if output else None
        self._results = results
        self._confirmed_only = confirmed_only
        self._overlay = overlay
        self._times = times

    def __enter__(self) -> Self:
        for sink in (self._drawing, self._results, self._window):
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
        if not self._drawing and not self._window:
            return True
        with self._times.measure("draw"):
            picture = self._overlay.draw(frame.image, tracked, time_s=frame.time_s, frames_per_s=frames_per_s)
        if self._drawing:
            with self._times.measure("encode"):
                self._drawing.write(picture, frame.time_s)
        return self._window.show(picture) if self._window else True


def _open_drawing(path: Path, fps: Fraction | None) -> VideoWriter | PictureWriter:
    return PictureWriter(path) if is_picture(path) else VideoWriter(path, fps=fps)


def _open_window(title: str) -> LiveWindow | None:
    problem = window_problem()
    if problem is None:
        return LiveWindow(title)
    print(f"no live window: {problem}; going on without it", file=sys.stderr)
    return None
