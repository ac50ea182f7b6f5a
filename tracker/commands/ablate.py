"""`ablate`: the paper's ablation, and the best thresholds, on a PoseTrack data set or on rendered scenes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.commands.evaluation_inputs import add_output_options, load_detector_of, load_estimator_of
from tracker.commands.options import (
    OF_DETECTORS,
    OF_POSES,
    add_network_options,
    add_tracking_options,
    natural,
    spell,
    tracker_config,
)
from tracker.errors import InputError, UsageError
from tracker.outputs import check_output, counted, write_json
from tracker.tracking.similarities import SIMILARITIES

if TYPE_CHECKING:
    from tracker.evaluation.ablation import Ablation, Outcome, Setting
    from tracker.evaluation.identities import Identities
    from tracker.formats.posetrack_dataset import DatasetSequence
    from tracker.scenes.hard import Scenario
    from tracker.scenes.rendering import SceneFrame
    from tracker.tracking.config import TrackerConfig
    from tracker.types import FlowEstimator

    # Settings by what they are called.
    Rows = dict[str, Setting]

_FOR_DATA_SETS = (
    *("gt", "split", "oracles", "json"),
    *("detector", "detector_type", "detector_size", "pose_model", "flip_test"),
)
_SCENES = ("usual", "hard", "long")
# As in table 4 of the paper: whether flow carries people, and what is compared.
_PAPER = (
    (False, "bbox"),
    (False, "pose"),
    (True, "bbox"),
    (True, "pose"),
    (True, "flow"),
    (True, "multi-flow"),
)
_QUEUE_LENGTHS = (1, 2, 4, 8, 16)
_ORACLES: Mapping[str, Mapping[str, Any]] = {
    "true boxes": {"true_boxes": True},
    "true keypoints": {"true_keypoints": True},
    "true association": {"true_ids": True},
    "all three true": {"true_boxes": True, "true_keypoints": True, "true_ids": True},
}
SWEEPS: Mapping[str, tuple[float, ...]] = {
    "detector_score": (0.3, 0.4, 0.5, 0.6, 0.7),
    "keypoint_threshold": (0.2, 0.3, 0.4, 0.5, 0.6),
    "propagation_score": (0.2, 0.3, 0.4, 0.5, 0.6),
    "merge_iou": (0.3, 0.4, 0.5, 0.6, 0.7),
    "gate": (0.05, 0.1, 0.15, 0.2, 0.3, 0.4),
    "forget_after_s": (0.0, 1.2, 2.4, 6.0),
}


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "ablate",
        help="compare similarities, propagation, queues, thresholds and detectors",
        description="Track a PoseTrack data set with the settings of the paper's table 4, with queues of several "
        "lengths and with each detector. mAP is of all keypoints, MOTA of those from --keypoint-threshold on, both as "
        "poseval has them; switches are counted over all keypoints. Networks and flow compute a result once, for all "
        "settings; images per second (fps) are made up of the times that the results took which a setting needs, and "
        "of its tracking: one stage after the other, without drawing. Without --input rendered scenes are tracked, "
        "with the true poses with noise and misses in place of the networks: id switches by scene and in all, IDF1 and "
        "HOTA in percent, the share of people found, and ids that are nobody's.",
    )
    sweep = "add rows that differ in one threshold each, and for a data set one with the best of each"
    parser.add_argument("--sweep", action="store_true", help=sweep)
    group = parser.add_argument_group("data set")
    group.add_argument("--input", type=Path, metavar="DATASET", help="PoseTrack data set")
    group.add_argument("--gt", type=Path, metavar="DIR", help="ground truth; default: that of the data set")
    group.add_argument("--split", metavar="NAME", help="part of the data set; default: val, or the only one")
    oracles = "add rows in which the truth stands in for boxes, keypoints or ids of labeled images"
    group.add_argument("--oracles", action="store_true", help=oracles)
    add_output_options(group)
    several = {"action": "append", "help": "person detector; several times for a row each; the others have the first"}
    group = parser.add_argument_group("networks for a data set")
    add_network_options(group, *OF_DETECTORS, *OF_POSES, detector=several)
    group = parser.add_argument_group("rendered scenes, without --input")
    group.add_argument("--seeds", type=natural, default=3, metavar="N", help="variants of each scene")
    group.add_argument("--frames", type=int, metavar="N", help="length of each; default: as long as it goes on")
    group.add_argument("--scenes", choices=_SCENES, default="usual", help="which; long is one of 5,000 frames")
    group.add_argument("--held-out", action="store_true", help="variants by which no setting was chosen")
    by_scene = "a row for each scene, with the given settings alone"
    group.add_argument("--by-scene", action="store_true", help=by_scene)
    add_tracking_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the table to stdout, in Markdown."""
    config = tracker_config(args).settled()
    if args.input and args.appearance:
        raise UsageError("--appearance is for rendered scenes here; of a data set compare track with it, and without")
    if args.input:
        return _ablate_dataset(args, config)
    for option in _FOR_DATA_SETS:
        if getattr(args, option):
            raise UsageError(f"--{option.replace('_', '-')} is for data sets; name one with --input, or leave it out")
    if args.frames is not None and args.frames < 2:
        raise UsageError(f"--frames must be 2 or more, not {args.frames}")
    return _ablate_scenes(args, config)


