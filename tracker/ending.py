"""The end of the program: threads stop, before Python would abort those that come back from C++ code after it."""

from __future__ import annotations

import atexit
import ctypes
import threading
from collections.abc import Callable
from functools import partial

# What is open, in the order in which it was: how it is told to stop, and how that is waited for.
_open: dict[object, tuple[Callable[[], object], Callable[[], object]]] = {}
_is_ending = False


def stop_at_end(stop: Callable[[], object], wait: Callable[[], object] = lambda: None) -> Callable[[], object]:
    """Have `stop` called at the end of the program, and `wait` once all that is open was told to stop.

    Neither is to raise. Returns what takes this back, and may be called twice. What comes after the end has begun is
    stopped at once.
    """
    entry = object()
    _open[entry] = (stop, wait)
    # Anew, to come before what libraries loaded meanwhile do at the end.
    atexit.unregister(_end)
    atexit.register(_end)
    if _is_ending:
        stop()
    return partial(_open.pop, entry, None)


class Interrupted(BaseException):
    """Raised in a thread that has to end; never seen outside of it."""


def interrupt(thread: threading.Thread) -> None:
    """Have a running thread raise `Interrupted` as soon as it is not in native code."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(Interrupted))


def _end() -> None:
    global _is_ending  # noqa: PLW0603 - there is one end of a program
    _is_ending = True
    for stop, _ in list(_open.values()):
        stop()
    for _, wait in list(_open.values()):
        wait()
