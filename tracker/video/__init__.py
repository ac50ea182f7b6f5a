"""Frames in and out: sources, the video file writer, the overlay and the live window."""

import cv2  # noqa: F401 - before av: in the other order, OpenCV's windows hang on Linux