# --- rendered scenes ---


def _ablate_scenes(args: argparse.Namespace, config: TrackerConfig) -> int:
    from tqdm import tqdm

    from tracker.evaluation.identities import COLUMNS, sum_identities
    from tracker.evaluation.tables import markdown_table
    from tracker.scenes.hard import SETS

    settings = {"all": config} if args.by_scene else _settings_of_scenes(config, args.sweep)
    scenes = tqdm(SETS[args.scenes].items(), unit="scene", disable=None, leave=False)
    counts = {name: _count(scene, args, settings) for name, scene in scenes}
    rows = {label: [of_scene[label] for of_scene in counts.values()] for label in settings}
    figures = {label: sum_identities(of_label).figures() for label, of_label in rows.items()}
    if args.by_scene:
        by_scene = [[name, *count.figures()] for name, count in zip(counts, rows["all"], strict=True)]
        print(markdown_table(["scene", *COLUMNS], [*by_scene, ["all", *figures["all"]]]))
    else:
        switches = {label: [count.switches for count in of_label] for label, of_label in rows.items()}
        table = [[label, *switches[label], *figures[label]] for label in rows]
        print(markdown_table(["setting", *counts, *COLUMNS], table))
    return 0


def _settings_of_scenes(config: TrackerConfig, sweeps: bool) -> dict[str, TrackerConfig]:
    """The rows: each similarity, then the given settings without one part at a time, and with other thresholds."""
    from tracker.evaluation.ablation import Setting
    from tracker.tracking.config import PAPER

    rows = {name: replace(config, similarity=name) for name in SIMILARITIES}
    rows["no propagation"] = replace(config, propagation=False)
    rows["plain merge"] = replace(config, merge="plain")
    rows["no usual"] = replace(config, usual_share=0)
    rows["no memory"] = replace(config, forget_after_s=0)
    rows["no newcomers"] = replace(config, forget_newcomer_s=0)
    rows["no sizes"] = replace(config, sizes=False)
    rows["no background"] = replace(config, background=False)
    rows["confirmed at once"] = replace(config, confirm_detections=1, confirm_after_s=0)
    rows["paper"] = PAPER.settled(config.keypoint_threshold)
    swept = sweep(Setting(config), [name for name in SWEEPS if name != "detector_score"]) if sweeps else {}
    return rows | {label: setting.config for label, setting in swept.items()}


