"""Pose estimation: crops, heatmaps, and the networks behind them."""

from tracker.pose.loading import load_estimator, load_poses
from tracker.pose.networks import load_pose_network
from tracker.pose.top_down import TopDownEstimator

__all__ = ["TopDownEstimator", "load_estimator", "load_pose_network", "load_poses"]
