"""Lite-HRNet, the pose network on it, and both as graphs without shuffles."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.trained import like_trained
from tracker.nets.deployment import arrange_for_export
from tracker.nets.pose_lite_hrnet import Decoder, PoseLiteHRNet, deconvolution


def images(count: int = 2, height: int = 64, width: int = 96) -> torch.Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("further", [0, 2], ids=["one head", "a further head"])
@pytest.mark.parametrize("upsampling", ["bilinear", "deconvolution"])
@pytest.mark.parametrize("size", [(64, 96), (32, 32)], ids=["64×96", "smallest"])
def test_the_arranged_graph_computes_the_same(upsampling: str, further: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    model = like_trained(PoseLiteHRNet(19, further, upsampling))
    if upsampling == "deconvolution":
        for module in model.modules():
            if isinstance(module, nn.ConvTranspose2d):
                # no two channels alike
                module.weight.data *= torch.rand(len(module.weight), 1, 1, 1) + 0.5
    pictures = images(2, *size)
    with torch.inference_mode():
        expected, given = model(pictures), arrange_for_export(model)(pictures)
    assert given.shape == expected.shape == (2, 19, size[0] // 4, size[1] // 4)
    assert (expected[0] - expected[1]).abs().amax(dim=(1, 2)).min() > 1e-3
    torch.testing.assert_close(given, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_a_further_head_changes_nothing_of_the_first() -> None:
    torch.manual_seed(0)
    model, more = like_trained(PoseLiteHRNet(17)), PoseLiteHRNet(19, 2).eval()
    absent, unexpected = more.load_state_dict(model.state_dict(), strict=False)
    assert not unexpected
    assert {name.split(".")[0] for name in absent} == {"further"}
    with torch.inference_mode():
        torch.testing.assert_close(more(images())[:, :17], model(images()))


def test_a_deconvolution_starts_bilinearly() -> None:
    layer, x = deconvolution(3), torch.rand(1, 3, 6, 5)
    expected = nn.functional.interpolate(x, scale_factor=2, mode="bilinear")
    with torch.no_grad():
        # at the border it pads with zeros
        torch.testing.assert_close(layer(x)[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1])


def test_heads_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="fewer than the 2 keypoints, not 2"):
        PoseLiteHRNet(2, 2)
    with pytest.raises(ValueError, match="bilinear, deconvolution, not 'cubic'"):
        Decoder(2, "cubic")
