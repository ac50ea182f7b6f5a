"""Multi-person video pose tracking: people, keypoints and ids that stay.

>>> from tracker import track_video                                        # doctest: +SKIP
>>> for frame, people in track_video("clip.mp4"):                          # doctest: +SKIP
...     for person in people:
...         print(frame.time_s, person.track_id, person.keypoints.shape)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracker.formats import Header as Header
    from tracker.formats import open_writer as open_writer
    from tracker.formats import read_results as read_results
    from tracker.given import track_poses as track_poses
    from tracker.pipeline import Pipeline as Pipeline
    from tracker.pipeline import build_pipeline as build_pipeline
    from tracker.pipeline import track_video as track_video
    from tracker.skeletons import Skeleton as Skeleton
    from tracker.tracking.config import TrackerConfig as TrackerConfig
    from tracker.tracking.tracker import PoseTracker as PoseTracker
    from tracker.types import Person as Person
    from tracker.types import Poses as Poses
    from tracker.video.aspect import square_pixels as square_pixels
    from tracker.video.overlay import OverlayRenderer as OverlayRenderer
    from tracker.video.source import open_source as open_source
    from tracker.video.writer import VideoWriter as VideoWriter

__version__ = "0.2.0"

_HOMES = {
    **dict.fromkeys(("Header", "open_writer", "read_results"), "tracker.formats"),
    **dict.fromkeys(("Pipeline", "build_pipeline", "track_video"), "tracker.pipeline"),
    **dict.fromkeys(("Person", "Poses"), "tracker.types"),
    "OverlayRenderer": "tracker.video.overlay",
    "PoseTracker": "tracker.tracking.tracker",
    "Skeleton": "tracker.skeletons",
    "TrackerConfig": "tracker.tracking.config",
    "VideoWriter": "tracker.video.writer",
    "open_source": "tracker.video.source",
    "square_pixels": "tracker.video.aspect",
    "track_poses": "tracker.given",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, so that importing the package costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tracker' has no attribute {name!r}")
    from importlib import import_module

    from tracker.errors import explain_import_error, is_hollow

    try:
        return getattr(import_module(_HOMES[name]), name)
    except (ImportError, AttributeError) as error:
        if isinstance(error, AttributeError) and not is_hollow(error):
            raise
        raise explain_import_error(error) from error
