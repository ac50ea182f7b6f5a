"""Recipes: the numbers of a training run. Each field is an option of `train`, and each preset sets them all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from tracker.nets import IMAGENET_MEAN, IMAGENET_STD, LITEPOSE_INPUT_SIZES, UPSAMPLINGS
from tracker.skeletons import SKELETONS

if TYPE_CHECKING:
    from tracker.pose.networks import Normalization

POSE_NETWORKS = ("PoseLiteHRNet", "PoseResNet50", "PoseResNet101", "PoseResNet152")
# Sizes of LitePose, and the side of the input that each is trained with.
BOTTOM_UP_SIDES: Mapping[str, int] = MappingProxyType({**LITEPOSE_INPUT_SIZES, "MobileNetV2": 320})
# What a BottomUpMobileNet does not ask: it has one output, targets of its own, and no tags to learn.
_LITEPOSE_ALONE = (
    "tags_at_each_scale", "sigma", "whole_cells", "max_people", "heatmaps", "background", "pull", "push",
)  # fmt: skip

AnyRecipe = TypeVar("AnyRecipe", bound="Recipe")


def _of(default: Any, text: str, *choices: str, rule: str = "") -> Any:
    """A field with what it means, and what it may be: one of the choices, or what the rule of that name lets pass."""
    return field(default=default, metadata={"help": text, "choices": choices or None, "rule": rule})


_share = partial(_of, rule="share")
_positive = partial(_of, rule="positive")
_range = partial(_of, rule="range")


def _fault(rule: str, value: Any) -> str | None:
    """What a value must be and is not."""
    if rule == "share" and not 0 <= value <= 1:
        return f"must be within 0 and 1, not {value}"
    if rule == "positive" and not value > 0:
        return f"must be above 0, not {value}"
    if rule == "range" and not 0 < value[0] <= value[1]:
        return f"must be two rising numbers above 0, not {value[0]} {value[1]}"
    return None


@dataclass(frozen=True)
class LoopConfig:
    """How long and how fast a network is trained.

    Relative rates suit networks whose batch norm is folded: their tensors differ in size by a thousand. The schedule
    "cosine" falls to a hundredth, "step" to a tenth at each of `drops`. The averaged weights are validated and kept.
    """

    steps: int = _of(15_000, "steps of the optimizer; 0 counts by epochs")
    learning_rate: float = _positive(1e-3, "of Adam")
    trunk_rate: float = _share(1.0, "learning rate of the trunk and of a published head, as a share; 0 keeps them")
    relative_rate: bool = _of(False, "take rates as shares of each tensor's size, for batch norm that is folded")
    schedule: str = _of("cosine", "how the learning rate falls", "cosine", "step")
    drops: tuple[float, ...] = _of((), "shares of the run after which it is a tenth, for step")
    warmup: int = _of(200, "steps of rising learning rate")
    ema: float = _share(0.999, "decay of the averaged weights; 0 keeps the last ones")
    frozen_stages: int = _of(-1, "stages of the trunk that stay as they are, beside its stem; -1 trains all")
    accumulate: int = _positive(1, "parts that a batch is processed in")
    seed: int = _of(0, "of everything random")
    max_gradient: float = _positive(1.0, "norm that gradients are cut to; inf leaves them")


@dataclass(frozen=True)
class Appearance:
    """How pictures are varied."""

    brightness: float = _share(0.2, "largest relative change")
    contrast: float = _share(0.2, "likewise")
    saturation: float = _share(0.2, "likewise")
    cast: float = _share(0.05, "largest relative change of one colour")
    blur: float = _share(0.05, "share of pictures that lose detail")
    noise: float = _share(0.05, "share of pictures with noise")
    occlusion: float = _share(0.1, "share of pictures with a piece of another in front")
    sharp: float = _share(0.6, "share of pictures whose detail is stressed")


@dataclass(frozen=True)
class Recipe(Appearance, LoopConfig):
    """What all networks' training has: its course, and how pictures are varied. ValueError for senseless values."""

    epochs: float = _of(0.0, "times that every person, or picture, is seen")
    batch_size: int = _positive(16, "people, or pictures, per step")
    repeats: tuple[str, ...] = _of(
        ("flickr8k=2", "coco=10"), "times that people, or pictures, of folders of these names come, each NAME=TIMES"
    )

    def __post_init__(self) -> None:
        for setting in fields(self):
            if fault := _fault(setting.metadata["rule"], getattr(self, setting.name)):
                raise ValueError(f"{setting.name} {fault}")
        if self.steps < 0 or self.epochs < 0 or not self.steps + self.epochs:
            raise ValueError("steps or epochs must be above 0")
        times_of(self.repeats)
        if self.batch_size % self.accumulate:
            raise ValueError(f"accumulate must divide the batch size, and {self.accumulate} does not {self.batch_size}")

    @property
    def part_size(self) -> int:
        """People, or pictures, that are processed at a time."""
        return self.batch_size // self.accumulate

    def num_steps(self, num_rows: int) -> int:
        """Steps of the optimizer over so many people, or pictures."""
        return self.steps or math.ceil(self.epochs * num_rows / self.batch_size)


