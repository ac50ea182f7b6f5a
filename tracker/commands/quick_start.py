"""What keeps the start of a command short: no search for garbage where there is none, no idle threads for algebra."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_BLAS_THREADS = "OPENBLAS_NUM_THREADS"


@contextmanager
def quick_start() -> Iterator[None]:
    """Import, read options and open networks without searches for garbage; what is there then is never searched."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def load_numpy() -> None:
    """Load NumPy without threads for its algebra, which spin, while matrices are small; the environment stays."""
    if "numpy" in sys.modules or _BLAS_THREADS in os.environ:
        return
    os.environ[_BLAS_THREADS] = "1"
    import numpy  # noqa: F401

    del os.environ[_BLAS_THREADS]
