"""Lite-HRNet as a graph without shuffles: the same function in fewer passes over memory.

The channels of a branch stay in the order in which they were joined last, and a table tells which is where; it is
folded into the weights of the 1×1 and depthwise convolutions that read the map next.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from tracker.nets.lite_hrnet import STEM_CHANNELS, WIDTHS, Exchange, LiteHRNet, ShuffleBlock, Stem


class LiteHRNetGraph(nn.Module):
    """Images to the features of a LiteHRNet in inference mode, their channels in other orders.

    orders: of each branch (channels,), where in the map each channel is. scale: what the finest is multiplied by.
    """

    def __init__(self, trunk: LiteHRNet) -> None:
        super().__init__()
        self.stem = _Stem(trunk.stem)
        source, self.orders, self.scale = take_turns(torch.arange(STEM_CHANNELS)), [torch.arange(WIDTHS[0])], 1.0
        first, *transitions = trunk.transitions
        self.transitions = nn.ModuleList([separable(first, source)])
        self.stages = nn.ModuleList()
        stages: Any = trunk.stages
        for transition, stage in zip(transitions, stages, strict=True):
            self.orders.append(torch.arange(WIDTHS[len(self.orders)]))
            self.transitions.append(separable(transition, source))
            self.stages.append(nn.ModuleList(self._exchange(exchange) for exchange in stage))
            source = self.orders[-1]

    def _exchange(self, exchange: Exchange) -> _Exchange:
        moved = _Exchange(exchange, self.orders, self.scale)
        self.orders, self.scale = list(moved.orders), moved.scale
        return moved

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features from stride 4 to stride 32."""
        x = self.stem(x)
        branches = [self.transitions[0](x)]
        stages: Any = self.stages
        for transition, stage in zip(list(self.transitions)[1:], stages, strict=True):
            branches.append(transition(x))
            for exchange in stage:
                branches = exchange(branches)
            x = branches[-1]
        return branches


class _Stem(nn.Module):
    """A Stem whose paths see all channels, with weights of 0 for those of the other, and do not take turns."""

    def __init__(self, stem: Stem) -> None:
        super().__init__()
        left, right = torch.arange(STEM_CHANNELS).chunk(2)
        reduce, activate, *rest = stem.right
        self.first = nn.Sequential(stem.first, nn.ReLU())
        self.left = separable(stem.left, left, STEM_CHANNELS)
        self.right = nn.Sequential(pointwise(reduce, right, width=STEM_CHANNELS), activate, *rest)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return torch.cat([self.left(x), self.right(x)], dim=1)


class _Exchange(nn.Module):
    """An Exchange of branches whose channels are where `orders` tells, and then where `self.orders` does.

    scale, self.scale: what the finest branch is multiplied by, halved in place of counting it twice.
    """

    def __init__(self, exchange: Exchange, orders: Sequence[Tensor], scale: float) -> None:
        super().__init__()
        scales = (scale, *(1.0 for _ in orders[1:]))
        branches = list(map(_TwoBlocks, exchange.branches, orders, scales))
        self.branches = nn.ModuleList(branches)
        self.orders = [branch.order for branch in branches]
        self.scale = scale / 2
        fuse: Any = exchange.fuse
        rows = [list(row) for row in fuse]
        self.finer = nn.ModuleList(
            nn.ModuleList(
                _reduce(row[i], self.orders[i], self.orders[target], self.scale if i == 0 else None)
                for i in range(target)
            )
            for target, row in enumerate(rows)
        )
        self.coarser = nn.ModuleList(
            nn.ModuleList(
                pointwise(row[i], self.orders[i], self.orders[target], self.scale if target == 0 else 1.0)
                for i in range(target + 1, len(rows))
            )
            for target, row in enumerate(rows)
        )

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        branches = [blocks(x) for blocks, x in zip(self.branches, branches, strict=True)]
        totals: list[Tensor] = []
        rows: Any = zip(self.finer, self.coarser, strict=True)
        for target, (finer, coarser) in enumerate(rows):
            total = branches[target]
            if len(coarser):
                total = total + _enlarge(coarser, branches[target + 1 :])
            for layer, source in zip(finer, [*totals[:1], *branches[1:]], strict=False):
                total = layer(source) + total
            totals.append(total)
        return [torch.relu(total) for total in totals]


