"""Figures as a table."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any


def markdown_table(header: Iterable[str], rows: Iterable[Iterable[Any]], digits: int = 1) -> str:
    """A table in Markdown whose columns stand below each other in a terminal, too, the first one to the left.

    Fractions have so many digits; None and NaN are a dash.

    >>> print(markdown_table(["setting", "MOTA"], [["pose", 61.84], ["flow", None]]))
    | setting | MOTA |
    |---------|-----:|
    | pose    | 61.8 |
    | flow    |    – |
    """
    lines = [[*header], *([_cell(value, digits) for value in row] for row in rows)]
    first, *others = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = [f"| {' | '.join([name.ljust(first), *map(str.rjust, cells, others)])} |" for name, *cells in lines]
    rule = "".join(["|", "-" * (first + 2), "|", *("-" * (width + 1) + ":|" for width in others)])
    return "\n".join([texts[0], rule, *texts[1:]])


def _cell(value: Any, digits: int) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)