def _count(scene: Scenario, args: argparse.Namespace, settings: Mapping[str, TrackerConfig]) -> dict[str, Identities]:
    """The ids in all variants of a scene, with each of the settings."""
    from tracker.appearance import load_appearance
    from tracker.evaluation.identities import measure_identities, sum_identities
    from tracker.flow import create_flow
    from tracker.scenes.hard import HELD_OUT
    from tracker.scenes.playback import RecordedFlow, track_scene

    counts: dict[str, list[Identities]] = {label: [] for label in settings}
    first = HELD_OUT if args.held_out else 0
    for seed in range(first, first + args.seeds):
        frames: Iterable[SceneFrame] = scene.frames(seed, args.frames)
        flow: FlowEstimator = create_flow(args.flow)
        if len(settings) > 1:  # a single one needs no memory of a long scene
            frames = list(frames)
            flow = RecordedFlow(frames, flow)
        for label, config in settings.items():
            oracle = scene.oracle(seed)
            looks = load_appearance(args.appearance, oracle.skeleton)
            tracked = track_scene(frames, flow, config, oracle, appearance=looks)
            pairs = ((frame.people, people) for frame, people in tracked)
            counts[label].append(measure_identities(pairs, config.least_keypoint_score))
    return {label: sum_identities(of_label) for label, of_label in counts.items()}


# --- a data set ---


def _ablate_dataset(args: argparse.Namespace, config: TrackerConfig) -> int:
    """config: the settings from which each row differs in one respect."""
    from tracker.evaluation.ablation import Ablation, Setting
    from tracker.evaluation.posetrack.summary import without_nan
    from tracker.evaluation.recording import Networks, Recording
    from tracker.flow import create_flow

    if args.json:
        check_output(args.json, args.overwrite)
    sequences = _find_sequences(args)
    _check_truth(sequences)
    networks = Networks(_load_detectors(args), load_estimator_of(args), create_flow(args.flow))
    base = Setting(config, box_score=args.detector_score)
    ablation = Ablation(sequences, lambda sequence, truth: Recording(sequence.image_paths(truth), networks))
    rows, best = compare_settings(ablation, _rows(base, args), sweep(base, SWEEPS) if args.sweep else {}, base)
    if args.json:
        names = {
            "sequences": [sequence.name for sequence in sequences],
            "detectors": [detector.name for detector in networks.detectors],
            "pose_model": networks.estimator.name,
            "flow": args.flow,
        }
        write_json(args.json, without_nan(names | {"rows": rows, "best": best}))
    return 0


