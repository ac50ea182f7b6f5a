"""Estimators from network files, or from what is shipped."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from tracker.errors import ModelError
from tracker.pose.family import FinderSettings, TopDownFamily
from tracker.pose.networks import load_pose_network
from tracker.pose.top_down import TopDownEstimator
from tracker.types import PoseFinder
from tracker.weights import find_default


def load_poses(
    path: Path | None,
    device: str = "auto",
    num_threads: int = 0,
    *,
    bottom_up: bool = False,
    has_boxes: bool = False,
    settings: FinderSettings | None = None,
    engine: str = "auto",
) -> TopDownEstimator | PoseFinder:
    """Estimation by the network in a file, whatever it sees, or by the shipped one.

    bottom_up: it must see whole pictures. has_boxes: it is given boxes, so it must see crops. As `load_pose_network`;
    ModelError also for a network that sees something else, UsageError for settings that its family has not.
    """
    path = path or find_default("bottom-up" if bottom_up else "pose", device, engine=engine)
    network = load_pose_network(path, device, num_threads, engine)
    settings = settings or FinderSettings()
    if isinstance(network.family, TopDownFamily):
        if bottom_up:
            raise ModelError(f"{network.name} sees one person in a crop; take --pose top-down, or name another file")
        return TopDownEstimator(network, network.family, flip_test=settings.flip_test)
    if has_boxes:
        raise ModelError(
            f"{network.name} sees everybody in a picture; take --pose bottom-up without a detector, or name another "
            "file"
        )
    return network.family.finder(network, settings)


def load_estimator(
    path: Path | None, device: str = "auto", *, flip_test: bool = False, engine: str = "auto"
) -> TopDownEstimator:
    """`load_poses` for boxes that are given."""
    settings = FinderSettings(flip_test=flip_test)
    return cast("TopDownEstimator", load_poses(path, device, has_boxes=True, settings=settings, engine=engine))
