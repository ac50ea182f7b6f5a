"""How results are written: frame by frame beside their final name, and moved into place when complete."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, ClassVar, Self

from tracker.errors import OutputError
from tracker.formats.record import Header, Moment, convert_people
from tracker.outputs import explained, partial_path, partials_of, publish
from tracker.skeletons import Skeleton
from tracker.types import TrackedPoses


class ResultWriter(ABC):
    """Results under way to a file or folder, a context manager.

    The first frame opens it. Left by an exception, what was written stays under the partial name, unless it is
    nothing. Raises OutputError when it cannot be written (disk full, say). drops: names of what the format cannot hold.
    skeleton: to which keypoints are brought by name, None for any. note: what is to be said of the complete file. As
    text it is what was written.
    """

    drops: ClassVar[frozenset[str]] = frozenset()
    skeleton: Skeleton | None = None
    note: str | None = None

    def __init__(self, path: Path, header: Header) -> None:
        self.path = path
        self.header = header
        self._is_open = False

    def __str__(self) -> str:
        return str(self.path)

    def write(self, moment: Moment, tracked: TrackedPoses) -> None:
        """Append the people of a frame; frames come by rising index. A score of a keypoint above 1 is written as 1."""
        self.check_num_frames(moment.index + 1)
        with explained(self.path):
            if not self._is_open:
                self._open()
                self._is_open = True
            self._append(moment, self._converted(replace(tracked, poses=tracked.poses.limited())))

    def _own_size(self, moment: Moment) -> tuple[int, int] | None:
        """Width and height of a picture where they are not those of the header."""
        return None if moment.size_wh == self.header.size_wh else moment.size_wh

    @property
    def most_frames(self) -> int | None:
        """How many frames the format can hold, None for any number."""
        return None

    def check_num_frames(self, num_frames: int | None) -> None:
        """Refuse, as OutputError, so many frames of a video, None for not known, if the format cannot hold them."""
        if num_frames and self.most_frames and num_frames > self.most_frames:
            raise OutputError(
                f"cannot write {self.path}: a sequence of PoseTrack has {self.most_frames} frames at most; write "
                f"--format coco, or pass --max-frames {self.most_frames}"
            )

    def _converted(self, tracked: TrackedPoses) -> TrackedPoses:
        """The people as the format holds them."""
        return convert_people(tracked, self.header.skeleton, self.skeleton or self.header.skeleton)

    @abstractmethod
    def _open(self) -> None:
        """Make the partial file."""

    @abstractmethod
    def _append(self, moment: Moment, tracked: TrackedPoses) -> None:
        """Write a frame."""

    @abstractmethod
    def _finish(self) -> None:
        """Make the partial file complete and close it."""

    def _publish(self) -> None:
        publish(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._is_open:
            return
        try:
            if kind is not None:
                with suppress(OSError):  # the exception on its way says more
                    self._finish()
                return
            with explained(self.path):
                self._finish()
                self._publish()
        finally:
            for left in partials_of(self.path):
                if left.is_file() and not left.stat().st_size:
                    left.unlink()


class TextWriter(ResultWriter):
    """A text file that is streamed: what a frame adds is on disk when `write` returns, whatever ends the process.

    A frame that does not fit on a full disk leaves no part of itself behind.
    """

    _file: BinaryIO
    _has_header = False

    @abstractmethod
    def _frame_text(self, moment: Moment, tracked: TrackedPoses) -> str:
        """What a frame adds."""

    def _header_text(self, first: Moment) -> str:
        """What stands before the first frame."""
        return ""

    def _footer_text(self) -> str:
        """What stands after the last frame."""
        return ""

    def _open(self) -> None:
        # A buffer would keep what a full disk did not take, and write the rest of a line later.
        self._file = partial_path(self.path).open("wb", buffering=0)

    def _append(self, moment: Moment, tracked: TrackedPoses) -> None:
        header = "" if self._has_header else self._header_text(moment)
        self._write(header + self._frame_text(moment, tracked))
        self._has_header = True

    def _finish(self) -> None:
        with self._file:
            self._write(self._footer_text())

    def _write(self, text: str) -> None:
        before = self._file.tell()
        try:
            self._write_all(text)
        except OSError:
            with suppress(OSError):  # a device cannot be cut
                self._file.seek(before)
                self._file.truncate()
            raise

    def _write_all(self, text: str) -> None:
        # A file name that is no UTF-8 is escaped, in JSON's own way.
        rest = text.encode(errors="backslashreplace")
        while rest:
            rest = rest[self._file.write(rest) :]


def json_text(content: Any) -> str:
    """JSON on one line, without spaces; ValueError for NaN."""
    return json.dumps(content, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
