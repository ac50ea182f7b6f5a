"""Estimators from network files, or from what is shipped."""

from __future__ import annotations

from pathlib import Path

from tracker.errors import ModelError
from tracker.pose.family import TopDownFamily, WholePictureFamily
from tracker.pose.grouping import GroupingConfig
from tracker.pose.networks import load_pose_network
from tracker.pose.top_down import TopDownEstimator
from tracker.types import PoseFinder
from tracker.weights import find_default


def load_estimator(
    path: Path | None, device: str = "auto", num_threads: int = 0, *, flip_test: bool = False
) -> TopDownEstimator:
    """Top-down estimation by the network in a file, or by the shipped one.

    As `load_pose_network`; ModelError also for a network that needs no detector.
    """
    network = load_pose_network(path or find_default("pose", device), device, num_threads)
    if isinstance(network.family, TopDownFamily):
        return TopDownEstimator(network, network.family, flip_test=flip_test)
    raise ModelError(f"{network.name} sees everybody in a picture; take --pose bottom-up, or name another file")


def load_finder(
    path: Path | None,
    device: str = "auto",
    num_threads: int = 0,
    *,
    flip_test: bool = False,
    grouping: GroupingConfig | None = None,
) -> PoseFinder:
    """Estimation without a detector by the network in a file, or by the shipped one.

    grouping: None is as published. As `load_pose_network`; ModelError also for a network of crops.
    """
    network = load_pose_network(path or find_default("bottom-up", device), device, num_threads)
    if isinstance(network.family, WholePictureFamily):
        return network.family.finder(network, grouping, flip_test)
    raise ModelError(f"{network.name} sees one person in a crop; take --pose top-down, or name another file")
