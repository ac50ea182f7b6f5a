"""What every results file has in common: a header of facts, and streaming to a partial file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from tracker.errors import OutputError
from tracker.outputs import partial_path, publish
from tracker.skeletons import Skeleton
from tracker.types import Frame, TrackedPoses


@dataclass(frozen=True)
class Header:
    """Facts of a run that belong to its results: fps is frames per second, None where unknown."""

    skeleton: Skeleton
    source: str
    size_wh: tuple[int, int]
    fps: float | None
    settings: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The header as JSON values: the skeleton by its name and keypoint names, the size as width and height."""
        return {
            "skeleton": self.skeleton.name,
            "keypoint_names": list(self.skeleton.keypoint_names),
            "source": self.source,
            "size": list(self.size_wh),
            "fps": self.fps,
            "settings": self.settings,
        }


class ResultWriter(ABC):
    """A text file of results, streamed frame by frame and moved into place when complete.

    Use as a context manager; the file is opened by the first frame. Left by an exception, what was written stays
    under the partial name. Raises OutputError when the file cannot be written (disk full, say).
    """

    def __init__(self, path: Path, header: Header) -> None:
        self.path = path
        self.header = header
        self._file: TextIO | None = None

    def write(self, frame: Frame, tracked: TrackedPoses) -> None:
        """Append one frame's people; they are on disk when this returns."""
        text = self._frame_text(frame, tracked)
        try:
            if self._file is None:
                self._file = partial_path(self.path).open("w", encoding="utf-8", newline="")
                text = self._header_text() + text
            self._file.write(text)
            self._file.flush()
        except OSError as error:
            with suppress(OSError):  # what is still buffered would fail once more
                self._close()
            raise self._failure(error) from error

    @abstractmethod
    def _header_text(self) -> str:
        """What stands before the first frame."""

    @abstractmethod
    def _frame_text(self, frame: Frame, tracked: TrackedPoses) -> str:
        """One frame's people."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is None:
            return
        try:
            self._close()
            if kind is None:
                publish(self.path)
        except OSError as failure:
            if kind is None:
                raise self._failure(failure) from failure

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _failure(self, error: OSError) -> OutputError:
        return OutputError(f"cannot write {self.path}: {error.strerror or error}")
