"""Optical flow: where points of one frame are in the next, and whether that is reliable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from tracker.errors import refuse_others
from tracker.flow.dense import DenseFlow
from tracker.flow.sparse import SparseFlow
from tracker.flow.still import NoFlow
from tracker.types import FlowEstimator

__all__ = ["FLOW_NAMES", "DenseFlow", "NoFlow", "SparseFlow", "create_flow"]

# Dense inverse search, sparse Lucas-Kanade, no motion.
_FLOWS: Mapping[str, Callable[[], FlowEstimator]] = {"dis": DenseFlow, "lk": SparseFlow, "none": NoFlow}
FLOW_NAMES = tuple(_FLOWS)


def create_flow(name: FlowEstimator | str, dense_side: int | None = None) -> FlowEstimator:
    """The flow of that name, with its usual settings; ValueError for one that is not in FLOW_NAMES.

    One that is no name is taken as it is. dense_side: `max_side` of dense flow by name, if not its own.
    """
    if not isinstance(name, str):
        refuse_others(f"{', '.join(_FLOWS)}, or an object that has `prepare` and `between`", "between", flow=name)
        return name
    if name not in _FLOWS:
        raise ValueError(f"unknown flow {name!r}; known: {', '.join(_FLOWS)}")
    flow = _FLOWS[name]()
    return replace(flow, max_side=dense_side) if dense_side and isinstance(flow, DenseFlow) else flow