@dataclass(frozen=True)
class NetworkInput:
    """How pixels become the input of a pose network."""

    mean: tuple[float, float, float] = _of(IMAGENET_MEAN, "of 0–255 values, taken off the input")
    std: tuple[float, float, float] = _of(IMAGENET_STD, "that the input is divided by")
    color: Literal["rgb", "bgr"] = _of("rgb", "order of the channels", "rgb", "bgr")

    @property
    def normalization(self) -> Normalization:
        """The same, to be applied."""
        from tracker.pose.networks import Normalization

        return Normalization(self.color, self.mean, self.std)


@dataclass(frozen=True)
class Views:
    """Random views of a person, as the official code draws them where it has the same."""

    scale: float = _share(0.25, "standard deviation and bound of the relative size")
    rotation_deg: float = _of(25.0, "standard deviation of the rotation, bound at twice it")
    rotated: float = _share(0.5, "share of people who are rotated")
    flip: float = _share(0.5, "share of people who are mirrored")
    shift: float = _of(0.02, "standard deviation of the place, in boxes")
    half_body: float = _share(0.05, "share of people of whom one half is shown")
    damage: float = _share(0.05, "share of people with compression artefacts or motion blur")


@dataclass(frozen=True)
class PoseRecipe(Views, NetworkInput, Recipe):
    """How a top-down pose network is trained."""

    network: str = _of("PoseLiteHRNet", "what is trained", *POSE_NETWORKS)
    upsampling: str = _of("bilinear", "of PoseLiteHRNet's decoder", *UPSAMPLINGS)
    teacher_share: float = _share(0.5, "what a teacher's heatmaps count beside labels that are not true (--teacher)")
    teacher_true_share: float = _share(0.0, "likewise beside true ones; 1 keeps what the teacher knows")
    skeleton: str = _of("body19", "keypoints of the network; what the data lacks is not trained", *SKELETONS)
    input_size: tuple[int, int] = _of((256, 192), "height and width of the network's input")
    sigma: float = _of(0.0, "of the heatmaps' Gaussians, in cells; 0 is a 128th of the input's height")
    whole_cells: bool = _of(False, "put Gaussians on whole cells, as published")
    dark_kernel: int = _of(
        5, "width of the Gaussian with which its heatmaps are decoded by DARK; 0: by a quarter cell, as published"
    )
    boxes: str = _of(
        "annotated", "boxes of people; those of keypoints are 15 % larger than them", "annotated", "keypoints"
    )
    min_keypoints: int = _of(5, "people with fewer labelled keypoints are left out")
    min_box_score: float = _of(0.4, "so are people with less sure boxes")
    true_repeats: int = _positive(3, "times that people with 8 or more true limb keypoints come per epoch")
    stored_zoom: float = _positive(1.3125, "size of the stored crops, which show more, over the input's")

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(side <= 0 or side % 32 for side in self.input_size):
            raise ValueError(f"input_size must be multiples of 32, not {' '.join(map(str, self.input_size))}")
        if self.dark_kernel != 0 and (self.dark_kernel < 3 or self.dark_kernel % 2 == 0):
            raise ValueError(f"dark_kernel must be 0 or odd and at least 3, not {self.dark_kernel}")
        if self.frozen_stages >= 0 and self.network != "PoseLiteHRNet":
            raise ValueError(f"frozen_stages must be -1 for {self.network}: only Lite-HRNet's are frozen")

    @property
    def target_sigma(self) -> float:
        """Sigma of the heatmaps' Gaussians in cells: 2 at 256×192 and 3 at 384×288, unless it is given."""
        return self.sigma or self.input_size[0] / 128

    @property
    def input_wh(self) -> tuple[int, int]:
        """Width and height of the network's input in pixels."""
        return self.input_size[1], self.input_size[0]


@dataclass(frozen=True)
class Layouts:
    """How the scenes of a detector are put together."""

    grids: tuple[float, float, float] = _of((0.45, 0.4, 0.15), "shares of one picture, mosaics of 2×2 and of 3×3")
    zoom_alone: tuple[float, float] = _range(
        (0.4, 2.5), "least and largest size of a picture, over what fills its place"
    )
    zoom_in_mosaic: tuple[float, float] = _range((0.6, 1.8), "likewise in a mosaic")
    negatives: float = _share(0.3, "share of places in which nobody is")
    animals: float = _share(0.35, "share of those for windows around animals of pictures with people (--animal-finder)")
    backgrounds: float = _share(0.15, "share of those for windows beside people; the rest are pictures without people")
    zoom_negatives: tuple[float, float] = _range((0.6, 1.7), "least and largest size of what is in those places")
    rotation_deg: float = _of(30.0, "largest rotation of it")


