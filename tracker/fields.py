"""Fields of tables that describe networks, checked by name: of a .toml, or of a file's metadata."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from tracker.errors import ModelError

# A value as it is stated → the value of the program; ValueError or TypeError for one that makes no sense.
Parse: TypeAlias = Callable[[Any], Any]


def read_fields(stated: Mapping[str, Any], known: Mapping[str, Parse], source: str) -> dict[str, Any]:
    """The values of a table by name, as values of the program; ModelError, naming `source`, for any other.

    >>> read_fields({"color": "rgb", "mean": "[1, 2, 3]"}, {"color": one_of("rgb"), "mean": numbers(3)}, "a.toml")
    {'color': 'rgb', 'mean': (1.0, 2.0, 3.0)}
    """
    values = {}
    for name, value in stated.items():
        if name not in known:
            raise ModelError(f"{source} states {name!r}, which is unknown; known: {', '.join(known)}")
        try:
            values[name] = known[name](value)
        except (ValueError, TypeError, OverflowError) as error:
            raise ModelError(f"{source} states {name} = {value!r}, which makes no sense ({error})") from error
    return values


def one_of(*choices: str) -> Parse:
    """One of several words."""

    def parse(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"it must be {' or '.join(choices)}")
        return str(value)

    return parse


def numbers(count: int, above: float = -math.inf) -> Parse:
    """A list of so many numbers above another, which may also come as JSON text."""

    def parse(value: Any) -> tuple[float, ...]:
        listed = tuple(float(number) for number in from_text(value))
        if len(listed) != count or not all(above < number < math.inf for number in listed):
            raise ValueError(f"it must be {count} numbers" + (f" above {above:g}" if above > -math.inf else ""))
        return listed

    return parse


def text(value: Any) -> str:
    """Words."""
    if not isinstance(value, str):
        raise ValueError("it must be a text")
    return value


def from_text(value: Any) -> Any:
    """A value that may have come as JSON text."""
    return json.loads(value) if isinstance(value, str) else value


def class_names(metadata: Mapping[str, str]) -> dict[int, str]:
    """The classes that an export of Ultralytics states, as Python text; none where a file states none.

    >>> class_names({"names": "{0: 'person'}"})
    {0: 'person'}
    """
    try:
        return {int(number): str(name) for number, name in dict(literal(metadata.get("names", "{}"))).items()}
    except (ValueError, TypeError):
        return {}


def literal(text: str) -> Any:
    """The value that a Python literal stands for; ValueError for any other text."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(f"{text[:40]!r} is no value") from error
