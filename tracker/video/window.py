"""The live window of `--show`, and whether this machine can open one."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import cv2

from tracker.types import Image

_PROBE = "import cv2; cv2.namedWindow('probe'); cv2.waitKey(1); cv2.destroyAllWindows()"
_PROBE_TIMEOUT_S = 20.0

# A 4K window would not fit on most screens; the user may pull it larger.
_MAX_WINDOW_WH = (1280, 720)

_ESCAPE = 27
_PAUSED_WAIT_MS = 30


def window_problem() -> str | None:
    """Why no window can be opened here, in a few words; None if one can.

    Asks a child process, because OpenCV's windows end the process that opens one without a display.
    """
    loaded = list(sys.modules)
    if "av" in loaded[: loaded.index("cv2")]:  # both bring X11's libraries along
        return "PyAV was imported before OpenCV, whose windows hang then; import cv2, or tracker.video, first"
    try:
        probe = subprocess.run(
            [sys.executable, "-c", _PROBE],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PROBE_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "the display does not answer"
    if probe.returncode == 0:
        return None
    if re.search(r"not implemented|Rebuild the library", probe.stderr):
        return "this OpenCV is built without windows; install opencv-python, not opencv-python-headless"
    return "this machine has no display"


class LiveWindow:
    """A window with the newest picture; q, Esc or the close button quit, space pauses, s saves a picture.

    Use it from the main thread, as some systems demand. `window_problem` must have said that one can be
    opened.
    """

    def __init__(self, title: str, *, folder: Path | None = None, backend: Any = cv2) -> None:
        """folder: where s saves its PNG files, the current one if None. backend: what has cv2's functions."""
        self._title = title
        self._folder = folder or Path()
        self._backend = backend
        self._is_open = False

    def show(self, image: Image, *, hold: bool = False) -> bool:
        """Show a picture (H, W, 3) uint8 BGR and act on keys; False once the user quits.

        Waits while the user pauses; hold: begins to, so that space goes on. What was saved, or why it could not be, is
        told on stderr.
        """
        if not self._is_open:
            self._open(image)
        self._backend.imshow(self._title, image)
        paused, wait_ms = hold, 1
        while True:
            key = self._backend.waitKey(wait_ms) & 0xFF
            was_closed = self._backend.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1
            if key in (ord("q"), _ESCAPE) or was_closed:
                return False
            if key == ord("s"):
                self._save(image)
            if key == ord(" "):
                paused = not paused
            if not paused:
                return True
            wait_ms = _PAUSED_WAIT_MS

    def close(self) -> None:
        """Close the window."""
        if self._is_open:
            self._backend.destroyAllWindows()
            self._is_open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _open(self, image: Image) -> None:
        height, width = image.shape[:2]
        scale = min(_MAX_WINDOW_WH[0] / width, _MAX_WINDOW_WH[1] / height, 1)
        # Qt, of OpenCV's wheels, misses fonts that are not needed without its toolbar, and says so ten times.
        os.environ.setdefault("QT_LOGGING_RULES", "default.warning=false")
        self._backend.namedWindow(self._title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        self._backend.resizeWindow(self._title, max(round(width * scale), 1), max(round(height * scale), 1))
        self._is_open = True

    def _save(self, image: Image) -> None:
        stem = re.sub(r"\W+", "_", Path(self._title).stem)
        path = next(p for n in itertools.count(1) if not (p := self._folder / f"{stem}_{n}.png").exists())
        try:
            path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
            print(f"saved {path}", file=sys.stderr)
        except OSError as error:  # no reason to end the run
            print(f"cannot save {path}: {error.strerror}", file=sys.stderr)