@dataclass(frozen=True)
class DetectorRecipe(Layouts, Recipe):
    """How the person detector is trained."""

    size: int = _of(320, "side of the composed pictures")
    empty_weight: float = _of(6.0, "what cells of places without people count in the loss")
    box_weight: float = _of(4.0, "what boxes count in the loss beside scores")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size <= 0 or self.size % 32:
            raise ValueError(f"size must be a multiple of 32, not {self.size}")
        if abs(sum(self.grids) - 1) > 1e-6 or min(self.grids) < 0:
            raise ValueError(f"grids must be shares that sum to 1, not {' '.join(map(str, self.grids))}")
        if self.animals + self.backgrounds > 1:
            raise ValueError(f"animals must be at most {1 - self.backgrounds:g} beside such backgrounds")


@dataclass(frozen=True)
class SceneViews:
    """Random views of whole pictures, as the official code draws them where it has the same."""

    rotation_deg: float = _of(30.0, "largest rotation")
    region: tuple[float, float] = _range(
        (0.75, 1.5), "least and largest side of what is seen, over the picture's short side"
    )
    translation: float = _of(40.0, "largest shift on each axis, in 200ths of what is seen")
    flip: float = _share(0.5, "share of pictures that are mirrored")
    exact_flip: bool = _of(True, "mirror keypoints as pictures are; as published, they are up to a cell beside them")
    long_side: bool = _of(False, "measure what is seen by the long side of pictures")
    pasted: float = _share(0.3, "share of pictures with one to three people of others in front")
    negatives: float = _share(0.03, "share of pictures without people, where there are such")


@dataclass(frozen=True)
class BottomUpWeights:
    """What the parts of a bottom-up network's loss count.

    Published code takes 1 for the background, Geng et al. (CVPR 2021) 0.1.
    """

    heatmaps: tuple[float, ...] = _of((1.0, 1.0), "what the heatmaps of the outputs count in the loss, coarse to fine")
    background: float = _share(1.0, "what cells without a keypoint count, over those with one")
    pull: float = _of(1e-3, "what tags that are far from those of the same person count")
    push: float = _of(1e-3, "what tags that are near those of another person count")


@dataclass(frozen=True)
class LitePoseRecipe(BottomUpWeights, SceneViews, NetworkInput, Recipe):
    """How a bottom-up network is trained."""

    size: str = _of("XS", "of the released networks; MobileNetV2 is a BottomUpMobileNet", *BOTTOM_UP_SIDES)
    tags_at_each_scale: bool = _of(False, "give every output tags, not the coarsest alone")
    skeleton: str = _of("coco17", "keypoints of the network; what the data lacks is to be empty", *SKELETONS)
    input_size: int = _of(0, "side of the network's input; 0 is that of the released network")
    picture_size: int = _of(0, "short side of the pictures it is to be used on; 0 is the side of the input")
    sigma: float = _positive(2.0, "of the heatmaps' Gaussians, in cells of each output")
    whole_cells: bool = _of(True, "put Gaussians on whole cells, as published")
    max_people: int = _positive(30, "people in a picture whose tags are trained")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("input_size", "picture_size"):
            if getattr(self, name) < 0 or getattr(self, name) % 64:
                raise ValueError(f"{name} must be a multiple of 64, not {getattr(self, name)}")
        for name in _LITEPOSE_ALONE:
            if self.size == "MobileNetV2" and getattr(self, name) != getattr(LitePoseRecipe, name):
                raise ValueError(f"{name} must be left out for size MobileNetV2: it has no use for it")
        if self.size != "MobileNetV2" and self.frozen_stages >= 0:
            raise ValueError(f"frozen_stages must be -1 for size {self.size}: only MobileNetV2's are frozen")

    @property
    def network(self) -> str:
        """The name of what is trained."""
        return "BottomUpMobileNet" if self.size == "MobileNetV2" else f"LitePose-{self.size}"

    @property
    def side(self) -> int:
        """Side of the network's input in pixels."""
        return self.input_size or BOTTOM_UP_SIDES[self.size]

    @property
    def short_side(self) -> int:
        """Short side of the pictures that the network is to be used on, in pixels."""
        return self.picture_size or self.side


def times_of(repeats: Sequence[str]) -> dict[str, int]:
    """Times by name from NAME=TIMES each; ValueError for another form."""
    times = {}
    for text in repeats:
        name, _, number = text.partition("=")
        if not (name and number.isascii() and number.isdigit() and int(number)):
            raise ValueError(f"repeats must be NAME=TIMES each, not {text!r}")
        times[name] = int(number)
    return times


