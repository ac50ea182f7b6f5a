"""From a recipe and a folder of data to a run that can be trained."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from tracker.errors import InputError, UsageError
from tracker.evaluation.coco import load_pycocotools
from tracker.nets.bottom_up_mobilenet import BottomUpMobileNet
from tracker.nets.build import build_network, describe_network
from tracker.nets.litepose import LitePose
from tracker.runtime import resolve_torch_device
from tracker.skeletons import BODY_19, COCO_17, Skeleton, skeleton_of
from tracker.training.animals import Animals, find_animals, without_animals
from tracker.training.annotations import Annotations, held_out_negatives
from tracker.training.bottom_up_task import BottomUpTask, LitePoseTask
from tracker.training.datasets import Dataset, ValidationSet, read_dataset, truth_of
from tracker.training.detector_task import DenseTeacher, DetectorTask
from tracker.training.detector_views import store_pictures
from tracker.training.initial import initialise
from tracker.training.litepose_views import are_learnt, store_scenes
from tracker.training.loop import Task, TrainingRun
from tracker.training.pose_task import HeatmapTeacher, PoseTask
from tracker.training.pose_views import store_crops
from tracker.training.recipes import DetectorRecipe, LitePoseRecipe, PoseRecipe, Recipe, times_of
from tracker.training.validation import measure_bottom_up, measure_detector, measure_pose
from tracker.types import BoolArray, IntArray

_LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")


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


@dataclass(frozen=True)
class _Start:
    """What a run begins with. rows: how many people, or pictures, make an epoch. metadata: what its file states."""

    model: nn.Module
    task: Task
    rows: int
    metadata: Mapping[str, str]


def start_run(recipe: Recipe, options: RunOptions) -> TrainingRun:
    """The run of a recipe, at its start or where it stopped.

    Raises InputError for data that cannot be used, ModelError for weights that do not fit, DeviceError and
    UsageError for a device or precision that is not there, DependencyError without pycocotools.
    """
    load_pycocotools()
    device, obstacle = resolve_torch_device(options.device)
    precision = choose_precision(options.precision, device)
    if obstacle:
        print(f"trains on the CPU: {obstacle}", file=sys.stderr)
    torch.manual_seed(recipe.seed)
    start = _STARTS[type(recipe)](recipe, options, str(device))
    config = replace(recipe, steps=recipe.num_steps(start.rows))
    settings = {"steps": recipe.steps, "rows": start.rows, "teacher": options.teacher is not None}
    return TrainingRun(
        start.model,
        start.task,
        config,
        options.folder,
        device,
        precision=precision,
        settings=settings,
        metadata=start.metadata,
        # A GPU waits for pictures, while on a CPU those who make them take its time.
        num_loaders=2 if device.type == "cpu" else os.cpu_count() or 2,
    )


def _start_pose(recipe: PoseRecipe, options: RunOptions, device: str) -> _Start:
    skeleton = skeleton_of(recipe.skeleton)
    others = {"further": _num_further(skeleton), "upsampling": recipe.upsampling}
    model, metadata = _build(recipe.network, options, skeleton, **others)
    dataset = read_dataset(options.data, skeleton, recipe.boxes)
    rows = _spread(choose_rows(dataset.train, recipe), options.limit_people)
    if not len(rows):
        raise InputError(
            f"nobody in {options.data} has {recipe.min_keypoints} labelled keypoints of {skeleton.name} in a box of "
            f"score {recipe.min_box_score}; lower --min-keypoints or --min-box-score"
        )
    chosen, places = np.unique(rows, return_inverse=True)
    people = dataset.train.people(chosen).with_people_alone()
    width, height = recipe.input_wh
    stored_wh = (round(width * recipe.stored_zoom), round(height * recipe.stored_zoom))
    sets = _validation_sets(dataset, people, options)
    task = PoseTask(
        recipe,
        store_crops(people, stored_wh, options.cache),
        places,
        partial(measure_pose, sets=sets, recipe=recipe, device=device),
        HeatmapTeacher(options.teacher, skeleton, recipe.input_wh) if options.teacher else None,
    )
    decoding = {"dark_kernel": str(recipe.dark_kernel)} if recipe.dark_kernel else {}
    return _Start(model, task, len(rows), metadata | _stated(recipe, recipe.input_size) | decoding)


def _start_detector(recipe: DetectorRecipe, options: RunOptions, device: str) -> _Start:
    """Every tenth picture without people is held out, to count false people in."""
    model, metadata = _build("RTMDetNano", options)
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
    negatives = ValidationSet("negatives", truth_of(dataset.train.without_pictures(others), options.data), Path())
    sets = _validation_sets(dataset, train, options)
    pictures = store_pictures(train, options.cache, animals).repeated(_times(train, recipe))
    validate = partial(measure_detector, sets=sets, negatives=negatives, device=device)
    return _Start(model, DetectorTask(recipe, pictures, validate, teacher), len(pictures.with_people), metadata)


def _start_bottom_up(recipe: LitePoseRecipe, options: RunOptions, device: str) -> _Start:
    """`limit_people` counts pictures here, in which everybody is trained on."""
    skeleton = skeleton_of(recipe.skeleton)
    others = {"tags_at_each_scale": recipe.tags_at_each_scale} if recipe.network.startswith("LitePose") else {}
    model, metadata = _build(recipe.network, options, skeleton, **others)
    dataset = read_dataset(options.data, skeleton, regions=True)
    train = _some_pictures(dataset.train, options.limit_people)
    if not are_learnt(train).any():
        raise InputError(f"nobody in {options.data} has a labelled keypoint of {skeleton.name}; name another folder")
    stored_side = math.ceil(recipe.side / min(1, recipe.region[0]))
    pictures = store_scenes(train, stored_side, options.cache).repeated(_times(train, recipe))
    sets = _validation_sets(dataset, train, options)
    bottom_up = cast(LitePose | BottomUpMobileNet, model)
    task = (BottomUpTask if isinstance(model, BottomUpMobileNet) else LitePoseTask)(
        recipe,
        pictures,
        tuple(recipe.side // stride for stride in bottom_up.output_strides),
        partial(measure_bottom_up, sets=sets, recipe=recipe, device=device),
    )
    stated = _stated(recipe, (recipe.short_side, recipe.short_side))
    return _Start(model, task, len(pictures.with_people), metadata | stated)


# How the run of each kind of recipe starts.
_STARTS: Mapping[type[Recipe], Callable[[Any, RunOptions, str], _Start]] = MappingProxyType(
    {PoseRecipe: _start_pose, DetectorRecipe: _start_detector, LitePoseRecipe: _start_bottom_up}
)


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


def _build(
    name: str, options: RunOptions, skeleton: Skeleton | None = None, **others: Any
) -> tuple[nn.Module, dict[str, str]]:
    """A network and what its file states of it; with the weights to start from, unless a checkpoint is there."""
    network, arguments = describe_network(name, skeleton.num_keypoints if skeleton else 0, **others)
    model = build_network(network, arguments)
    if isinstance(model, LitePose):
        _empty_heatmaps(model)
    goes_on = (options.folder / "checkpoint.pt").is_file()
    if options.init and not goes_on and (absent := initialise(model, options.init, skeleton)):
        print(f"{options.init} lacks weights of {', '.join(absent)}, which start anew", file=sys.stderr)
    return model, {"network": network, "arguments": json.dumps(arguments)}


def _spread(rows: IntArray, count: int | None) -> IntArray:
    """So many different rows from first to last; all rows without a count."""
    if count is None:
        return rows
    different = np.unique(rows)
    return different[np.linspace(0, len(different) - 1, min(count, len(different))).astype(np.int64)]


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


def _num_further(skeleton: Skeleton) -> int:
    """How many keypoints a skeleton has after all those of the published pose network."""
    known = COCO_17.keypoint_names
    return len(skeleton.keypoint_names) - len(known) if skeleton.keypoint_names[: len(known)] == known else 0


def _stated(recipe: PoseRecipe | LitePoseRecipe, input_size: tuple[int, int]) -> dict[str, str]:
    """What a file says of its network's input and keypoints; input_size: height and width."""
    numbers = {"mean": recipe.mean, "std": recipe.std, "input_size": input_size}
    return {"skeleton": recipe.skeleton, "color": recipe.color} | {name: json.dumps(v) for name, v in numbers.items()}
