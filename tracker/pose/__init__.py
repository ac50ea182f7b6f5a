"""Pose estimation: crops, heatmaps, and the networks behind them."""

from tracker.pose.networks import load_pose_network
from tracker.pose.top_down import TopDownEstimator

__all__ = ["TopDownEstimator", "load_pose_network"]
