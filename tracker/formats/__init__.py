"""Results on disk. A further format is one file with a `ResultWriter` and one line in `WRITERS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from tracker.errors import UsageError
from tracker.formats.csv import CsvWriter
from tracker.formats.jsonl import JsonlWriter
from tracker.formats.record import Header, ResultWriter

__all__ = ["WRITERS", "Header", "ResultWriter", "check_format", "open_writer"]

WRITERS: Mapping[str, Callable[[Path, Header], ResultWriter]] = MappingProxyType(
    {".jsonl": JsonlWriter, ".csv": CsvWriter}
)


def check_format(path: Path) -> None:
    """Raise UsageError unless the suffix of `path` names a format that can be written."""
    if path.suffix.lower() not in WRITERS:
        known = ", ".join(WRITERS)
        raise UsageError(f"cannot tell the format of {path} by its suffix; poses are written as {known}")


def open_writer(path: Path, header: Header) -> ResultWriter:
    """A writer for the format that the suffix of `path` names, a context manager; UsageError if none."""
    check_format(path)
    return WRITERS[path.suffix.lower()](path, header)
