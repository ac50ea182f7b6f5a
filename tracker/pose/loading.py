"""Estimators from network files, or from what is shipped."""

from __future__ import annotations

from pathlib import Path

from tracker.errors import ModelError
from tracker.pose.family import FinderSettings, TopDownFamily, WholePictureFamily
from tracker.pose.networks import load_pose_network
from tracker.pose.top_down import TopDownEstimator
from tracker.types import PoseFinder
from tracker.weights import find_default


def load_poses(
    path: Path | None, device: str, num_threads: int = 0, *, settings: FinderSettings, engine: str = "auto"
) -> TopDownEstimator | PoseFinder:
    """Estimation by the network in a file, whatever it sees, or the shipped one of crops; errors as of the others."""
    network = load_pose_network(path or find_default("pose", device, engine=engine), device, num_threads, engine)
    if isinstance(network.family, TopDownFamily):
        return TopDownEstimator(network, network.family, flip_test=settings.flip_test)
    return network.family.finder(network, settings)


def load_estimator(
    path: Path | None, device: str = "auto", num_threads: int = 0, *, flip_test: bool = False, engine: str = "auto"
) -> TopDownEstimator:
    """Top-down estimation by the network in a file, or by the shipped one.

    As `load_pose_network`; ModelError also for a network that needs no detector.
    """
    found = load_poses(path, device, num_threads, settings=FinderSettings(flip_test=flip_test), engine=engine)
    if isinstance(found, TopDownEstimator):
        return found
    raise ModelError(
        f"{found.name} sees everybody in a picture; take --pose bottom-up without a detector, or name another file"
    )


def load_finder(
    path: Path | None,
    device: str = "auto",
    num_threads: int = 0,
    settings: FinderSettings | None = None,
    engine: str = "auto",
) -> PoseFinder:
    """Estimation without a detector by the network in a file, or by the shipped one.

    As `load_pose_network`; ModelError also for a network of crops, UsageError for settings that its family has not.
    """
    path = path or find_default("bottom-up", device, engine=engine)
    network = load_pose_network(path, device, num_threads, engine)
    if isinstance(network.family, WholePictureFamily):
        return network.family.finder(network, settings or FinderSettings())
    raise ModelError(f"{network.name} sees one person in a crop; take --pose top-down, or name another file")
