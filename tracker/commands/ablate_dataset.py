"""The ablation on a PoseTrack data set: rows of a table in Markdown, each as soon as it is done."""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, TypeAlias

from tqdm import tqdm

from tracker.commands.options import spell
from tracker.detection import load_detector
from tracker.errors import InputError, UsageError
from tracker.evaluation.ablation import Ablation, Outcome, Setting
from tracker.evaluation.posetrack.measure import measure_sequence
from tracker.evaluation.posetrack.summary import without_nan
from tracker.evaluation.recording import Networks
from tracker.flow import create_flow
from tracker.formats.posetrack_dataset import DatasetSequence, find_dataset
from tracker.outputs import check_output, write_json
from tracker.pose import load_estimator
from tracker.tracking.config import TrackerConfig
from tracker.types import PersonDetector, PoseEstimator

# An option of `track` and its value.
Threshold: TypeAlias = tuple[str, float]

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
_SWEEPS: Mapping[str, tuple[float, ...]] = {
    "detector_score": (0.3, 0.4, 0.5, 0.6, 0.7),
    "keypoint_threshold": (0.2, 0.3, 0.4, 0.5, 0.6),
    "merge_iou": (0.3, 0.4, 0.5, 0.6, 0.7),
    "gate": (0.05, 0.1, 0.15, 0.2, 0.3, 0.4),
}


def ablate_dataset(args: argparse.Namespace, config: TrackerConfig) -> int:
    """Print the table and, if asked for, write it; config: the settings from which each row differs in one respect."""
    if args.json:
        check_output(args.json, args.overwrite)
    sequences = _find_sequences(args)
    _check_truth(sequences)
    networks = _load_networks(args)
    base = Setting(config, box_score=args.detector_score)
    swept = _sweep(base) if args.sweep else {}
    rows = _rows(base, args) | {_option(*threshold): setting for threshold, setting in swept.items()}
    table = _Table(Ablation(sequences, networks), len(sequences), rows)
    table.print(rows)
    best = _print_best(table, swept, base) if swept else None
    if args.json:
        names = {
            "sequences": [sequence.name for sequence in sequences],
            "detectors": [detector.name for detector in networks.detectors],
            "pose_model": networks.estimator.name,
            "flow": args.flow,
        }
        write_json(args.json, without_nan(names | {"rows": table.as_json(), "best": best}))
    return 0


def _find_sequences(args: argparse.Namespace) -> list[DatasetSequence]:
    """The sequences of the split; with --gt those whose truth is there."""
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
        print(f"note: {len(moved) - len(known)} sequences without truth in {args.gt} are left out", file=sys.stderr)
    return known


def _check_truth(sequences: Sequence[DatasetSequence]) -> None:
    """Raise InputError for what would end the work after hours: truth that cannot be measured, or lacks its images."""
    num_keypoints = 0
    for sequence in tqdm(sequences, "checking", unit="sequence", disable=None, leave=False):
        truth = sequence.read()
        sequence.image_paths(truth)
        num_keypoints += measure_sequence(truth, truth).mot.num_objects.sum()
    if not num_keypoints:
        raise InputError(f"{sequences[0].annotation.parent} has no keypoints to compare with; name other truth by --gt")


def _load_networks(args: argparse.Namespace) -> Networks:
    least = min(args.detector_score, *_SWEEPS["detector_score"]) if args.sweep else args.detector_score
    detectors = [
        load_detector(path, args.device, least, args.detector_size, detector_type=args.detector_type)
        for path in args.detector or [None]
    ]
    estimator = load_estimator(args.pose_model, args.device, flip_test=args.flip_test)
    networks = Networks(detectors, estimator, create_flow(args.flow))
    parts: list[PersonDetector | PoseEstimator] = [*networks.detectors, networks.estimator]
    for network in parts:
        note = f"; {network.note}" if network.note else ""
        print(f"{network.name}: {network.engine}{note}", file=sys.stderr)
    return networks


