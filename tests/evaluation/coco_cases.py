"""Ground truth and results whose figures pycocotools or CrowdPose's own evaluation gave."""

from __future__ import annotations

from typing import Any

import pytest

from tests.vectors import FOLDERS


def coco_cases() -> list[Any]:
    """A parameter for each folder of gt.json, results.json and expected.json, in both folders of reference numbers."""
    found = []
    for label, folder in FOLDERS.items():
        cases = [path.parent for path in sorted(folder.rglob("expected.json")) if (path.parent / "gt.json").is_file()]
        found += [pytest.param(case, id=f"{label}-{case.name}") for case in cases]
        if not cases:
            reason = f"{folder} holds no COCO evaluations; name another folder with TRACKER_VECTORS"
            found.append(pytest.param(None, id=label, marks=pytest.mark.skip(reason=reason)))
    return found
