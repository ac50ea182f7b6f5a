"""A process that reads damaged files, so that a crash, a hang and hunger for memory are outcomes like any other."""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from tracker.errors import TrackerError

ROOT = Path(__file__).parents[2]
_STATUS = Path("/proc/self/status")
_DESCRIPTORS = Path("/proc/self/fd")


class Child(AbstractContextManager["Child"]):
    """Reads files in a process that is kept as long as it lives; a context manager.

    limit_s: seconds that one file may take. limit_mb: memory that one file may take (on Linux).
    """

    def __init__(self, limit_s: float = 60, limit_mb: int = 1500) -> None:
        self._limits = str(limit_s), str(limit_mb)
        self._process: subprocess.Popen[str] | None = None
        self._home = tempfile.TemporaryDirectory()
        self._inputs, self._temporary = (Path(self._home.name, name) for name in ("inputs", "temporary"))

    def fault(self, read: Callable[[Path], None], name: str, content: bytes) -> str | None:
        """What goes wrong when `read` is given a file of that name and content, in a folder of its own.

        None if it returns, or raises an error of the tracker whose message is one line.
        """
        path = self._inputs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        process = self._process = self._process or self._start()
        print(json.dumps([read.__module__, read.__qualname__, str(path)]), file=process.stdin, flush=True)
        answer = process.stdout.readline()
        path.unlink()
        return json.loads(answer) if answer else self._explain_death(process)

    def __exit__(self, *_: object) -> None:
        """End the process and remove its folder."""
        if self._process:
            self._process.communicate()
        self._home.cleanup()

    def _start(self) -> subprocess.Popen[str]:
        self._temporary.mkdir(parents=True, exist_ok=True)
        with self._messages.open("w") as messages:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.fuzz.child", self._home.name, *self._limits],
                cwd=ROOT,
                env=os.environ | {"TMPDIR": str(self._temporary), "TEMP": str(self._temporary)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=messages,
                text=True,
            )

    @property
    def _messages(self) -> Path:
        return Path(self._home.name, "messages")

    def _explain_death(self, process: subprocess.Popen[str]) -> str:
        process.communicate()
        self._process = None
        messages = self._messages.read_text(errors="replace")
        return f"the process ended with exit code {process.returncode}:\n{messages[-5000:]}"


def _serve(home: Path, limit_s: float, limit_mb: int) -> None:
    """Answer each request on stdin with its fault, or null."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    faulthandler.enable()
    _limit_memory()
    for line in sys.stdin:
        module, name, path = json.loads(line)
        read = getattr(importlib.import_module(module), name)
        faulthandler.dump_traceback_later(limit_s, exit=True)
        fault = _fault(read, Path(path), home, limit_mb)
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps(fault), file=answers, flush=True)


def _limit_memory() -> None:
    """Let what wants 8 GB fail, before it takes the machine down."""
    if os.name == "posix":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (8 << 30, 8 << 30))


def _fault(read: Callable[[Path], None], path: Path, home: Path, limit_mb: int) -> str | None:
    before, held_mb = _left_behind(home), _peak_mb(reset=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read(path)
    except TrackerError as error:
        if len(str(error).splitlines()) != 1:
            return f"the message is not one line: {error}"
    except Exception:  # noqa: BLE001  whatever it is, it is what is looked for
        return traceback.format_exc()
    taken_mb = _peak_mb() - held_mb
    if taken_mb > limit_mb:
        return f"{taken_mb} MB were taken"
    left = sorted(_left_behind(home) - before)
    return f"left behind: {', '.join(left)}" if left else None


def _left_behind(home: Path) -> set[str]:
    """Files, files that are open (on Linux), and threads."""
    open_files = []
    if _DESCRIPTORS.is_dir():
        open_files = [os.path.realpath(entry) for entry in _DESCRIPTORS.iterdir()]
    return {
        *map(str, home.rglob("*")),
        *(f"{name} open" for name in open_files if Path(name).is_relative_to(home)),
        *(thread.name for thread in threading.enumerate()),
    }


def _peak_mb(*, reset: bool = False) -> int:
    """The most memory that was held since the last reset, which leaves what is held now; 0 where unknown."""
    if not _STATUS.is_file():
        return 0
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    (peak,) = (line.split()[1] for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(peak) // 1024


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
