"""Everything a user can meet as an error; each message is one line: what, why, and the remedy.

    TrackerError
    ├── UsageError         an option or a combination of options that makes no sense   (exit code 2)
    ├── InputError         a video, image or folder that cannot be read                (also OSError)
    ├── OutputError        a file that cannot be written or must not be overwritten    (also OSError)
    ├── ModelError         a network file that is missing, damaged or of another kind  (also ValueError)
    ├── DeviceError        a device or engine that is asked for and absent
    └── DependencyError    a library that is installed but does not load               (also ImportError)

Wrong arguments in code (a wrong shape, say) are plain `ValueError`s: those are bugs, not user errors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from reprlib import repr as shorten
from shlex import quote
from types import ModuleType
from typing import SupportsFloat, SupportsIndex


class TrackerError(Exception):
    """Base of all errors a user can meet; `str(error)` is one line."""

    exit_code = 1


class UsageError(TrackerError):
    """An option, or a combination of options, that makes no sense."""

    exit_code = 2


class InputError(TrackerError, OSError):
    """A video, image, camera or folder that cannot be read."""


class OutputError(TrackerError, OSError):
    """A file that cannot be written, or that exists and must not be overwritten."""


class ModelError(TrackerError, ValueError):
    """A network file that is missing, damaged or of another kind than it must be."""


class DeviceError(TrackerError):
    """A device or engine that was asked for and is absent."""


class DependencyError(TrackerError, ImportError):
    """A library that is installed but does not load on this machine."""


A_NUMBER, A_WHOLE_NUMBER = ("a number", float, int, SupportsFloat), ("a whole number", int, SupportsIndex)
"""For `refuse_others`: no text, as of a command line, and not None. What is usual comes first: protocols are slow."""


def refuse_others(what: str, *kinds: type | str, **arguments: object) -> None:
    """Raise ValueError, with its name, for an argument that is of none of these types and has none of these methods.

    >>> refuse_others("a file or an object with `detect`", str, Path, "detect", detector="people.onnx")
    """
    for name, argument in arguments.items():
        if not any(hasattr(argument, kind) if isinstance(kind, str) else isinstance(argument, kind) for kind in kinds):
            raise ValueError(f"{name} must be {what}, not {' '.join(shorten(argument).split())}")


def nearest(wrong: str, right: Sequence[str], shown: Mapping[str, str] | None = None) -> str:
    """What to say of the right name that is most like a wrong one, if any is; shown: what stands for some of them.

    >>> nearest("larg", ["largest", "centre"]), nearest("zoom", ["largest", "centre"])
    ('; the nearest is largest', '')
    """
    near = [name for name in right if name.startswith(wrong)] or get_close_matches(wrong, right, 1, 0.5)
    return f"; the nearest is {(shown or {}).get(near[0], near[0])}" if near else ""


# Debian and Ubuntu packages that hold the system libraries opencv-python links to.
_SYSTEM_PACKAGES = {"libGL": "libgl1", "libgthread": "libglib2.0-0", "libglib": "libglib2.0-0"}


# What mends a library of which a part was removed. Two packages each bring cv2 and onnxruntime into the same folder:
# the one that is removed takes files of both with it, and pip takes the other one for installed.
REINSTALL_ONNXRUNTIME = "pip uninstall -y onnxruntime onnxruntime-gpu, then pip install onnxruntime-gpu"
_REINSTALL = {"cv2": "pip install --force-reinstall opencv-python", "onnxruntime": REINSTALL_ONNXRUNTIME}

# Beside the package in a checkout, and nowhere where it is installed.
_REQUIREMENTS = Path(__file__).parents[1] / "requirements.txt"


def install_libraries() -> str:
    """What installs the libraries that are missing; of an installed copy pip asks for what itself needs alone."""
    return f"pip install {'-r requirements.txt' if _REQUIREMENTS.is_file() else 'pose-tracker'}"


def reinstall_libraries() -> str:
    """What mends libraries when it is not known which of them is at fault."""
    if _REQUIREMENTS.is_file():
        return "pip install --force-reinstall -r requirements.txt"
    return "install the program again, in a new virtual environment"


def is_hollow(error: AttributeError) -> bool:
    """Whether what lacks an attribute is a library of which the folder alone is left."""
    return isinstance(error.obj, ModuleType) and getattr(error.obj, "__file__", None) is None


def explain_missing_system_library(error: Exception) -> DependencyError | None:
    """What brings the system library that OpenCV lacks, None if it is not that."""
    library = re.search(r"(lib[\w.+-]+\.so[\d.]*): cannot open", str(error))
    if not library or not any(library[1].startswith(name) for name in _SYSTEM_PACKAGES):
        return None
    packages = " ".join(sorted(set(_SYSTEM_PACKAGES.values())))
    return DependencyError(
        f"OpenCV needs the system library {library[1]}; on Debian or Ubuntu: apt-get install {packages}"
    )


def explain_import_error(error: ImportError | AttributeError) -> DependencyError:
    """The one line a user needs when a library does not import, or is hollow.

    On a slim Linux image cv2 lacks libGL and glib; the line names the packages that bring them.

    >>> str(explain_import_error(ImportError("libGL.so.1: cannot open shared object file")))
    'OpenCV needs the system library libGL.so.1; on Debian or Ubuntu: apt-get install libgl1 libglib2.0-0'
    """
    if lacking := explain_missing_system_library(error):
        return lacking
    reason = " ".join(str(error).split())
    module = error.obj if isinstance(error, AttributeError) else None
    name = module.__name__ if isinstance(module, ModuleType) else error.name or "a library"
    if not isinstance(error, ModuleNotFoundError) or name not in _REINSTALL:  # it is there, but not whole
        for part, remedy in _REINSTALL.items():
            if part == name.partition(".")[0] or f'"{part}"' in reason:
                return DependencyError(f"{part} is not whole ({reason}); run: {remedy}")
    return DependencyError(f"{name} cannot be imported ({reason}); run: {install_libraries()}")


# What needs a library that not everybody installs, and what pip calls it.
_EXTRAS = {
    **dict.fromkeys(("fastapi", "uvicorn", "python_multipart", "PIL"), ("server", "pose-tracker[serve]")),
    "pandas": ("data frame", "pandas"),
    "onnx": ("graph", "pose-tracker[train]"),
    "ray": ("cluster", "pose-tracker[cluster]"),
    "skimage": ("photographs of the demo", "scikit-image"),
    "pycocotools": ("AP", "pycocotools>=2.0.10,<3"),
    "pyarrow": ("Parquet", "pose-tracker[parquet]"),
    "ezc3d": ("C3D", "pose-tracker[c3d]"),
    "rerun": ("Rerun recording", "pose-tracker[rerun]"),
    "supervision": ("key points of supervision's", "pose-tracker[supervision]"),
}


def load_extra(name: str) -> ModuleType:
    """A library of `_EXTRAS`, or a part of one; DependencyError with what installs it where it does not import."""
    try:
        return import_module(name)
    except ImportError as error:
        library = name.partition(".")[0]
        what, package = _EXTRAS[library]
        raise DependencyError(f"no {what} without {library} ({error}); run: pip install {quote(package)}") from error
