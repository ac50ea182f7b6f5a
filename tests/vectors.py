"""Reference numbers of the official programs, found by listing the files that are there.

Two folders go through the same tests: a small part in `tests/data`, and the one that the environment variable
TRACKER_VECTORS names (default: `vectors` in the folder `shared` beside the checkout).
"""

from __future__ import annotations

import functools
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

TESTS = Path(__file__).resolve().parent
SHARED = TESTS.parent.parent / "shared"
FOLDERS = {
    "own": TESTS / "data",
    "given": Path(os.environ.get("TRACKER_VECTORS", SHARED / "vectors")),
}


@dataclass(frozen=True)
class Case:
    """The arrays of one file whose names begin with the name of the case, by the rest of their name."""

    path: Path
    name: str = ""

    def __contains__(self, key: str) -> bool:
        return f"{self.name}{key}" in _arrays(self.path)

    def __getitem__(self, key: str) -> npt.NDArray[Any]:
        return _arrays(self.path)[f"{self.name}{key}"]

    def matching(self, pattern: str) -> list[tuple[str, ...]]:
        """The groups of `pattern` for each of the names that it matches as a whole."""
        names = (name.removeprefix(self.name) for name in _arrays(self.path) if name.startswith(self.name))
        return [match.groups() for name in names if (match := re.fullmatch(pattern, name))]

    def fixed_point(self, key: str, bits: int = 10) -> npt.NDArray[np.float32]:
        """An array stored as whole multiples of 2^-bits."""
        return self[f"{key}_i16_2^-{bits}"].astype(np.float32) / np.float32(2**bits)

    def sparse(self, key: str) -> npt.NDArray[np.float32]:
        """An array stored by its entries that are not zero."""
        dense = np.zeros(self[f"{key}_shape"], np.float32)
        dense[tuple(self[f"{key}_nz_index"].T)] = self[f"{key}_nz_value"]
        return dense


def files(pattern: str) -> list[Any]:
    """A test parameter for each file that fits the pattern, in both folders."""
    return [
        pytest.param(path, id=f"{label}-{path.stem}") if path else _absent(label) for label, path in _listed(pattern)
    ]


def cases(pattern: str, names: str = "()") -> list[Any]:
    """A test parameter for each case in the files that fit the pattern.

    names: a regular expression for names of arrays, whose first group is the name of the case.
    """
    return [
        pytest.param(Case(path, name), id=f"{label}-{path.stem}-{name}") if path else _absent(label)
        for label, path in _listed(pattern)
        for name in (_case_names(path, names) if path else [""])
    ]


def evaluations(truth: str) -> list[Any]:
    """A test parameter for each folder with expected.json and a ground truth of that name, in both folders."""
    found = []
    for label, folder in FOLDERS.items():
        cases = [path.parent for path in sorted(folder.rglob("expected.json")) if path.with_name(truth).exists()]
        found += [pytest.param(case, id=f"{label}-{case.name}") for case in cases] or [_absent(label)]
    return found


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _listed(pattern: str) -> list[tuple[str, Path | None]]:
    """Label of the folder and file; a folder that is absent has the file None."""
    found: list[tuple[str, Path | None]] = []
    for label, folder in FOLDERS.items():
        parity = folder / "parity" if (folder / "parity").is_dir() else folder
        found += [(label, path) for path in sorted(parity.glob(pattern))]
        if not folder.is_dir():
            found.append((label, None))
    return found


def _absent(label: str) -> Any:
    reason = f"there is no folder {FOLDERS[label]} of reference vectors; name one with TRACKER_VECTORS"
    return pytest.param(None, id=label, marks=pytest.mark.skip(reason=reason))


def _case_names(path: Path, names: str) -> list[str]:
    matches = (re.match(names, name) for name in _arrays(path))
    return sorted({match[1] for match in matches if match})


@functools.cache
def _arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    with np.load(path) as stored:
        return dict(stored)
