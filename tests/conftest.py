"""Processes of tests that run beside others take one core each."""

from __future__ import annotations

import os

# Before NumPy, torch and OpenCV are imported: they count the cores then. Children of the tests inherit it.
if "PYTEST_XDIST_WORKER" in os.environ:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
        os.environ.setdefault(name, "1")

import tracker.video  # noqa: F401 - before tests import PyAV, in which order windows work
