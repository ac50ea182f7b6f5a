"""Presets, and the settings that make no sense."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import pytest

from tracker.training.loop import learning_rate_factor
from tracker.training.recipes import (
    DETECTOR_PRESETS,
    LITEPOSE_PRESETS,
    POSE_PRESETS,
    Appearance,
    BottomUpWeights,
    LitePoseRecipe,
    PoseRecipe,
    Recipe,
    SceneViews,
    Views,
    without_augmentation,
)


def part(recipe: Recipe, cls: type[Any]) -> Any:
    """The fields of a part of a recipe."""
    return cls(**{f.name: getattr(recipe, f.name) for f in fields(cls)})


def test_the_papers_recipe_on_coco() -> None:
    recipe = POSE_PRESETS["paper-coco"]
    num_steps = recipe.num_steps(149_813)
    assert num_steps == math.ceil(140 * 149_813 / 128)
    config = replace(recipe, steps=num_steps)
    rates = [config.learning_rate * learning_rate_factor(config, int(num_steps * e / 140)) for e in (0, 89.9, 91, 121)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-5])
    assert (config.ema, config.max_gradient, config.frozen_stages, config.trunk_rate) == (0, math.inf, -1, 1)
    assert recipe.batch_size // recipe.accumulate == 32
    assert part(recipe, Views) == Views(0.3, 40, 0.6, 0.5, 0, 0, 0)
    assert part(recipe, Appearance) == Appearance(0, 0, 0, 0, 0, 0, 0, 0)
    assert (recipe.network, recipe.skeleton, recipe.input_size) == ("PoseResNet50", "coco17", (256, 192))


def test_the_papers_recipe_on_posetrack() -> None:
    recipe = POSE_PRESETS["paper-posetrack"]
    config = replace(recipe, steps=2000)
    rates = [config.learning_rate * learning_rate_factor(config, 100 * epoch) for epoch in (0, 9, 10, 14, 15, 19)]
    assert rates == pytest.approx([1e-4, 1e-4, 1e-5, 1e-5, 1e-6, 1e-6])
    assert (recipe.epochs, recipe.boxes, recipe.skeleton) == (20, "keypoints", "posetrack17")


@pytest.mark.parametrize(("preset", "skeleton"), [("paper-crowdpose", "crowdpose14"), ("paper-coco", "coco17")])
def test_the_papers_recipe_of_bottom_up_networks(preset: str, skeleton: str) -> None:
    recipe = LITEPOSE_PRESETS[preset]
    config = replace(recipe, steps=5000)
    rates = [config.learning_rate * learning_rate_factor(config, 10 * epoch) for epoch in (0, 349, 350, 479, 480, 499)]
    assert rates == pytest.approx([4e-3, 4e-3, 4e-4, 4e-4, 4e-5, 4e-5])
    assert (recipe.epochs, recipe.steps, recipe.skeleton, recipe.sigma, recipe.max_people) == (500, 0, skeleton, 2, 30)
    assert (config.ema, config.max_gradient, config.frozen_stages, config.trunk_rate) == (0, math.inf, -1, 1)
    assert part(recipe, BottomUpWeights) == BottomUpWeights((1, 1), background=1, pull=1e-3, push=1e-3)
    assert part(recipe, SceneViews) == SceneViews(30, (0.75, 1.5), 40, 0.5, exact_flip=False, pasted=0, negatives=0)
    assert part(recipe, Appearance) == Appearance(0, 0, 0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("height", "sigma", "expected"), [(256, 0.0, 2.0), (384, 0.0, 3.0), (384, 2.5, 2.5)], ids=["256", "384", "given"]
)
def test_sigma_grows_with_the_input(height: int, sigma: float, expected: float) -> None:
    assert PoseRecipe(input_size=(height, 192), sigma=sigma).target_sigma == expected


@pytest.mark.parametrize(
    ("changes", "num_rows", "num_steps"),
    [
        pytest.param({"steps": 7, "epochs": 3.0}, 100, 7, id="steps win"),
        pytest.param({"steps": 0, "epochs": 3.0}, 100, 10, id="three epochs of 100 by 32"),
        pytest.param({"steps": 0, "epochs": 0.5}, 64, 1, id="half an epoch"),
    ],
)
def test_steps(changes: dict[str, Any], num_rows: int, num_steps: int) -> None:
    assert PoseRecipe(batch_size=32, **changes).num_steps(num_rows) == num_steps


@pytest.mark.parametrize("recipe", [*POSE_PRESETS.values(), *DETECTOR_PRESETS.values(), *LITEPOSE_PRESETS.values()])
def test_augmentation_can_be_switched_off(recipe: Recipe) -> None:
    plain = without_augmentation(recipe)
    assert part(plain, Appearance) == Appearance(0, 0, 0, 0, 0, 0, 0, 0)
    assert plain.learning_rate == recipe.learning_rate
    if isinstance(plain, PoseRecipe):
        assert part(plain, Views) == Views(0, 0, 0, 0, 0, 0, 0)
    if isinstance(plain, LitePoseRecipe):
        # people at the edges are still to be seen
        assert part(plain, SceneViews) == SceneViews(0, (1, 1), 40, 0, recipe.exact_flip, pasted=0, negatives=0)


@pytest.mark.parametrize(
    ("preset", "changes", "message"),
    [
        pytest.param("pose", {"flip": 1.5}, "flip must be within 0 and 1, not 1.5", id="a share above 1"),
        pytest.param("pose", {"ema": -0.1}, "ema must be within", id="a negative share"),
        pytest.param("pose", {"batch_size": 0}, "batch_size must be above 0", id="no batch"),
        pytest.param("pose", {"learning_rate": math.nan}, "learning_rate must be above 0, not nan", id="NaN"),
        pytest.param("pose", {"steps": 0}, "steps or epochs", id="no steps"),
        pytest.param("pose", {"accumulate": 5}, "5 does not 16", id="parts that do not fit"),
        pytest.param("pose", {"input_size": (250, 192)}, "multiples of 32, not 250 192", id="an odd size"),
        pytest.param(
            "pose", {"network": "PoseResNet50", "frozen_stages": 1}, "frozen_stages must be -1", id="a frozen ResNet"
        ),
        pytest.param(
            "litepose",
            {"size": "MobileNetV2", "tags_at_each_scale": True},
            "tags_at_each_scale must be left out for size MobileNetV2",
            id="scales that are not there",
        ),
        pytest.param(
            "litepose", {"size": "MobileNetV2", "pull": 0.1}, "pull must be left out for size MobileNetV2", id="no tags"
        ),
        pytest.param("litepose", {"frozen_stages": 1}, "frozen_stages must be -1 for size XS", id="a frozen LitePose"),
        pytest.param("pose", {"repeats": ("coco",)}, "repeats must be NAME=TIMES each, not 'coco'", id="no times"),
        pytest.param("pose", {"repeats": ("coco=0",)}, "not 'coco=0'", id="no people of a folder"),
        pytest.param("detector", {"size": 300}, "size must be a multiple of 32", id="an odd scene"),
        pytest.param("detector", {"grids": (0.5, 0.5, 0.5)}, "sum to 1, not 0.5 0.5 0.5", id="more than all"),
        pytest.param("detector", {"zoom_alone": (2.0, 1.0)}, "zoom_alone must be two rising", id="falling zoom"),
        pytest.param(
            "detector",
            {"animals": 0.7, "backgrounds": 0.5},
            "animals must be at most 0.5 beside",
            id="together too many",
        ),
        pytest.param("litepose", {"region": (0.0, 1.0)}, "region must be two rising numbers above 0", id="no region"),
        pytest.param("litepose", {"input_size": 96}, "input_size must be a multiple of 64, not 96", id="a side of 96"),
    ],
)
def test_senseless_settings(preset: str, changes: dict[str, Any], message: str) -> None:
    recipe: Recipe = {"pose": POSE_PRESETS, "detector": DETECTOR_PRESETS, "litepose": LITEPOSE_PRESETS}[preset][
        "default"
    ]
    with pytest.raises(ValueError, match=message):
        replace(recipe, **changes)
