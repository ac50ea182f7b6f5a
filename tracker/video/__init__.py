"""Frames in and out: sources, the video file writer, the overlay and the live window."""
