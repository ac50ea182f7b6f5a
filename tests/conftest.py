"""Tests compute on one thread each, whatever ran before them, and all hear Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys

import pytest

# Before NumPy, torch and OpenCV are imported: they count the cores then. Children of the tests inherit it. Results are
# the same on every machine, small networks are faster so, and threads that wait for work take no other test's core.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Where Python is told to keep nothing of what it compiled, each child would compile all of the program again, and each
# run all of the tests.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell that starts the tests in the background has Ctrl-C ignored, which children would inherit.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import tracker.video  # noqa: E402, F401 - before tests import PyAV, in which order windows work


@pytest.hookimpl(trylast=True)  # when modules that a test took away are back
def pytest_runtest_teardown() -> None:
    """A command with --threads sets them for its whole process."""
    for module, function in (("torch", "set_num_threads"), ("cv2", "setNumThreads")):
        if module in sys.modules:
            getattr(sys.modules[module], function)(1)