def _enlarge(layers: nn.ModuleList, sources: Sequence[Tensor]) -> Tensor:
    """The sum of what coarser branches give, each enlarged together with all that are coarser still."""
    *finer, last = zip(layers, sources, strict=True)
    total = last[0](last[1])
    for layer, source in reversed(finer):
        total = layer(source) + _double(total)
    return _double(total)


def _double(x: Tensor) -> Tensor:
    return nn.functional.interpolate(x, scale_factor=2.0)


class _TwoBlocks(nn.Module):
    """Two ShuffleBlocks of a map whose channels are where `order` tells, and then where `self.order` does.

    The first changes the second half of the channels; the second changes the second half of what was kept and of what
    was changed. scale: what all channels are multiplied by.
    """

    def __init__(self, blocks: nn.Module, order: Tensor, scale: float) -> None:
        super().__init__()
        kept, self.changed = order.chunk(2)
        self.kept, self.given = kept.chunk(2)
        self._sizes = [len(self.kept), len(self.given)]
        plain = torch.arange(len(kept))
        turns = take_turns(plain)
        first, second = cast(nn.Sequential, blocks)
        self.first = _scaled_block(first, plain, scale)
        self.second = _scaled_block(second, turns, scale)
        self.order = take_turns(torch.cat([turns, torch.arange(len(kept), len(order))]))

    def forward(self, x: Tensor) -> Tensor:
        kept, given = torch.split(self.first(x[:, self.changed]), self._sizes, dim=1)
        changed = self.second(torch.cat([x[:, self.given], given], dim=1))
        return torch.cat([x[:, self.kept], kept, changed], dim=1)


def _scaled_block(block: nn.Module, order: Tensor, scale: float) -> nn.Sequential:
    """What a block does to the half that it changes, which is in some order, and multiplied by a scale."""
    reduce, activate, middle, expand, _ = cast(ShuffleBlock, block).layers
    first, last = pointwise(reduce, order), pointwise(expand, factor=scale)
    first.weight.data /= scale
    return nn.Sequential(first, activate, middle, last, activate)


def _reduce(layers: Iterable[nn.Module], source: Tensor, target: Tensor, scale: float | None) -> nn.Sequential:
    """What goes to a coarser branch; scale: of the finest one, which counts twice."""
    strided, *steps, last = layers
    first = depthwise(strided, source)
    if scale is not None:
        first.weight.data /= scale
    factor = 1.0 if scale is None else 2.0
    if not steps:
        return nn.Sequential(first, pointwise(last, source, target, factor))
    return nn.Sequential(first, pointwise(steps[0], source), *steps[1:], pointwise(last, None, target, factor))


def take_turns(order: Tensor) -> Tensor:
    """Where channels are that come from the two halves of `order` in turns."""
    return order.view(2, -1).T.flatten()


def separable(layers: nn.Module, order: Tensor, width: int | None = None) -> nn.Sequential:
    """A depthwise and a 1×1 convolution and what follows, of channels in another order, among `width`."""
    first, second, *rest = cast(nn.Sequential, layers)
    return nn.Sequential(depthwise(first, order, width), pointwise(second, order, width=width), *rest)


@torch.no_grad()
def pointwise(
    layer: nn.Module,
    sources: Tensor | None = None,
    targets: Tensor | None = None,
    factor: float = 1.0,
    width: int | None = None,
) -> nn.Conv2d:
    """A 1×1 convolution, times a factor, that reads and writes channels in other orders; None is its own order.

    width: channels that it reads, by default its own, no more.
    """
    own = cast(nn.Conv2d, layer)
    sources = torch.arange(own.in_channels) if sources is None else sources
    targets = torch.arange(own.out_channels) if targets is None else targets
    moved = nn.Conv2d(width or own.in_channels, own.out_channels, kernel_size=1)
    moved.weight.zero_()
    moved.weight[targets[:, None], sources] = own.weight * factor
    cast(Tensor, moved.bias)[targets] = cast(Tensor, own.bias) * factor
    return moved


@torch.no_grad()
def depthwise(layer: nn.Module, order: Tensor, width: int | None = None) -> nn.Conv2d:
    """A depthwise convolution of channels in another order, among `width`, the others of which it sets to 0."""
    width = width or len(order)
    own = cast(nn.Conv2d, layer)
    moved = nn.Conv2d(width, width, own.kernel_size, own.stride, own.padding, groups=width)  # type: ignore[arg-type]
    for parameter, value in zip(moved.parameters(), own.parameters(), strict=True):
        parameter.zero_()
        parameter[order] = value
    return moved