# Everything that varies pictures, switched off.
_PLAIN_APPEARANCE: dict[str, Any] = dict.fromkeys((f.name for f in fields(Appearance)), 0.0)
# How both papers train, beside their own numbers.
_PAPER: dict[str, Any] = _PLAIN_APPEARANCE | {
    "steps": 0,
    "schedule": "step",
    "warmup": 0,
    "ema": 0.0,
    "max_gradient": math.inf,
    "repeats": (),
}
# Pictures still move, since a view need not show all of one.
_PLAIN_SCENES: dict[str, Any] = dict.fromkeys(("rotation_deg", "flip", "pasted", "negatives"), 0.0)
_PLAIN_SCENES |= {"region": (1.0, 1.0)}
_PLAIN_VIEWS: dict[str, Any] = dict.fromkeys((f.name for f in fields(Views)), 0.0)

# Xiao et al. 2018, section 5.1, and the official configuration; four GPUs of 32 become four parts of a batch.
_PAPER_COCO = PoseRecipe(
    **_PAPER,
    network="PoseResNet50",
    skeleton="coco17",
    epochs=140.0,
    batch_size=128,
    accumulate=4,
    drops=(90 / 140, 120 / 140),
    whole_cells=True,
    dark_kernel=0,
    min_keypoints=1,
    min_box_score=0.0,
    true_repeats=1,
    stored_zoom=1.5,
    scale=0.3,
    rotation_deg=40.0,
    rotated=0.6,
    flip=0.5,
    shift=0.0,
    half_body=0.0,
    damage=0.0,
)

_POSE = PoseRecipe(steps=1_100, learning_rate=4e-3, relative_rate=True, trunk_rate=0.025, warmup=100, ema=0.998)
POSE_PRESETS: Mapping[str, PoseRecipe] = MappingProxyType(
    {
        "default": _POSE,
        # The head for keypoints beyond the published ones alone.
        "further": replace(
            _POSE,
            steps=4_500,
            learning_rate=2.4e-2,
            trunk_rate=0.0,
            warmup=50,
            # People whom a teacher labelled have neither.
            min_box_score=1.0,
            true_repeats=1,
            repeats=(),
        ),
        "paper-coco": _PAPER_COCO,
        # Section 5.2.
        "paper-posetrack": replace(
            _PAPER_COCO, skeleton="posetrack17", epochs=20.0, learning_rate=1e-4, drops=(0.5, 0.75), boxes="keypoints"
        ),
    }
)
DETECTOR_PRESETS: Mapping[str, DetectorRecipe] = MappingProxyType(
    {
        "default": DetectorRecipe(
            steps=700,
            learning_rate=3e-4,
            relative_rate=True,
            warmup=50,
            ema=0.998,
            max_gradient=10.0,
            brightness=0.4,
            contrast=0.4,
            saturation=0.7,
            cast=0.15,
            blur=0.15,
            sharp=0.5,
            noise=0.1,
            repeats=("flickr8k=2", "coco=15"),
        )
    }
)


# Wang et al. 2022 and the official configuration.
_PAPER_CROWDPOSE = LitePoseRecipe(
    **_PAPER,
    skeleton="crowdpose14",
    epochs=500.0,
    batch_size=32,
    learning_rate=4e-3,
    drops=(350 / 500, 480 / 500),
    exact_flip=False,
    pasted=0.0,
    negatives=0.0,
)
_LITEPOSE = LitePoseRecipe(learning_rate=2e-3, sharp=0.5, occlusion=0.0)
LITEPOSE_PRESETS: Mapping[str, LitePoseRecipe] = MappingProxyType(
    {
        "default": _LITEPOSE,
        # On from MoveNet, for an hour of a CPU.
        "mobilenet": replace(
            _LITEPOSE,
            size="MobileNetV2",
            steps=1_200,
            batch_size=8,
            trunk_rate=0.3,
            relative_rate=True,
            warmup=100,
            ema=0.998,
            frozen_stages=3,
            max_gradient=10.0,
            mean=(127.5,) * 3,
            std=(127.5,) * 3,
            picture_size=384,
            repeats=("flickr8k=3", "coco=20"),
            rotation_deg=20.0,
            region=(0.5625, 1.3),
        ),
        "paper-crowdpose": _PAPER_CROWDPOSE,
        "paper-coco": replace(_PAPER_CROWDPOSE, skeleton="coco17"),
    }
)


def without_augmentation(recipe: AnyRecipe) -> AnyRecipe:
    """The same recipe with every picture as it is."""
    if isinstance(recipe, LitePoseRecipe):
        return replace(recipe, **_PLAIN_APPEARANCE, **_PLAIN_SCENES)
    return replace(recipe, **_PLAIN_APPEARANCE, **(_PLAIN_VIEWS if isinstance(recipe, PoseRecipe) else {}))
