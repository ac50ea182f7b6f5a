"""Multi-person video pose tracking: people, keypoints and ids that stay.

>>> from tracker import track_video                                        # doctest: +SKIP
>>> for frame, people in track_video("clip.mp4"):                          # doctest: +SKIP
...     print(frame.time_s, people.track_ids, people.poses.keypoints.shape)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracker.pipeline import Pipeline, build_pipeline, track_video
    from tracker.tracking.config import TrackerConfig
    from tracker.tracking.tracker import PoseTracker

__version__ = "0.2.0"

__all__ = ["Pipeline", "PoseTracker", "TrackerConfig", "build_pipeline", "track_video"]

_HOMES = {
    "Pipeline": "tracker.pipeline",
    "PoseTracker": "tracker.tracking.tracker",
    "TrackerConfig": "tracker.tracking.config",
    "build_pipeline": "tracker.pipeline",
    "track_video": "tracker.pipeline",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, so that importing the package costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tracker' has no attribute {name!r}")
    from importlib import import_module

    from tracker.errors import explain_import_error

    try:
        return getattr(import_module(_HOMES[name]), name)
    except ImportError as error:
        raise explain_import_error(error) from error
