"""Person detectors."""

from tracker.detection.onnx import load_detector

__all__ = ["load_detector"]
