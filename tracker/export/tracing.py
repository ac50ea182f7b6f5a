"""A module of ours as an ONNX graph in single precision."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from typing import Any

from tracker.detection.maps import STRIDES
from tracker.errors import load_extra
from tracker.export.sources import Source
from tracker.pose.networks import names_of_outputs

_OPSET = 17
# A size that every network with an open one takes.
_ANY_SIZE_HW = (64, 96)


def trace(source: Source) -> Any:
    """The ONNX model of a module, of open batches, and of open sizes where the network has any and none is asked for.

    Raises DependencyError without the package onnx.
    """
    onnx = load_extra("onnx")
    import torch

    from tracker.nets.deployment import arrange_for_export

    assert source.model is not None
    names = [f"stride_{s}" for s in STRIDES] if source.kind == "detector" else names_of_outputs(source.model)
    size_hw = source.fixed_size_hw
    axes = {0: "batch"} if size_hw else {0: "batch", 2: "height", 3: "width"}
    open_axes = {name: {axis: f"{label}_{name}" if axis else label for axis, label in axes.items()} for name in names}
    buffer = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        # The exporter that replaces this one needs another package; each version of torch says so in other words.
        warnings.simplefilter("ignore", DeprecationWarning)
        # Repeating the border of an open size is no constant.
        warnings.filterwarnings("ignore", "Constant folding")
        torch.onnx.export(
            arrange_for_export(source.model),
            (torch.zeros(1, 3, *(size_hw or _ANY_SIZE_HW)),),
            buffer,  # type: ignore[arg-type]
            input_names=["image"],
            output_names=names,
            dynamic_axes={"image": axes, **open_axes},
            opset_version=_OPSET,
            dynamo=False,
        )
    return onnx.load_from_string(buffer.getvalue())


def with_metadata(model: Any, metadata: Mapping[str, str]) -> Any:
    """The ONNX model itself, which states this and nothing else; the same gives the same bytes."""
    load_extra("onnx").helper.set_model_props(model, dict(sorted(metadata.items())))
    return model
