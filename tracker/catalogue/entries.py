"""The catalogue: what is published under which name, from where, under which licence."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from tracker.errors import ModelError
from tracker.weights import MANIFEST

CATALOGUE = MANIFEST.with_name("catalogue.toml")


@dataclass(frozen=True)
class Entry:
    """A published network.

    family, kind: of the networks it is one of; pose networks see the person in a crop, one-pass ones everybody at once.
    address, file: where it is, together; mirrors stand for the address. member: what of a zip is the network. settings:
    as in the .toml beside a network file; of detectors, whose families know them, to be read alone. licence, data: of
    code and weights, and what they were trained on, as their makers state it. measure, reported: what the makers
    measured, and the figure. bytes, sha256: of the network itself, where known; the sha256 may be its first digits.
    """

    name: str
    family: str
    kind: Literal["detector", "pose", "one-pass"]
    address: str
    file: str
    licence: str
    data: str
    measure: str
    reported: float
    settings: Mapping[str, Any]
    mirrors: list[str] = field(default_factory=list)
    member: str | None = None
    bytes: int | None = None
    sha256: str = ""

    @property
    def addresses(self) -> list[str]:
        """Of the file, in the order in which they are tried."""
        return [base + self.file for base in (self.address, *self.mirrors)]

    @property
    def suffix(self) -> str:
        """Of the network's file: .onnx or .pth."""
        return PurePosixPath(self.member or self.file).suffix

    @property
    def size(self) -> str:
        """Height and width of the input."""
        return "×".join(map(str, self.settings["input_size"]))

    @property
    def example(self) -> str:
        """How a command names it."""
        return f"{'--detector' if self.kind == 'detector' else '--pose-model'} {self.name}"


@cache
def read_catalogue(path: Path = CATALOGUE) -> Mapping[str, Entry]:
    """All entries by name, in their order; ModelError for a missing or malformed catalogue."""
    try:
        families = tomllib.loads(path.read_text(encoding="utf-8"))["family"]
        entries = [_entry(family, one) for family in families for one in family["weights"]]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ModelError(f"{path} is malformed ({error}); install the program again") from error
    return {entry.name: entry for entry in entries}


def _entry(family: Mapping[str, Any], one: Mapping[str, Any]) -> Entry:
    settings = family["settings"] | one.get("settings", {})
    return Entry(**{**{key: family[key] for key in family.keys() & _KEYS}, **one, "settings": settings})


_KEYS = {key.name for key in fields(Entry)}
