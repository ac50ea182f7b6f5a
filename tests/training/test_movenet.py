"""MoveNet's convolutions as a start: the published file, and files that do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.trained import like_trained
from tests.vectors import SHARED
from tracker.errors import ModelError
from tracker.nets.bottom_up_mobilenet import BottomUpMobileNet
from tracker.training.initial import initialise
from tracker.training.movenet import _HEAD, _HEADS, _PYRAMID, is_movenet

MODELS = SHARED / "models"


def as_movenet(model: BottomUpMobileNet) -> dict[str, np.ndarray]:
    """The arrays of a file as MoveNet's is."""
    modules = dict(model.named_modules())
    trunk = [name for name in modules if name.startswith("trunk.") and isinstance(modules[name], nn.Conv2d)]
    names = {name: f"trunk.block_{i}" for i, name in enumerate(trunk)}
    names |= {f"upsampling.{ours}": theirs for ours, theirs in _PYRAMID.items()}
    names |= {f"heads.{ours}.{layer}": f"{head}.{layer}" for ours, head in _HEADS.items() for layer in _HEAD}
    arrays = {}
    for number, (ours, theirs) in enumerate(names.items()):
        for kind, value in modules[ours].named_parameters():
            arrays[f"{number:03}_{theirs}_{kind[0]}"] = value.detach().numpy()
    return arrays


def test_everything_is_taken_but_the_deconvolutions(tmp_path: Path) -> None:
    trained, model = like_trained(BottomUpMobileNet(17, 0.25)), BottomUpMobileNet(17, 0.25)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    np.savez(tmp_path / "a.npz", **as_movenet(trained), **{"099_box_scale_0.conv2d_5_w": np.zeros(2)})
    assert initialise(model, tmp_path / "a.npz") == []
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name] if ".deconvolutions." in name else trained.state_dict()[name]), name


def test_another_number_of_keypoints_starts_the_last_layers_anew(tmp_path: Path) -> None:
    trained, model = like_trained(BottomUpMobileNet(17, 0.25)), BottomUpMobileNet(14, 0.25)
    np.savez(tmp_path / "a.npz", **as_movenet(trained))
    assert initialise(model, tmp_path / "a.npz") == ["heads"]
    assert torch.equal(model.heads["places"][1].weight, trained.heads["places"][1].weight)
    assert torch.equal(model.heads["middles"][3].weight, trained.heads["middles"][3].weight)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        pytest.param("re_lu_1_w", None, "re_lu_1_w is absent, but upsampling.separables.1.1.weight", id="absent"),
        pytest.param("trunk.block_3_b", np.zeros(3), r"trunk.block_3_b is \(3,\), but trunk.stages.1", id="a shape"),
        pytest.param("kpt_regress_0.3_b", np.zeros(9), r"kpt_regress_0.3_b is \(9,\)", id="a head's last layer"),
    ],
)
def test_the_first_convolution_that_does_not_fit_is_named(
    tmp_path: Path, name: str, value: np.ndarray | None, message: str
) -> None:
    arrays = as_movenet(BottomUpMobileNet(17, 0.25))
    (stored,) = (key for key in arrays if key[4:] == name)
    if value is None:
        del arrays[stored]
    else:
        arrays[stored] = value
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ModelError, match=message) as raised:
        initialise(BottomUpMobileNet(17, 0.25), tmp_path / "a.npz")
    assert "\n" not in str(raised.value)


def test_other_arrays_are_no_movenet(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", other=np.zeros(3))
    (tmp_path / "b.npz").write_bytes(b"damaged")
    assert not any(is_movenet(tmp_path / name) for name in ("a.npz", "b.npz", "absent.npz", "a.pth"))


@pytest.mark.shared
@pytest.mark.skipif(not MODELS.is_dir(), reason="needs the development models")
@pytest.mark.parametrize(("name", "width"), [("multipose", 1.5), ("lightning", 1.0)])
def test_the_published_network_gives_its_own_outputs(name: str, width: float) -> None:
    model = BottomUpMobileNet(17, width).eval()
    initialise(model, MODELS / f"movenet_{name}.npz")
    with np.load(MODELS / f"movenet_{name}_check.npz") as check, torch.inference_mode():
        image: Tensor = torch.from_numpy(check["image_rgb"]).permute(2, 0, 1)[None].float()
        seen = model.look(image / 127.5 - 1)
        for maps, head in zip(seen, _HEADS.values(), strict=True):
            expected = check[head]
            assert np.abs(maps[0].numpy() - expected).max() <= 1e-3 * np.abs(expected).max(), head