def _rows(base: Setting, args: argparse.Namespace) -> dict[str, Setting]:
    """The settings by what they are called: the paper's, then lengths of the queue, detectors and oracles."""
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


def _sweep(base: Setting) -> dict[Threshold, Setting]:
    """The settings that differ from the base in one threshold, and for each the base itself."""
    given = {"detector_score": base.box_score} | vars(base.config)
    return {
        (name, value): _with(base, **{name: value})
        for name, values in _SWEEPS.items()
        for value in sorted({*values, given[name]})
    }


def _with(base: Setting, **values: Any) -> Setting:
    """The setting with other values of options."""
    box_score = values.pop("detector_score", base.box_score)
    return replace(base, box_score=box_score, config=replace(base.config, **values))


def _print_best(table: _Table, swept: Mapping[Threshold, Setting], base: Setting) -> dict[str, Any]:
    """Try the best values of all thresholds together, and say what has the highest MOTA of all that was tried."""
    by_mota = sorted(swept, key=lambda threshold: (table.mota(swept[threshold]), swept[threshold] == base))
    last = dict(by_mota)
    best = {name: last[name] for name in _SWEEPS}
    together = _with(base, **best)
    table.print({"best of each": together})
    tried = {_option(*threshold): setting for threshold, setting in swept.items()}
    tried[" ".join(itertools.starmap(_option, best.items()))] = together
    options = max(tried, key=lambda label: table.mota(tried[label]))
    mota = table.mota(tried[options])
    print(f"\nhighest MOTA: {mota:.1f} with {options}")
    return {"options": options, "mota": mota}


def _option(name: str, value: float) -> str:
    """An option of `track` with its value."""
    option = "--detector-score" if name == "detector_score" else spell(name)
    return f"{option}{'=' if ' ' in option else ' '}{value:g}"


class _Table:
    """The rows that are done, printed as they are; a setting under several names is tried once."""

    def __init__(self, ablation: Ablation, num_sequences: int, labels: Iterable[str]) -> None:
        self._ablation = ablation
        self._num_sequences = num_sequences
        self._width = max(map(len, labels))
        self._outcomes: dict[Setting, Outcome] = {}
        self._rows: dict[str, Setting] = {}
        print(f"| {'setting':<{self._width}} |   mAP |  MOTA | switches |   fps |")
        print(f"|{'-' * (self._width + 2)}|------:|------:|---------:|------:|", flush=True)

    def print(self, rows: Mapping[str, Setting]) -> None:
        """Track with each setting, and print its row as soon as this and all before it are done."""
        new = [setting for setting in dict.fromkeys(rows.values()) if setting not in self._outcomes]
        self._print_done(rows)
        total = len(new) * self._num_sequences
        with tqdm(total=total, unit="run", disable=None, leave=False) as bar:
            for setting, outcome in self._ablation.run(new, bar.update) if new else ():
                self._outcomes[setting] = outcome
                bar.clear()
                self._print_done(rows)

    def mota(self, setting: Setting) -> float:
        """Of a setting that is done."""
        return self._outcomes[setting].mot["Total"]

    def as_json(self) -> list[dict[str, Any]]:
        """All rows with all that is known of them."""
        return [
            {"label": label, "setting": asdict(setting), **asdict(self._outcomes[setting])}
            for label, setting in self._rows.items()
        ]

    def _print_done(self, rows: Mapping[str, Setting]) -> None:
        for label, setting in rows.items():
            if setting not in self._outcomes:
                return
            if label not in self._rows:
                self._rows[label] = setting
                print(_row(label.ljust(self._width), self._outcomes[setting]), flush=True)


def _row(label: str, outcome: Outcome) -> str:
    figures = (outcome.ap["Total"], outcome.mot["Total"], outcome.fps)
    ap, mota, fps = (f"{'–' if math.isnan(figure) else f'{figure:.1f}':>5}" for figure in figures)
    return f"| {label} | {ap} | {mota} | {outcome.num_switches:>8} | {fps} |"
