"""Processes of tests that run beside others take one core each, and all hear Ctrl-C."""

from __future__ import annotations

import os
import signal

# Before NumPy, torch and OpenCV are imported: they count the cores then. Children of the tests inherit it.
if "PYTEST_XDIST_WORKER" in os.environ:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
        os.environ.setdefault(name, "1")

# A shell that starts the tests in the background has Ctrl-C ignored, which children would inherit.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import tracker.video  # noqa: F401 - before tests import PyAV, in which order windows work
