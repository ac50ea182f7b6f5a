"""What a trained network becomes before it is exported: the same function, arranged for engines that run graphs."""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tracker.nets.bottom_up_mobilenet import BottomUpMobileNet
from tracker.nets.lite_hrnet_graph import LiteHRNetGraph, depthwise, pointwise, separable
from tracker.nets.litepose import LitePose
from tracker.nets.mobilenet import SameConv
from tracker.nets.pose_lite_hrnet import PoseLiteHRNet


def arrange_for_export(model: nn.Module) -> nn.Module:
    """A copy of a network, in inference mode, that computes the same and is faster as a graph.

    Batch norm is folded into the convolutions, padding is the convolutions' own, and PoseLiteHRNet's trunk has no
    shuffles, which takes a tenth of its time. Bottom-up networks give heatmaps and tags apart: of each output the
    heatmaps, then any tags.
    """
    model = copy.deepcopy(model).eval()
    for module in list(model.modules()):
        if isinstance(module, nn.Sequential):
            _fold_batch_norms(module)
        for name, child in list(module.named_children()):
            if isinstance(child, SameConv) and child.stride[0] == 2:
                setattr(module, name, _PaddedConv(child))
    if isinstance(model, LitePose):
        _fold_fused_batch_norms(model)
    if isinstance(model, LitePose | BottomUpMobileNet):
        return _SplitMaps(model).eval()
    if isinstance(model, PoseLiteHRNet):
        return _PoseLiteHRNetGraph(model).eval()
    return model.eval()


class _PaddedConv(nn.Module):
    """A convolution that pads by a row of zeros at the bottom and a column at the right."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv
        arguments = x, conv.weight, conv.bias, conv.stride, conv.groups
        return _ConvFunction.apply(*arguments)  # type: ignore[no-untyped-call]


class _ConvFunction(torch.autograd.Function):
    """One node of an ONNX graph; a padding before it is another that ONNX Runtime does not join to it."""

    @staticmethod
    def forward(_context: Any, x: Tensor, weight: Tensor, bias: Tensor, stride: Any, groups: int) -> Any:
        return F.conv2d(F.pad(x, (0, 1, 0, 1)), weight, bias, stride, groups=groups)

    @staticmethod
    def symbolic(graph: Any, x: Any, weight: Any, bias: Any, stride: Any, groups: int) -> Any:
        return graph.op(
            "Conv",
            x,
            weight,
            bias,
            kernel_shape_i=weight.type().sizes()[2:],
            strides_i=stride,
            pads_i=[0, 0, 1, 1],
            group_i=groups,
        )


class _PoseLiteHRNetGraph(nn.Module):
    """PoseLiteHRNet on the trunk's graph, whose channels its heads read and write where they are there."""

    def __init__(self, model: PoseLiteHRNet) -> None:
        super().__init__()
        self.trunk = LiteHRNetGraph(model.trunk)
        self.decoder, self.further = model.decoder, model.further
        orders, scale = self.trunk.orders, self.trunk.scale
        mixers, upsamplings = cast(Any, self.decoder.mixers), cast(Any, self.decoder.upsamplings)
        targets = [*orders[-2::-1], None]
        for number, (source, target) in enumerate(zip(reversed(orders), targets, strict=True)):
            first, second, activate = mixers[number]
            factors = {2: (1.0, scale), 3: (1 / scale, 1.0)}.get(number, (1.0, 1.0))
            first = depthwise(first, source)
            first.weight.data *= factors[0]
            mixers[number] = nn.Sequential(first, pointwise(second, source, target, factors[1]), activate)
            if target is not None and isinstance(upsamplings[number], nn.ConvTranspose2d):
                upsamplings[number].weight.data = upsamplings[number].weight.data[target.argsort()]
        if self.further is not None:
            self.further.first = separable(self.further.first, orders[2])
            self.further.middle = pointwise(self.further.middle, orders[1])
            self.further.fine = pointwise(self.further.fine, orders[0])
            self.further.fine.weight.data /= scale

    forward = PoseLiteHRNet.forward


class _SplitMaps(nn.Module):
    """A bottom-up network, its heatmaps and tags apart."""

    def __init__(self, model: LitePose | BottomUpMobileNet) -> None:
        super().__init__()
        self.model = model
        self._split = model.num_keypoints
        self._tag_outputs = model.tag_outputs

    def forward(self, images: Tensor) -> list[Tensor]:
        """Heatmaps and tags of images, coarse to fine."""
        maps = []
        for output, has_tags in zip(self.model(images), self._tag_outputs, strict=True):
            maps += [output[:, : self._split], output[:, self._split :]] if has_tags else [output]
        return maps


def _fold_fused_batch_norms(model: LitePose) -> None:
    """Fold the batch norms that follow the sums of two deconvolutions."""
    for i, activate in enumerate(model.deconv_bnrelu):
        norm = cast(nn.BatchNorm2d, activate.get_submodule("0"))
        raw = fuse_conv_bn_eval(cast(nn.ConvTranspose2d, model.deconv_raw[i]), norm, transpose=True)
        raw.bias = None  # the other one of the pair has it
        model.deconv_raw[i] = raw
        refined = cast(nn.ConvTranspose2d, model.deconv_refined[i])
        model.deconv_refined[i] = fuse_conv_bn_eval(refined, norm, transpose=True)
        activate.register_module("0", nn.Identity())


def _fold_batch_norms(layers: nn.Sequential) -> None:
    for i in range(len(layers) - 1):
        conv, norm = layers[i], layers[i + 1]
        if isinstance(conv, nn.Conv2d | nn.ConvTranspose2d) and isinstance(norm, nn.BatchNorm2d):
            layers[i] = fuse_conv_bn_eval(conv, norm, transpose=isinstance(conv, nn.ConvTranspose2d))
            layers[i + 1] = nn.Identity()
