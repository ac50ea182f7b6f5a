"""Cutting and varying pictures on the device."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from tracker.pose.crops import crop_matrices, invert_matrices
from tracker.training.augmentation import vary, warp
from tracker.training.recipes import Appearance
from tracker.types import Image

NOTHING = Appearance(0, 0, 0, 0, 0, 0, 0, 0)


def picture(height: int = 90, width: int = 70) -> Image:
    """Soft blobs of colour."""
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 2) // 2 + 60, np.uint8)


def as_tensor(images: Image) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("scale", "degrees"),
    [pytest.param(0.3, 0, id="zoom"), pytest.param(0.2, 40, id="turn"), pytest.param(0.5, -75, id="beyond the edge")],
)
def test_warping_is_that_of_opencv(scale: float, degrees: float) -> None:
    image = picture()
    matrices = crop_matrices(np.array([[33.0, 47]]), np.full((1, 2), scale), (48, 64), degrees)
    expected = cv2.warpAffine(image, matrices[0], (48, 64), flags=cv2.INTER_LINEAR)
    crop = warp(as_tensor(image[None]), torch.from_numpy(invert_matrices(matrices)), (48, 64))
    # OpenCV rounds places to a 32nd of a pixel, which shows at the black edge
    difference = np.abs(crop[0].permute(1, 2, 0).numpy() - expected)
    assert difference[cv2.erode(expected, np.ones((5, 5))) > 0].max() <= 1
    assert difference.max() <= 1 + 128 / 32


def test_nothing_varies_without_shares() -> None:
    pictures = as_tensor(np.stack([picture(), picture()[::-1]])).float()
    torch.testing.assert_close(vary(pictures.clone(), NOTHING, generator()), pictures, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    "appearance",
    [
        pytest.param(Appearance(0.5, 0, 0, 0, 0, 0, 0, 0), id="brightness"),
        pytest.param(Appearance(0, 0.5, 0, 0, 0, 0, 0, 0), id="contrast"),
        pytest.param(Appearance(0, 0, 0.5, 0, 0, 0, 0, 0), id="saturation"),
        pytest.param(Appearance(0, 0, 0, 0.3, 0, 0, 0, 0), id="cast"),
        pytest.param(Appearance(0, 0, 0, 0, 1, 0, 0, 0), id="blur"),
        pytest.param(Appearance(0, 0, 0, 0, 0, 1, 0, 0), id="noise"),
        pytest.param(Appearance(0, 0, 0, 0, 0, 0, 1, 0), id="occlusion"),
        pytest.param(Appearance(0, 0, 0, 0, 0, 0, 0, 1), id="sharp"),
    ],
)
def test_each_change_happens_alone_and_depends_on_the_seed(appearance: Appearance) -> None:
    pictures = as_tensor(np.stack([picture(), picture()[::-1], picture()[:, ::-1]])).float()
    before = pictures.clone()
    varied = vary(pictures.clone(), appearance, generator(1))
    assert (varied - before).abs().flatten(1).amax(dim=1).min() > 0.3
    assert varied.min() >= 0
    assert varied.max() <= 255
    assert torch.equal(varied, vary(pictures.clone(), appearance, generator(1)))
    assert not torch.equal(varied, vary(pictures.clone(), appearance, generator(2)))


def test_what_stands_in_front_is_of_another_picture() -> None:
    pictures = torch.stack([torch.full((3, 40, 30), 10.0), torch.full((3, 40, 30), 200.0)])
    varied = vary(pictures, Appearance(0, 0, 0, 0, 0, 0, 1, 0), generator())
    for own, other, result in ((10, 200, varied[0]), (200, 10, varied[1])):
        covered = result == other
        assert (covered | (result == own)).all()
        assert 0.005 < covered.float().mean() < 0.25


def test_blurred_pictures_lose_detail_and_keep_their_light() -> None:
    checks = torch.zeros(4, 3, 32, 32)
    checks[..., ::2] = 200
    blurred = vary(checks.clone(), Appearance(0, 0, 0, 0, 1, 0, 0, 0), generator())
    assert (blurred.std(dim=(1, 2, 3)) <= checks.std(dim=(1, 2, 3))).all()
    assert blurred.std() < 0.9 * checks.std()
    assert blurred.mean().item() == pytest.approx(100, abs=5)


def test_sharp_pictures_gain_detail_where_there_is_some() -> None:
    waves = 100 + 40 * torch.sin(torch.arange(32.0)).expand(8, 3, 32, 32)
    sharp = vary(waves.clone(), Appearance(0, 0, 0, 0, 0, 0, 0, 1), generator())
    gains = sharp.std(dim=(1, 2, 3)) / waves.std(dim=(1, 2, 3))
    # A wave of one radian per pixel loses (1 - cos 1) / 2 by the blur, of which up to twice is added.
    assert (gains > 1).all()
    assert gains.max() < 1 + 2 * 0.23 + 0.02
    assert gains.std() > 0.05
    assert sharp.mean().item() == pytest.approx(waves.mean().item(), abs=0.5)
    grey = torch.full((8, 3, 4, 4), 90.0)
    torch.testing.assert_close(vary(grey.clone(), Appearance(0, 0, 0, 0, 0, 0, 0, 1), generator()), grey)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_cuts_as_the_cpu_does() -> None:
    image = as_tensor(picture()[None])
    matrices = torch.from_numpy(crop_matrices(np.array([[20.0, 20]]), np.full((1, 2), 0.1), (40, 40), 30))
    expected = warp(image, matrices, (48, 64))
    torch.testing.assert_close(warp(image.cuda(), matrices, (48, 64)).cpu(), expected, rtol=0, atol=0.1)
    varied = vary(expected.cuda(), Appearance(), torch.Generator("cuda").manual_seed(0))
    assert varied.device.type == "cuda"
