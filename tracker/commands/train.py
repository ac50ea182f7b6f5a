"""`train`: a pose network, top-down or bottom-up, or a person detector, by a recipe."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import Field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.commands.options import natural, network_file
from tracker.errors import UsageError
from tracker.outputs import check_output, counted, make_folder
from tracker.training.recipes import (
    DETECTOR_PRESETS,
    LITEPOSE_PRESETS,
    POSE_PRESETS,
    Recipe,
    without_augmentation,
)

if TYPE_CHECKING:
    from tracker.training.loop import TrainingRun
    from tracker.training.runs import RunOptions

_FILES = ("checkpoint.pt", "weights.safetensors", "log.jsonl", "curves.png")


def add_parser(commands: Any) -> None:
    """Add the command, and the recipe of each kind of network as its options."""
    parser = commands.add_parser(
        "train",
        help="train a pose network or a person detector",
        description="Train a network on COCO, CrowdPose, PoseTrack18 or MPII, or on a folder of data in COCO's format.",
    )
    kinds = parser.add_subparsers(required=True, metavar="KIND")
    pose = _add_kind(kinds, "pose", "a top-down pose network", POSE_PRESETS)
    pose.add_argument(
        "--teacher",
        type=network_file,
        metavar="FILE",
        help="pose network (ONNX) whose heatmaps are learnt beside labels",
    )
    detector = _add_kind(kinds, "detector", "the person detector", DETECTOR_PRESETS)
    detector.add_argument(
        "--teacher",
        type=network_file,
        metavar="FILE",
        help="RTMDet with raw heads (ONNX) whose boxes are learnt beside labels",
    )
    detector.add_argument(
        "--animal-finder", type=network_file, metavar="FILE",
        help="YOLOX of COCO's 80 classes (ONNX); what it takes for an animal is no person",
    )  # fmt: skip
    _add_kind(kinds, "litepose", "a bottom-up pose network", LITEPOSE_PRESETS)


def _add_kind(kinds: Any, name: str, what: str, presets: Mapping[str, Recipe]) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = kinds.add_parser(
        name,
        help=f"train {what}",
        description=f"Train {what}. In a folder that holds a checkpoint, the run goes on where it stopped. Ctrl-C "
        "saves a checkpoint. weights.safetensors in the folder can be exported at any time.",
    )
    group = parser.add_argument_group("run")
    group.add_argument("--preset", choices=presets, default="default", help="recipe, which further options change")
    group.add_argument(
        "--data", type=Path, required=True, metavar="DIR",
        help="COCO 2017, CrowdPose, PoseTrack18, MPII, or train/*.json in COCO's format beside folders of pictures",
    )  # fmt: skip
    group.add_argument("--output", type=Path, metavar="DIR", help=f"folder of the run; default: runs/{name}-PRESET")
    group.add_argument("--overwrite", action="store_true", help="start anew in a folder that holds a run")
    group.add_argument(
        "--cache", type=Path, default=Path("runs/cache"), metavar="DIR", help="where stored pictures are kept"
    )
    group.add_argument(
        "--init",
        type=network_file,
        metavar="FILE",
        help="weights to start from: .safetensors, .pth, a published .onnx, MoveNet as .npz",
    )
    group.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda or cuda:N")
    group.add_argument("--threads", type=natural, metavar="N", help="of torch on the CPU; default: its own choice")
    group.add_argument(
        "--precision", choices=("auto", "bf16", "fp16", "fp32"), default="auto", help="auto: bf16 where it is fast"
    )
    group.add_argument(
        "--limit-people", type=natural, metavar="N", help="train on so many people alone, bottom-up: pictures"
    )
    group.add_argument("--no-augmentation", action="store_true", help="take pictures as they are")
    group.add_argument("--validate-on-train", action="store_true", help="measure on what is trained on, too")
    group.add_argument(
        "--validation-pictures",
        type=natural,
        default=500,
        metavar="N",
        help="of each validation set, those with people",
    )
    group.add_argument("--validate-every", type=natural, default=1000, metavar="N", help="steps between validations")
    group.add_argument("--log-every", type=natural, default=50, metavar="N", help="steps between lines of the log")
    group.add_argument("--save-every", type=float, default=180.0, metavar="S", help="seconds between checkpoints")
    group = parser.add_argument_group("recipe", "Defaults are those of the preset; the default preset's are shown.")
    for setting in fields(presets["default"]):
        _add_setting(group, setting, getattr(presets["default"], setting.name))
    parser.set_defaults(run=run, presets=presets, kind=name, teacher=None, animal_finder=None)
    return parser


def _add_setting(group: Any, setting: Field[Any], default: Any) -> None:
    """An option for a field of a recipe; it is None unless it is given."""
    shown = " ".join(map(_short, default)) if isinstance(default, tuple) else default
    options: dict[str, Any] = {"help": f"{setting.metadata['help']} [{shown}]".replace("%", "%%"), "default": None}
    if isinstance(default, bool):
        options["action"] = argparse.BooleanOptionalAction
    elif setting.metadata["choices"]:
        options["choices"] = setting.metadata["choices"]
    elif isinstance(default, tuple):
        kind = type((*default, 0.0)[0])
        options |= {"type": kind, "nargs": "*" if kind is str else len(default) or "*", "metavar": "X"}
    else:
        options |= {"type": type(default), "metavar": "N" if isinstance(default, int) else "X"}
    group.add_argument(f"--{setting.name.replace('_', '-')}", **options)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def run(args: argparse.Namespace) -> int:
    """Train a network of the kind to the end of its recipe."""
    recipe = _recipe(args)
    options = _prepare(args, recipe)
    from tracker.training.runs import start_run

    return _train(start_run(recipe, options), args)


def _recipe(args: argparse.Namespace) -> Recipe:
    """The preset with the given changes; UsageError for a senseless one."""
    recipe: Recipe = args.presets[args.preset]
    if args.no_augmentation:
        recipe = without_augmentation(recipe)
    given = {setting.name: getattr(args, setting.name) for setting in fields(recipe)}
    changes = {
        name: tuple(value) if isinstance(value, list) else value for name, value in given.items() if value is not None
    }
    if "epochs" in changes:
        changes = {"steps": 0} | changes
    try:
        return replace(recipe, **changes)
    except ValueError as error:
        name, _, rest = str(error).partition(" ")
        raise UsageError(f"--{name.replace('_', '-')} {rest}") from error


def _prepare(args: argparse.Namespace, recipe: Recipe) -> RunOptions:
    """The options of the run, and its folder; errors come before anything is read."""
    folder = args.output or Path("runs") / f"{args.kind}-{args.preset}"
    make_folder(folder)
    if args.overwrite:
        for name in _FILES:
            (folder / name).unlink(missing_ok=True)
    goes_on = (folder / "checkpoint.pt").is_file()
    check_output(folder / "weights.safetensors", overwrite=goes_on or args.overwrite)
    if recipe.frozen_stages >= 0 and not (goes_on or args.init):
        raise UsageError("--frozen-stages would freeze random weights; start from some with --init, or give it -1")
    from tracker.plots import can_draw

    if not can_draw():
        print("curves.png is not drawn without matplotlib; run: pip install 'matplotlib>=3.8,<4'", file=sys.stderr)
    import torch

    if args.threads:
        torch.set_num_threads(args.threads)
    from tracker.training.runs import RunOptions

    return RunOptions(
        folder=folder, **{f.name: getattr(args, f.name) for f in fields(RunOptions) if f.name != "folder"}
    )


def _train(run: TrainingRun, args: argparse.Namespace) -> int:
    config, folder = run.config, run.checkpoint_path.parent
    goes_on = f", on from step {run.step}" if run.step else ""
    print(f"{folder}: {counted(config.steps, 'step')}, {run.precision}{goes_on}", file=sys.stderr)
    try:
        run.train(log_every=args.log_every, validate_every=args.validate_every, save_every_s=args.save_every)
    except KeyboardInterrupt:
        print(f"saved after step {run.step} of {config.steps}; the same command goes on from there", file=sys.stderr)
        raise
    print(f"written: {run.weights_path}", file=sys.stderr)
    return 0
