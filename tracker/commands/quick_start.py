"""What keeps the start of a command short: no search for garbage where there is none, no idle threads for algebra."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

_THREADS = "OPENBLAS_NUM_THREADS"


@contextmanager
def quick_start() -> Iterator[None]:
    """Import what a command needs, without searches for garbage; what is there then is never searched.

    The algebra of NumPy and OpenCV has small matrices here, so it gets no threads, which would spin for work; whoever
    is loaded later finds the environment as it was.
    """
    gc.disable()
    is_chosen = _THREADS in os.environ
    os.environ.setdefault(_THREADS, "1")
    try:
        yield
    finally:
        if not is_chosen:
            del os.environ[_THREADS]
        gc.freeze()
        gc.enable()
