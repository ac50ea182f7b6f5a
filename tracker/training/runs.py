"""From a recipe and a folder of data to a run that can be trained."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tracker.detection.rtmdet import MEAN_BGR, STD_BGR
from tracker.errors import InputError, UsageError
from tracker.evaluation.coco import load_pycocotools
from tracker.nets.bottom_up_mobilenet import BottomUpMobileNet
from tracker.nets.litepose import LITEPOSE_SIZES, LitePose
from tracker.nets.pose_lite_hrnet import PoseLiteHRNet
from tracker.nets.pose_resnet import PoseResNet
from tracker.nets.rtmdet import RTMDetNano
from tracker.pose.networks import Normalization
from tracker.runtime import resolve_torch_device
from tracker.skeletons import BODY_19, COCO_17, Skeleton, skeleton_of
from tracker.training.animals import Animals, find_animals, without_animals
from tracker.training.annotations import Annotations, held_out_negatives
from tracker.training.augmentation import Appearance
from tracker.training.bottom_up_task import BottomUpTask
from tracker.training.datasets import Dataset, ValidationSet, read_dataset, truth_of
from tracker.training.detector_task import DenseTeacher, DetectorTask
from tracker.training.detector_views import Layouts, store_pictures
from tracker.training.initial import initialise
from tracker.training.litepose_task import LitePoseTask
from tracker.training.litepose_views import ScenePictures, SceneViews, are_learnt, store_scenes
from tracker.training.loop import LoopConfig, Task, TrainingRun
from tracker.training.losses import BottomUpWeights
from tracker.training.pose_task import HeatmapTeacher, PoseTask
from tracker.training.pose_views import Views, store_crops
from tracker.training.recipes import POSE_NETWORKS, DetectorRecipe, LitePoseRecipe, PoseRecipe, Recipe, times_of
from tracker.training.validation import detector_validation, litepose_validation, pose_validation
from tracker.types import BoolArray, IntArray

_LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
# What files of our detector are taken to expect.
_DETECTOR_INPUT = Normalization("bgr", MEAN_BGR, STD_BGR)


@dataclass(frozen=True)
class RunOptions:
    """What a run is told beside its recipe.

    data: folder that is trained on. folder: of the run. cache: folder for the stored pictures. init: weights to
    start from. teacher: network whose boxes, or heatmaps, are learnt too. animal_finder: network that tells animals
    from people. device: as for networks. precision: "auto", "bf16", "fp16" or "fp32". limit_people: train on so many,
    or of a bottom-up network on so many pictures. validate_on_train: measure on what is trained on too.
    validation_pictures: of each set, at most.
    """

    data: Path
    folder: Path
    cache: Path
    init: Path | None = None
    teacher: Path | None = None
    animal_finder: Path | None = None
    device: str = "auto"
    precision: str = "auto"
    limit_people: int | None = None
    validate_on_train: bool = False
    validation_pictures: int = 500


def start_pose_run(recipe: PoseRecipe, options: RunOptions) -> TrainingRun:
    """The run of a pose network, at its start or where it stopped.

    Raises InputError for data that cannot be used, ModelError for weights that do not fit, DeviceError and
    UsageError for a device or precision that is not there, DependencyError without pycocotools.
    """
    load_pycocotools()
    device = _find_device(options)
    skeleton = skeleton_of(recipe.skeleton)
    torch.manual_seed(recipe.seed)
    model, metadata = _pose_network(recipe, skeleton)
    _initialise(model, options, skeleton)
    dataset = read_dataset(options.data, skeleton, recipe.boxes)
    rows = _spread(choose_rows(dataset.train, recipe), options.limit_people)
    if not len(rows):
        raise InputError(
            f"nobody in {options.data} has {recipe.min_keypoints} labelled keypoints of {skeleton.name} in a box of "
            f"score {recipe.min_box_score}; lower --min-keypoints or --min-box-score"
        )
    chosen, places = np.unique(rows, return_inverse=True)
    people = dataset.train.people(chosen).with_people_alone()
    input_wh, normalization = recipe.input_size[::-1], recipe.part(Normalization)
    stored_wh = (round(input_wh[0] * recipe.stored_zoom), round(input_wh[1] * recipe.stored_zoom))
    task = recipe.part(
        PoseTask,
        crops=store_crops(people, stored_wh, options.cache),
        rows=places,
        input_wh=input_wh,
        normalization=normalization,
        sigma=recipe.target_sigma,
        views=recipe.part(Views),
        appearance=recipe.part(Appearance),
        batch_size=recipe.batch_size // recipe.accumulate,
        teacher=HeatmapTeacher(options.teacher, skeleton, input_wh) if options.teacher else None,
        validate=pose_validation(
            _validation_sets(dataset, people, options), skeleton, input_wh, normalization, str(device)
        ),
    )
    return _start(model, task, recipe, options, device, len(rows), metadata)


def start_detector_run(recipe: DetectorRecipe, options: RunOptions) -> TrainingRun:
    """The run of the person detector, at its start or where it stopped; errors as of `start_pose_run`.

    Every tenth picture without people is held out, to count false people in.
    """
    load_pycocotools()
    device = _find_device(options)
    torch.manual_seed(recipe.seed)
    model = RTMDetNano()
    _initialise(model, options)
    teacher = DenseTeacher(options.teacher) if options.teacher else None
    dataset = read_dataset(options.data, BODY_19)
    held_out = held_out_negatives(dataset.train)
    train = dataset.train.without_pictures(held_out)
    if options.limit_people:
        train = train.people(_spread(np.arange(len(train)), options.limit_people)).with_people_alone()
    if not len(train):
        raise InputError(f"nobody is annotated in {options.data}; name another folder")
    animals = Animals.none()
    if options.animal_finder:
        animals = find_animals(options.animal_finder, train, options.cache)
        train = without_animals(train, animals)
    others = np.setdiff1d(np.arange(len(dataset.train.paths)), held_out[: options.validation_pictures])
    negatives = truth_of(dataset.train.without_pictures(others), options.data)
    sets = _validation_sets(dataset, train, options)
    pictures = store_pictures(train, options.cache, animals)
    shown = pictures.with_people
    pictures = replace(pictures, with_people=np.repeat(shown, _times(train, recipe)[shown]))
    task = DetectorTask(
        pictures=pictures,
        size=recipe.size,
        normalization=_DETECTOR_INPUT,
        teacher=teacher,
        layouts=recipe.part(Layouts),
        appearance=recipe.part(Appearance),
        batch_size=recipe.batch_size // recipe.accumulate,
        seed=recipe.seed,
        empty_weight=recipe.empty_weight,
        box_weight=recipe.box_weight,
        validate=detector_validation(sets, ValidationSet("negatives", negatives, Path()), str(device)),
    )
    metadata = _metadata("RTMDetNano")
    return _start(model, task, recipe, options, device, len(pictures.with_people), metadata)


def start_litepose_run(recipe: LitePoseRecipe, options: RunOptions) -> TrainingRun:
    """The run of a bottom-up network, at its start or where it stopped; errors as of `start_pose_run`.

    `limit_people` counts pictures here, in which everybody is trained on.
    """
    load_pycocotools()
    device = _find_device(options)
    skeleton = skeleton_of(recipe.skeleton)
    torch.manual_seed(recipe.seed)
    model = _bottom_up_network(recipe, skeleton)
    _initialise(model, options, skeleton)
    dataset = read_dataset(options.data, skeleton, regions=True)
    train = _some_pictures(dataset.train, options.limit_people)
    if not are_learnt(train).any():
        raise InputError(f"nobody in {options.data} has a labelled keypoint of {skeleton.name}; name another folder")
    pictures = store_scenes(train, math.ceil(recipe.side / min(1, recipe.region[0])), options.cache)
    shown = pictures.with_people
    pictures = replace(pictures, with_people=np.repeat(shown, _times(train, recipe)[shown]))
    validate = litepose_validation(
        _validation_sets(dataset, train, options),
        skeleton,
        recipe.short_side,
        recipe.part(Normalization),
        str(device),
    )
    task = _bottom_up_task(model, recipe, pictures, validate)
    stated = _stated(recipe, skeleton, (recipe.short_side, recipe.short_side))
    stated |= _metadata(type(model).__name__, **model.arguments)
    return _start(model, task, recipe, options, device, len(pictures.with_people), stated)


def _bottom_up_task(
    model: LitePose | BottomUpMobileNet,
    recipe: LitePoseRecipe,
    pictures: ScenePictures,
    validate: Callable[[nn.Module], dict[str, float]],
) -> LitePoseTask | BottomUpTask:
    sides = tuple(recipe.side // stride for stride in model.output_strides)
    parts: dict[str, Any] = {
        "pictures": pictures,
        "size": recipe.side,
        "normalization": recipe.part(Normalization),
        "views": recipe.part(SceneViews),
        "appearance": recipe.part(Appearance),
        "batch_size": recipe.batch_size // recipe.accumulate,
        "validate": validate,
    }
    if isinstance(model, BottomUpMobileNet):
        return recipe.part(BottomUpTask, map_side=sides[0], **parts)
    return recipe.part(LitePoseTask, output_sides=sides, weights=recipe.part(BottomUpWeights), **parts)


def choose_rows(annotations: Annotations, recipe: PoseRecipe) -> IntArray:
    """The people to draw from: rows, as often as they come in an epoch.

    Those with true limbs and those in folders of some names come more than once. Folders that are absent do not matter.
    """
    labelled = (~np.isnan(annotations.keypoints[..., 0]) & (annotations.weights > 0.5)).sum(axis=1)
    sizes = annotations.boxes[:, 2:] - annotations.boxes[:, :2]
    usable: BoolArray = np.isfinite(sizes).all(axis=1) & (sizes >= 0).all(axis=1) & (sizes > 0).any(axis=1)
    usable &= (labelled >= recipe.min_keypoints) & (annotations.box_scores >= recipe.min_box_score)
    limbs = [i for i, name in enumerate(annotations.skeleton.keypoint_names) if name.endswith(_LIMBS)]
    is_true = (annotations.weights[:, limbs] == 1).sum(axis=1) >= 8
    counts = np.where(is_true, recipe.true_repeats, 1) * _times(annotations, recipe)[annotations.picture] * usable
    return np.concatenate([np.flatnonzero(counts > number) for number in range(max(1, counts.max(initial=0)))])


def _times(annotations: Annotations, recipe: Recipe) -> IntArray:
    """(M,): how often each picture comes."""
    times = times_of(recipe.repeats)
    return np.array([times.get(path.parent.name, 1) for path in annotations.paths], np.int64)


def choose_precision(wanted: str, device: torch.device) -> str:
    """The precision for "auto": bf16 where the hardware has it, otherwise fp16 on CUDA and fp32 on a CPU.

    On a CPU without bf16 its emulation is slower than fp32. UsageError for fp16 on a CPU.
    """
    if wanted == "fp16" and device.type == "cpu":
        raise UsageError("--precision fp16 needs CUDA; use bf16, fp32 or auto")
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    # Both checks are private to torch, which has no public ones in all versions.
    checks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return "bf16" if any(check() for check in checks if check) else "fp32"


def _find_device(options: RunOptions) -> torch.device:
    """The device; a precision that it has not is refused before anything is read."""
    device, obstacle = resolve_torch_device(options.device)
    choose_precision(options.precision, device)
    if obstacle:
        print(f"trains on the CPU: {obstacle}", file=sys.stderr)
    return device


def _initialise(model: nn.Module, options: RunOptions, skeleton: Skeleton | None = None) -> None:
    """Load the weights to start from, unless the run goes on from its checkpoint."""
    goes_on = (options.folder / "checkpoint.pt").is_file()
    if options.init and not goes_on and (absent := initialise(model, options.init, skeleton)):
        print(f"{options.init} lacks weights of {', '.join(absent)}, which start anew", file=sys.stderr)


def _spread(rows: IntArray, count: int | None) -> IntArray:
    """So many different rows from first to last; all rows without a count."""
    if count is None:
        return rows
    different = np.unique(rows)
    return different[np.linspace(0, len(different) - 1, min(count, len(different))).astype(np.int64)]


def _bottom_up_network(recipe: LitePoseRecipe, skeleton: Skeleton) -> LitePose | BottomUpMobileNet:
    """A network with random weights."""
    if recipe.size == "MobileNetV2":
        return BottomUpMobileNet(skeleton.num_keypoints)
    config = replace(LITEPOSE_SIZES[recipe.size], tags_at_each_scale=recipe.tags_at_each_scale)
    model = LitePose(skeleton.num_keypoints, config)
    _empty_heatmaps(model)
    return model


def _empty_heatmaps(model: LitePose) -> None:
    """Let heatmaps start near 0, as nearly all cells are to be; what torch starts from takes 100 steps to fade."""
    for head in (*model.final_refined, *model.final_raw):
        nn.init.normal_(head.conv[-1].weight[: model.num_keypoints], std=0.001)


def _some_pictures(annotations: Annotations, count: int | None) -> Annotations:
    """So many pictures that show people, from first to last; all pictures without a count."""
    if count is None:
        return annotations
    return annotations.without_pictures(
        np.setdiff1d(np.arange(len(annotations.paths)), _spread(annotations.picture, count))
    )


def _validation_sets(dataset: Dataset, train: Annotations, options: RunOptions) -> list[ValidationSet]:
    sets = list(dataset.validation)
    if options.validate_on_train:
        sets.append(ValidationSet("train", truth_of(train, options.data), Path()))
    return [part.first(options.validation_pictures) for part in sets]


def _pose_network(recipe: PoseRecipe, skeleton: Skeleton) -> tuple[nn.Module, dict[str, str]]:
    """A network with random weights, and what its file states."""
    depth = POSE_NETWORKS[recipe.network]
    settings = _stated(recipe, skeleton, recipe.input_size)
    if depth is None:
        arguments: dict[str, Any] = {"num_keypoints": skeleton.num_keypoints}
        arguments |= {"further": _num_further(skeleton), "upsampling": recipe.upsampling}
        return PoseLiteHRNet(**arguments), settings | _metadata("PoseLiteHRNet", **arguments)
    model = PoseResNet(depth, skeleton.num_keypoints)
    return model, settings | _metadata("PoseResNet", depth=depth, num_keypoints=skeleton.num_keypoints)


def _num_further(skeleton: Skeleton) -> int:
    """How many keypoints a skeleton has after all those of the published pose network."""
    known = COCO_17.keypoint_names
    return len(skeleton.keypoint_names) - len(known) if skeleton.keypoint_names[: len(known)] == known else 0


def _stated(recipe: PoseRecipe | LitePoseRecipe, skeleton: Skeleton, input_size: tuple[int, int]) -> dict[str, str]:
    """What a file says of its network's input and keypoints; input_size: height and width."""
    numbers = {"mean": recipe.mean, "std": recipe.std, "input_size": input_size}
    return {"skeleton": skeleton.name, "color": recipe.color} | {name: json.dumps(v) for name, v in numbers.items()}


def _metadata(network: str, **arguments: Any) -> dict[str, str]:
    return {"network": network, "arguments": json.dumps(arguments)}


def _start(
    model: nn.Module,
    task: Task,
    recipe: Recipe,
    options: RunOptions,
    device: torch.device,
    num_rows: int,
    metadata: Mapping[str, str],
) -> TrainingRun:
    config = recipe.part(
        LoopConfig, steps=recipe.num_steps(num_rows), precision=choose_precision(options.precision, device)
    )
    # A GPU waits for pictures, while on a CPU those who make them take its time.
    num_loaders = 2 if device.type == "cpu" else os.cpu_count() or 2
    settings = asdict(recipe) | {"rows": num_rows, "teacher": options.teacher is not None}
    return TrainingRun(
        model, task, config, options.folder, device, settings=settings, metadata=metadata, num_loaders=num_loaders
    )
