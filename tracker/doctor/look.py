"""Checks in processes of their own, since libraries that are broken may end theirs, or hang; and what is at fault."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

from tracker.doctor.checks import CHECKS, mend_of
from tracker.doctor.findings import Finding, explained, is_failed

# A driver that hangs must not keep the others from being looked at.
_USUAL_PATIENCE_S = 60.0
_PATIENCE_S = {"tracking": 900.0}
# What a check is about, and the checks without which it cannot succeed; tracking is the main job.
_MODULES = {"opencv": "cv2", "torch": "torch", "onnx": "onnxruntime", "video": "av"}
_NEEDS = {
    **dict.fromkeys(("video", "display", "cameras"), ("opencv",)),
    "tracking": ("opencv", "onnx", "video", "weights", "torch"),
}


def look_at(names: Iterable[str]) -> Iterator[tuple[str, list[Finding]]]:
    """The findings of checks by name; one that fails because of another refers to it."""
    look = cache(_look)
    for name in dict.fromkeys(names):
        yield name, _refer(look(name), (cause for cause in _NEEDS.get(name, ()) if is_failed(look(cause))))


def look_here(name: str) -> list[Finding]:
    """What a check finds in this very process."""
    found: list[Finding] = []
    try:
        found.extend(CHECKS[name]())
    except Exception as error:  # noqa: BLE001 - a broken library may raise anything
        found.append(explained(error, mend_of(name)))
    return found


def _refer(findings: list[Finding], causes: Iterator[str]) -> list[Finding]:
    """The findings of a check; if it failed, without remedies of their own where other checks are the cause."""
    cause = next(causes, None) if is_failed(findings) else None
    return [replace(one, remedy=f"mend {cause} first") for one in findings] if cause else findings


def _place_of(name: str) -> str:
    """Where the library of a check is imported from, "" if it is not there."""
    spec = importlib.util.find_spec(_MODULES[name]) if name in _MODULES else None
    places = [spec.origin, *(spec.submodule_search_locations or ())] if spec else []
    return next((f", {_MODULES[name]} being {place}" for place in places if place), "")


def _look(name: str) -> list[Finding]:
    """What a check finds; of a library that fails, where it is, too."""
    findings = _look_inside(name)
    return [replace(one, text=one.text + _place_of(name)) for one in findings] if is_failed(findings) else findings


def _look_inside(name: str) -> list[Finding]:
    """What a check finds in a process of its own, since libraries that are broken may end theirs, or hang."""
    mend, root = mend_of(name), Path(__file__).parents[2]
    further = None if root.name.endswith("-packages") else str(root)  # of a checkout that is not installed
    paths = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), further)))
    limit_s = _PATIENCE_S.get(name, _USUAL_PATIENCE_S)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tracker", "doctor", "--inside", name],
            capture_output=True, encoding="utf-8", errors="replace", timeout=limit_s, check=False,
            env=os.environ | {"PYTHONPATH": paths, "PYTHONIOENCODING": "utf-8"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return [Finding("problem", f"no answer within {limit_s:.0f} s", mend)]
    if done.returncode == 0:
        return [Finding(**finding) for finding in json.loads(done.stdout.splitlines()[-1])]
    code = done.returncode
    ending = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return [Finding("problem", f"the process crashed ({ending})", mend)]
