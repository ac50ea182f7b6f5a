"""Weights, inputs and configurations that the reference numbers of networks were made with."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tests.vectors import FOLDERS, read_json
from tracker.nets.litepose import LitePoseConfig

_ARCHS = "LP-1_archs.json"


def fill_weights(model: nn.Module, salt: str) -> str:
    """Give each parameter its values by name (rule F of the vectors); returns the digest of all."""
    arrays = {name: _fill(name, tuple(value.shape), salt) for name, value in model.state_dict().items()}
    model.load_state_dict({name: torch.from_numpy(values) for name, values in arrays.items()})
    sha = hashlib.sha256()
    for name in sorted(arrays):
        if not name.endswith("num_batches_tracked"):
            sha.update(name.encode() + arrays[name].astype("<f4").tobytes())
    return sha.hexdigest()


def random_images(seed: int, size_hw: tuple[int, int]) -> Tensor:
    """One normalised image (1, 3, H, W)."""
    values = np.random.Generator(np.random.PCG64(seed)).standard_normal(size=(1, 3, *size_hw))
    return torch.from_numpy(values.astype(np.float32))


def litepose_config(beside: Path, arch: str) -> LitePoseConfig:
    """The configuration of a published LitePose, listed beside a file of vectors or in our own part of them."""
    listed = [path for path in (beside.with_name(_ARCHS), FOLDERS["own"] / "parity" / _ARCHS) if path.is_file()]
    content = read_json(listed[0])[arch]
    stages = content["backbone_setting"]
    ((expansion, kernel),) = {tuple(block) for stage in stages for block in stage["block_setting"]}
    assert [stage["stride"] for stage in stages] == [2] * (len(stages) - 1) + [1]
    return LitePoseConfig(
        stem=content["input_channel"],
        channels=tuple(stage["channel"] for stage in stages),
        deconvolutions=tuple(content["deconv_setting"]),
        num_blocks=tuple(stage["num_blocks"] for stage in stages),
        expansion=expansion,
        kernel=kernel,
    )


def _fill(name: str, shape: tuple[int, ...], salt: str) -> npt.NDArray[np.float32]:
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    rng = np.random.Generator(np.random.PCG64(zlib.crc32((salt + name).encode())))
    if name.endswith("running_var"):
        values = rng.uniform(0.5, 1.5, size=shape)
    elif name.endswith(("running_mean", "bias")):
        values = 0.1 * rng.standard_normal(size=shape)
    elif len(shape) == 1:
        values = rng.uniform(0.8, 1.2, size=shape)
    else:
        values = rng.standard_normal(size=shape) * np.sqrt(1 / np.prod(shape[1:]))
    return values.astype(np.float32)
