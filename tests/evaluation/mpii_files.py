"""Made-up files in the form of MPII's official ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import savemat

# Corners whose diagonal is 50 px: 0.6 of it are 30, half of those 15.
HEAD = ((10, 20), (40, 60))


def write_truth(
    path: Path, keypoints: Any, *, missing: Any = False, heads: Any = HEAD, without: str = "", **changed: Any
) -> Path:
    """gt_valid.mat of people (N, 16, 2) with the same head box, or one (2, 2) each; missing: (N, 16)."""
    at = np.asarray(keypoints, np.float64)
    content = {
        "pos_gt_src": at.transpose(1, 2, 0),
        "jnt_missing": np.broadcast_to(missing, at.shape[:2]).T.astype(np.uint8),
        "headboxes_src": np.broadcast_to(heads, (len(at), 2, 2)).transpose(1, 2, 0).astype(np.float64),
    } | changed
    content.pop(without, None)
    savemat(path, content)
    return path


def write_predictions(path: Path, keypoints: Any) -> Path:
    """Keypoints (N, 16, 2) as .mat or .json."""
    if path.suffix == ".mat":
        savemat(path, {"preds": np.asarray(keypoints, np.float64)})
    else:
        path.write_text(json.dumps(np.asarray(keypoints, np.float64).tolist()))
    return path
