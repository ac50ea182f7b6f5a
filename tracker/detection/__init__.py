"""Person detectors."""

from tracker.detection.detector import load_detector

__all__ = ["load_detector"]
