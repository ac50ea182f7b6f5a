"""Files that a run writes: refused before anything is lost, written beside their name, moved when whole."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any

from tracker.errors import OutputError, TrackerError, UsageError

# What stands for stdin as an input, for stdout as an output.
PIPE = Path("-")
# So many things are named in a line, the others counted.
MOST_NAMED = 5


def counted(number: int, noun: str, several: str | None = None) -> str:
    """So many of something, of which several are called so.

    >>> counted(1, "edit"), counted(2, "id"), counted(0, "person", "people")
    ('1 edit', '2 ids', '0 people')
    """
    return f"{number} {noun if number == 1 else several or f'{noun}s'}"


def listed(names: Sequence[str], total: int | None = None, most: int = MOST_NAMED) -> str:
    """The first names, and how many more there are, of so many in all.

    >>> listed(["a", "b", "c"], most=2), listed(["a"], total=7)
    ('a, b and 1 more', 'a and 6 more')
    """
    shown = names[:most]
    more = (total or len(names)) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def partial_path(path: Path) -> Path:
    """Name a file has while it is being written, beside what a symlink leads to; players open it by its suffix.

    >>> partial_path(Path("out.mp4")).name
    'out.partial.mp4'
    """
    target = _target(path)
    return target.with_name(f"{target.stem}.partial{target.suffix}")


def partials_of(path: Path) -> list[Path]:
    """The partial files of `path` that are there, also those of single people (`out_person03.partial.trc`)."""
    target = _target(path)
    people = sorted(target.parent.glob(f"{escape(target.stem)}_person*.partial{escape(target.suffix)}"))
    return [found for found in (partial_path(path), *people) if found.exists()]


@contextmanager
def told_what_is_left(path: Path) -> Iterator[None]:
    """An error or an interruption here says on stderr what is left of the file, unless the error does."""
    try:
        yield
    except (KeyboardInterrupt, TrackerError) as error:
        left = [str(found) for found in partials_of(path) if str(found) not in str(error)]
        if left:
            print(f"what was done is in {' and '.join(left)}", file=sys.stderr)
        raise


def check_output(path: Path, overwrite: bool) -> None:
    """Refuse an output that cannot or must not be written; call it before any model is loaded.

    Raises OutputError when the folder is missing or not writable, when the path is a folder, a device or a pipe,
    or when the file, or the partial file of an interrupted run, exists and `overwrite` is false.
    """
    folder = _target(path).parent
    if path.is_dir():
        raise OutputError(f"{path} is a folder; name a file in it")
    if path.exists() and not path.is_file():
        raise OutputError(f"{path} is a device or a pipe, which a file would replace; name a file")
    if not folder.is_dir():
        raise OutputError(f"cannot write {path}: the folder {folder} does not exist; create it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write {path}: no permission to write in {folder}; choose another folder")
    for existing in (path, partial_path(path)):
        if existing.exists() and not overwrite:
            left = " (left by an interrupted run)" if existing != path else ""
            raise OutputError(f"{existing} exists{left}; move it away or pass --overwrite")


def check_apart(path: Path, source: Path) -> None:
    """Refuse, as UsageError, an output that would overwrite the file it is made of."""
    if real_path(source) in (real_path(path), real_path(partial_path(path))):
        raise UsageError(f"to write {path} would overwrite the input; name another output")


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, unless it is there; OutputError where that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder} ({error.strerror}); name another") from error


def explain_write_error(path: Path, error: OSError, left: str = "") -> OutputError:
    """The line on a file that cannot be written; left: what there is of it. Of a full disk it names the remedy.

    >>> str(explain_write_error(Path("out.csv"), OSError(errno.ENOSPC, "No space left on device")))
    'cannot write out.csv: No space left on device; free some or name another folder'
    """
    remedy = "; free some or name another folder" if error.errno == errno.ENOSPC else ""
    return OutputError(f"cannot write {path}: {error.strerror or error}{left}{remedy}")


def publish(path: Path) -> None:
    """Move the complete partial file of `path` into place, in one step; a symlink stays, its target is replaced."""
    partial_path(path).replace(_target(path))


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Whatever keeps a file from being written here becomes the OutputError of `explain_write_error`."""
    try:
        yield
    except (OutputError, BrokenPipeError):  # who reads a pipe may stop, which is no fault
        raise
    except OSError as error:
        raise explain_write_error(path, error) from error


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """The name under which a file is to be written here; then it is moved into place, or removed if that failed.

    OutputError where it cannot be written.
    """
    partial = partial_path(path)
    try:
        with explained(path):
            yield partial
            publish(path)
    except OutputError:
        partial.unlink(missing_ok=True)
        raise


def write_json(path: Path, content: Any) -> None:
    """Write a file of JSON whole or not at all; raises what `writing` does."""
    text = json.dumps(content, allow_nan=False) + "\n"
    with writing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def real_path(path: Path) -> Path:
    """The absolute path behind all links; unlike `Path.resolve` of Python 3.11, no error for links in a circle."""
    return Path(os.path.realpath(path))


def _target(path: Path) -> Path:
    return real_path(path) if path.is_symlink() else path
