"""The examples in the docstrings are true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import tracker

MODULES = [info.name for info in pkgutil.walk_packages(tracker.__path__, "tracker.") if "__main__" not in info.name]


def test_examples() -> None:
    results = [doctest.testmod(importlib.import_module(name)) for name in MODULES]
    assert sum(result.attempted for result in results) >= 5
    assert sum(result.failed for result in results) == 0
