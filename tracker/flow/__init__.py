"""Optical flow: where points of one frame are in the next, and whether that is reliable."""

from __future__ import annotations

from tracker.flow.dense import DenseFlow
from tracker.flow.sparse import SparseFlow
from tracker.flow.still import NoFlow
from tracker.types import FlowEstimator

__all__ = ["FLOW_NAMES", "DenseFlow", "NoFlow", "SparseFlow", "create_flow"]

FLOW_NAMES = ("dis", "lk", "none")


def create_flow(name: str, *, max_side: int = 480) -> FlowEstimator:
    """The flow of that name: `dis` is dense inverse search, `lk` sparse Lucas-Kanade, `none` no motion.

    max_side: longest side, in pixels, of the pictures that `dis` and `lk` work on. ValueError for an unknown name.
    """
    if name == "dis":
        return DenseFlow(max_side)
    if name == "lk":
        return SparseFlow(max_side)
    if name == "none":
        return NoFlow()
    raise ValueError(f"unknown flow {name!r}; known: {', '.join(FLOW_NAMES)}")
