"""What a network file leaves unsaid, from a .toml beside it or from its name."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from tracker.errors import ModelError
from tracker.skeletons import skeleton_of


def settings_path(path: Path) -> Path:
    """The .toml beside a network file.

    >>> settings_path(Path("pose_resnet_50_256x192.pth.tar")).name
    'pose_resnet_50_256x192.toml'
    """
    return path.with_name(path.name.removesuffix(".tar")).with_suffix(".toml")


def settings_beside(path: Path) -> dict[str, Any]:
    """What the .toml beside a network file states, nothing without one; ModelError if it makes no sense."""
    file = settings_path(path)
    if not file.is_file():
        return {}
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{file} is no TOML ({error}); correct it") from error
    return parse_settings(content, str(file))


def parse_settings(stated: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Settings by name, as values of the program; lists may also come as JSON text.

    skeleton: its name. color: rgb or bgr. mean, std: three numbers, of 0–255 values. input_size: height and
    width in pixels, multiples of 32. style: pytorch or caffe. Raises ModelError, naming `source`, for any
    other.
    """
    settings = {}
    for key, value in stated.items():
        if key not in SETTINGS:
            raise ModelError(f"{source} states {key!r}, which is unknown; known: {', '.join(SETTINGS)}")
        try:
            settings[key] = SETTINGS[key](value)
        except (ValueError, TypeError, OverflowError) as error:
            raise ModelError(f"{source} states {key} = {value!r}, which makes no sense ({error})") from error
    return settings


def _one_of(*choices: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"it must be {' or '.join(choices)}")
        return str(value)

    return parse


def _listed(value: Any) -> Any:
    """A list that may have come as JSON text."""
    return json.loads(value) if isinstance(value, str) else value


def _three_numbers(value: Any) -> tuple[float, ...]:
    numbers = tuple(float(number) for number in _listed(value))
    if len(numbers) != 3 or not all(np.isfinite(numbers)):
        raise ValueError("it must be three numbers")
    return numbers


def _three_positive_numbers(value: Any) -> tuple[float, ...]:
    numbers = _three_numbers(value)
    if min(numbers) <= 0:
        raise ValueError("it must be above 0")
    return numbers


def _size_hw(value: Any) -> tuple[int, int]:
    height, width = _listed(value)
    if not all(isinstance(side, int) and side > 0 and side % 32 == 0 for side in (height, width)):
        raise ValueError("it must be height and width, multiples of 32")
    return height, width


SETTINGS: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {
        "skeleton": skeleton_of,
        "color": _one_of("rgb", "bgr"),
        "mean": _three_numbers,
        "std": _three_positive_numbers,
        "input_size": _size_hw,
        "style": _one_of("pytorch", "caffe"),
    }
)


def size_in_name(path: Path) -> tuple[int, int] | None:
    """Height and width in a file name, multiples of 32 as the network needs them.

    >>> size_in_name(Path("pose_resnet_50_384x288.pth.tar"))
    (384, 288)
    """
    for height, width in re.findall(r"(\d{2,4})x(\d{2,4})", path.name):
        if int(height) % 32 == int(width) % 32 == 0:
            return int(height), int(width)
    return None
