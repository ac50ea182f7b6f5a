"""The file beside the outputs of an input of a batch that says how they were made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracker.errors import OutputError
from tracker.outputs import write_json

SUFFIX = ".fingerprint"


@dataclass(frozen=True)
class Fingerprint:
    """How the outputs of an input are made, and the file in which it stands.

    The file is written before the outputs, so that whatever a killed run leaves is known as its own, and again, with
    the sizes of the outputs, when these are complete.
    """

    path: Path
    made_of: Mapping[str, Any]

    def claim(self) -> None:
        """Say of outputs that are not there yet how they will be made."""
        self._write({})

    def complete(self, outputs: Sequence[Path]) -> None:
        """Say that the outputs are whole."""
        self._write({path.name: _size(path) for path in outputs})

    def withdraw(self) -> None:
        """Take the claim back."""
        self.path.unlink(missing_ok=True)

    def fits(self, outputs: Sequence[Path]) -> bool | None:
        """Whether all outputs are there, complete, and made like this; None if nothing says how they were made.

        False for those that a run of this very kind left incomplete. Raises OutputError for outputs that were made
        otherwise, or were changed since.
        """
        stored = self._read()
        if stored is None:
            return None
        sizes = stored.pop("outputs")
        if stored != self.made_of:
            raise OutputError(
                f"{outputs[-1]} was made {_difference(stored, self.made_of)}; pass --overwrite, or name another folder"
            )
        for path in outputs:
            if path.exists() and path.name in sizes and _size(path) != sizes[path.name]:
                raise OutputError(f"{path} was changed since it was made; move it away or pass --overwrite")
        return all(path.exists() and path.name in sizes for path in outputs)

    def _read(self) -> dict[str, Any] | None:
        try:
            stored = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        tables = ("settings", "networks", "outputs")
        is_ours = isinstance(stored, dict) and all(isinstance(stored.get(name), dict) for name in tables)
        return stored if is_ours else None

    def _write(self, sizes: Mapping[str, int]) -> None:
        write_json(self.path, {**self.made_of, "outputs": sizes})


def describe_files(paths: Sequence[Path]) -> dict[str, int]:
    """Number, size together and latest change of the files that an input is read from."""
    stats = [path.stat() for path in paths]
    return {
        "files": len(paths),
        "bytes": sum(stat.st_size for stat in stats),
        "changed_ns": max(stat.st_mtime_ns for stat in stats),
    }


def _difference(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """The first thing in which two ways of making outputs differ, in words."""
    if stored.get("version") != wanted["version"]:
        return f"by another version of the program, {stored.get('version')}"
    for name, value in wanted["settings"].items():
        if stored["settings"].get(name) != value:
            return f"with {name} {stored['settings'].get(name)}, not {value}"
    for name, digest in wanted["networks"].items():
        if stored["networks"].get(name) != digest:
            return f"with another {name}"
    return "of another state of its input"


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in (path.iterdir() if path.is_dir() else (path,)))