def compare_settings(
    ablation: Ablation, rows: Rows, swept: Rows, base: Setting
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Print a row for each setting; returns all that is known of them, and of those that were swept the best."""
    from tracker.evaluation.tables import markdown_table

    rows = rows | swept
    outcomes = _try(ablation, rows.values())
    best = None
    if swept:
        rows["best of each"] = _best_of_each(swept, base, outcomes)
        outcomes |= _try(ablation, {rows["best of each"]} - {*outcomes})
    lines = []
    for label, setting in rows.items():
        outcome = outcomes[setting]
        lines.append([label, outcome.ap["Total"], outcome.mot["Total"], outcome.num_switches, outcome.fps])
    print(markdown_table(["setting", "mAP", "MOTA", "switches", "fps"], lines))
    if swept:
        tried = [*swept, "best of each"]
        label = max(tried, key=lambda label: outcomes[rows[label]].mot["Total"])
        options = label if label in swept else _differences(rows[label], base)
        best = {"options": options, "mota": outcomes[rows[label]].mot["Total"]}
        print(f"\nhighest MOTA: {best['mota']:.1f} with {options}")
    return [
        {"label": label, "setting": asdict(setting), **asdict(outcomes[setting])} for label, setting in rows.items()
    ], best


def _try(ablation: Ablation, settings: Iterable[Setting]) -> dict[Setting, Outcome]:
    """What each setting gives; one under several names is tried once."""
    from tqdm import tqdm

    new = list(dict.fromkeys(settings))
    with tqdm(total=len(new) * len(ablation), unit="run", disable=None, leave=False) as bar:
        return ablation.run(new, bar.update) if new else {}


def _find_sequences(args: argparse.Namespace) -> list[DatasetSequence]:
    """The sequences of the split; with --gt those whose truth is there."""
    from tracker.formats.posetrack_dataset import find_dataset

    dataset = find_dataset(args.input)
    if dataset is None:
        raise UsageError(
            f"--input {args.input} is no PoseTrack data set; name the folder of its annotations and images"
        )
    sequences = dataset.sequences(args.split or dataset.default_split)
    if args.gt is None:
        return sequences
    moved = [replace(sequence, annotation=args.gt / f"{sequence.name}.json") for sequence in sequences]
    known = [sequence for sequence in moved if sequence.annotation.is_file()]
    if not known:
        raise InputError(f"there is no {moved[0].annotation}, nor the truth of another sequence; name its folder")
    if len(known) < len(moved):
        left_out = counted(len(moved) - len(known), "sequence")
        print(f"note: left out: {left_out} without truth in {args.gt}", file=sys.stderr)
    return known


def _check_truth(sequences: Sequence[DatasetSequence]) -> None:
    """Raise InputError for what would end the work after hours: truth that cannot be measured, or lacks its images."""
    from tqdm import tqdm

    from tracker.evaluation.posetrack.measure import measure_sequence

    num_keypoints = 0
    for sequence in tqdm(sequences, "checking", unit="sequence", disable=None, leave=False):
        truth = sequence.read()
        sequence.image_paths(truth)
        num_keypoints += measure_sequence(truth, truth).mot.num_objects.sum()
    if not num_keypoints:
        raise InputError(f"{sequences[0].annotation.parent} has no keypoints to compare with; name other truth by --gt")


def _load_detectors(args: argparse.Namespace) -> list[Any]:
    least = min(args.detector_score, *SWEEPS["detector_score"]) if args.sweep else args.detector_score
    settings = [vars(args) | {"detector": path, "detector_score": least} for path in args.detector or [None]]
    return [load_detector_of(argparse.Namespace(**values)) for values in settings]


def _rows(base: Setting, args: argparse.Namespace) -> Rows:
    """The paper's settings, then lengths of the queue, detectors and oracles."""
    rows = {}
    for propagation, similarity in _PAPER:
        label = f"{'propagation' if propagation else 'none'} + {similarity}"
        rows[label] = _with(base, propagation=propagation, similarity=similarity)
    for length in sorted({*_QUEUE_LENGTHS, base.config.queue_length}):
        rows[f"queue of {length}"] = _with(base, similarity="multi-flow", queue_length=length)
    if len(args.detector or ()) > 1:
        rows |= {str(path): replace(base, detector=number) for number, path in enumerate(args.detector)}
    if args.oracles:
        rows |= {label: replace(base, **parts) for label, parts in _ORACLES.items()}
    return rows


def sweep(base: Setting, names: Iterable[str]) -> Rows:
    """The settings that differ from the base in one threshold, and for each threshold the base itself."""
    values = {name: sorted({*SWEEPS[name], _value(base, name)}) for name in names}
    return {_option(name, value): _with(base, **{name: value}) for name in names for value in values[name]}


def _best_of_each(swept: Rows, base: Setting, outcomes: Mapping[Setting, Outcome]) -> Setting:
    """The values with the highest MOTA of each threshold together; of equal ones the base's, else the highest."""

    def mota(setting: Setting) -> tuple[float, bool]:
        return outcomes[setting].mot["Total"], setting == base

    values = {}
    for name in SWEEPS:
        others = [setting for setting in swept.values() if _with(setting, **{name: _value(base, name)}) == base]
        values[name] = _value(sorted(others, key=mota)[-1], name)
    return _with(base, **values)


def _with(base: Setting, **values: Any) -> Setting:
    """The setting with other values of options."""
    box_score = values.pop("detector_score", base.box_score)
    return replace(base, box_score=box_score, config=replace(base.config, **values))


def _value(setting: Setting, name: str) -> Any:
    return setting.box_score if name == "detector_score" else getattr(setting.config, name)


def _differences(setting: Setting, base: Setting) -> str:
    """The options by which a setting differs from the base."""
    return " ".join(
        _option(name, _value(setting, name)) for name in SWEEPS if _value(setting, name) != _value(base, name)
    )


def _option(name: str, value: float) -> str:
    """An option of `track` with its value."""
    option = "--detector-score" if name == "detector_score" else spell(name)
    return f"{option}{'=' if ' ' in option else ' '}{value:g}"
