"""The bottom-up network of MoveNet's form: its upsampling, whose keypoint is whose, and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tracker.nets.bottom_up_mobilenet import BottomUpMobileNet, EdgeDeconvolution, vote_tags

SIZE_HW = (24, 40)


def middles_at(*people: tuple[int, int, float]) -> Tensor:
    """Logits of middles at rows and columns, as high as given; elsewhere hardly anything."""
    middles = torch.full((1, 1, *SIZE_HW), -12.0)
    for row, column, logit in people:
        middles[0, 0, row, column] = logit
    return middles


def places_of(keypoints: dict[tuple[int, int], list[tuple[float, float]]]) -> Tensor:
    """The places that middles at these cells have of two keypoints each, given by row and column on the map."""
    places = torch.zeros(1, 4, *SIZE_HW)
    for (row, column), points in keypoints.items():
        places[0, :, row, column] = torch.tensor([v for y, x in points for v in (y - row, x - column)])
    return places


# Two people whose boxes overlap: the second one's keypoints are between those of the first.
MIDDLES = middles_at((8, 12, 3.0), (9, 14, 2.0))
PLACES = places_of({(8, 12): [(4, 12), (14, 12)], (9, 14): [(6, 16), (10, 14)]})


def tag_at(keypoint: int, row: int, column: int) -> Tensor:
    """Both values of the tag of a keypoint in a cell."""
    return vote_tags(MIDDLES, PLACES).unflatten(1, (2, 2))[0, :, keypoint, row, column]


def test_a_deconvolution_starts_as_bilinear_upsampling_borders_included() -> None:
    x = torch.randn(2, 6, 5, 7, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(EdgeDeconvolution(6)(x), expected)


def test_tags_of_one_person_are_near_and_those_of_two_apart() -> None:
    first, second = [tag_at(0, 4, 12), tag_at(1, 14, 12)], [tag_at(0, 6, 16), tag_at(1, 10, 14)]
    assert (first[0] - first[1]).norm() < 0.3
    assert (second[0] - second[1]).norm() < 0.3
    assert min((own - other).norm() for own in first for other in second) > 1.5


def test_a_cell_far_from_every_place_has_a_tag_far_from_those_of_people() -> None:
    assert min((tag_at(0, 20, 36) - tag).norm() for tag in (tag_at(0, 4, 12), tag_at(0, 6, 16))) > 1.5


def test_the_tag_says_how_many_sigmas_a_cell_is_from_the_place() -> None:
    # 10 cells from the topmost to the lowest keypoint: sigma is 0.8 + 0.5 cells
    surest = torch.tensor(3.0).sigmoid()
    expected = (((2 / 1.3) ** 2 - 2 * surest.log()).sqrt()) / 3
    torch.testing.assert_close(tag_at(1, 16, 12)[0], expected, rtol=1e-3, atol=0)


def test_a_doubtful_middle_takes_nothing_from_a_sure_one_beside_it() -> None:
    doubtful = vote_tags(middles_at((8, 12, 3.0), (9, 14, -8.0)), PLACES).unflatten(1, (2, 2))
    # a cell a little nearer to the second one's place
    assert doubtful[0, 1, 1, 12, 13] == doubtful[0, 1, 1, 14, 12]
    assert tag_at(1, 11, 13)[1] != tag_at(1, 14, 12)[1]


@pytest.mark.parametrize(("shift", "are_one"), [(1, True), (6, False)], ids=["nearly the same", "another"])
def test_two_middles_of_one_person_are_one(shift: int, are_one: bool) -> None:
    middles = middles_at((8, 12, 2.0), (10, 12, 3.0))
    places = places_of({(8, 12): [(4, 12 + shift), (14, 12 + shift)], (10, 12): [(4, 12), (14, 12)]})
    numbers = vote_tags(middles, places)[0, 2]
    assert (numbers[4, 12] == numbers[4, 12 + shift]) == are_one


def test_pictures_of_a_batch_have_tags_of_their_own() -> None:
    other = middles_at((12, 30, 2.0)), places_of({(12, 30): [(8, 30), (18, 30)]})
    batch = vote_tags(torch.cat([MIDDLES, other[0]]), torch.cat([PLACES, other[1]]))
    torch.testing.assert_close(batch[:1], vote_tags(MIDDLES, PLACES))
    torch.testing.assert_close(batch[1:], vote_tags(*other))


@pytest.mark.parametrize("size_hw", [(32, 32), (64, 96)])
def test_heatmaps_are_shares_and_tags_have_two_values(size_hw: tuple[int, int]) -> None:
    model = BottomUpMobileNet(3, 0.25).eval()
    with torch.inference_mode():
        (maps,) = model(torch.randn(2, 3, *size_hw))
    assert maps.shape == (2, 9, size_hw[0] // 4, size_hw[1] // 4)
    assert ((maps[:, :3] > 0) & (maps[:, :3] < 1)).all()
