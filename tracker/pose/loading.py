"""Estimators from network files, or from what is shipped."""

from __future__ import annotations

from pathlib import Path

from tracker.pose.bottom_up import BottomUpEstimator
from tracker.pose.bottom_up_networks import load_bottom_up_network
from tracker.pose.grouping import GroupingConfig
from tracker.pose.networks import load_pose_network
from tracker.pose.top_down import TopDownEstimator
from tracker.weights import find_default


def load_estimator(
    path: Path | None, device: str = "auto", num_threads: int = 0, *, flip_test: bool = False
) -> TopDownEstimator:
    """Top-down estimation by the network in a file, or by the shipped one; as `load_pose_network`."""
    path = path or find_default("pose", device)
    return TopDownEstimator(load_pose_network(path, device, num_threads), flip_test=flip_test)


def load_finder(
    path: Path | None,
    device: str = "auto",
    num_threads: int = 0,
    *,
    flip_test: bool = False,
    grouping: GroupingConfig | None = None,
) -> BottomUpEstimator:
    """Bottom-up estimation by the network in a file, or by the shipped one; as `load_bottom_up_network`."""
    path = path or find_default("bottom-up", device)
    return BottomUpEstimator(load_bottom_up_network(path, device, num_threads), grouping, flip_test=flip_test)
