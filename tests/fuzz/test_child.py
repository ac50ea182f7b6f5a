"""That whatever goes wrong in a reader is noticed, wherever it does."""

from __future__ import annotations

import ctypes
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.fuzz.child import Child
from tracker.errors import InputError

linux_alone = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
_kept_open = []


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    with Child(limit_mb=100) as child:
        yield child


def reads(path: Path) -> None:
    assert path.read_bytes() == b"content"


def refuses(path: Path) -> None:
    raise InputError(f"{path} is damaged; get it again")


def refuses_zeros(path: Path) -> None:
    assert 0 not in path.read_bytes()


def fails(path: Path) -> None:
    raise KeyError("images")


def warns(path: Path) -> None:
    warnings.warn("overflow encountered", RuntimeWarning, stacklevel=1)


def hangs(path: Path) -> None:
    while True:
        pass


def dies(path: Path) -> None:
    ctypes.string_at(0)


def eats_memory(path: Path) -> None:
    np.ones(200 << 17)


def leaves_a_file(path: Path) -> None:
    path.with_name("copy.partial.json").touch()


def leaves_a_file_open(path: Path) -> None:
    _kept_open.append(path.open())


@pytest.mark.parametrize("read", [reads, refuses])
def test_what_is_no_fault(child: Child, read: Callable[[Path], None]) -> None:
    assert child.fault(read, "folder/x.json", b"content") is None


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (fails, "KeyError: 'images'"),
        (warns, "RuntimeWarning: overflow"),
        (dies, "Segmentation fault" if sys.platform == "linux" else "ended with exit code"),
        (leaves_a_file, "copy.partial.json"),
        pytest.param(eats_memory, " MB were taken", marks=linux_alone),
        pytest.param(leaves_a_file_open, "x.json open", marks=linux_alone),
    ],
)
def test_what_goes_wrong(child: Child, read: Callable[[Path], None], words: str) -> None:
    assert words in str(child.fault(read, "x.json", b"content"))
    assert child.fault(reads, "x.json", b"content") is None  # the next file is read, if need be by a new process


def test_what_hangs() -> None:
    with Child(limit_s=0.3) as child:
        fault = str(child.fault(hangs, "x.json", b""))
    assert "Timeout" in fault
    assert "in hangs" in fault
