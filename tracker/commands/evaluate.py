"""`evaluate`: how right detectors, pose networks and tracked poses are, against annotated pictures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.commands.evaluation_inputs import (
    add_output_options,
    add_truth_options,
    check_outputs,
    estimation_of,
    load_detector_of,
    load_estimator_of,
    on_each,
    read_pictures,
)
from tracker.commands.options import OF_DETECTORS, OF_POSES, add_network_options, natural, refuse_detector
from tracker.errors import InputError, UsageError
from tracker.outputs import make_folder, write_json

if TYPE_CHECKING:
    from tracker.datasets.coco import Annotation, GroundTruth
    from tracker.evaluation.posetrack.measure import MeasuredSequence
    from tracker.types import DoubleArray

_THRESHOLDS = (0.2, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8)


def add_parser(commands: Any) -> None:
    """Add the command, its measures and their options."""
    parser = commands.add_parser(
        "evaluate",
        help="measure networks or results against annotated pictures",
        description="Measure networks, or results in a file, against annotated pictures.",
    )
    measures = parser.add_subparsers(required=True, metavar="MEASURE")
    _add_coco(measures)
    _add_pck(measures)
    _add_pckh(measures)
    _add_posetrack(measures)
    measures.add_parser("networks").moved_to = "profile --gt FILE --images DIR"


def _add_coco(measures: Any) -> None:
    parser = measures.add_parser(
        "coco",
        help="OKS AP of poses or AP of boxes, by pycocotools",
        description="OKS AP of poses, or AP of boxes, by pycocotools: of results in a file, or of networks that are "
        "run on the pictures first. Where the ground truth states no area, that of a person's box stands in, times "
        "0.53 for poses. Poses in the detector's boxes go through OKS-NMS at 0.9. For boxes, recall at IoU 0.5 and "
        "false people per picture without people are given too. Ground truth that names CrowdPose's 14 keypoints is "
        "measured as CrowdPose's, with AP of easy, medium and hard pictures.",
    )
    group = parser.add_argument_group("what is measured")
    group.add_argument("--gt", type=Path, required=True, metavar="FILE", help="ground truth")
    source = group.add_mutually_exclusive_group(required=True)
    source.add_argument("--pred", type=Path, metavar="FILE", help="results to measure")
    source.add_argument("--images", type=Path, metavar="DIR", help="pictures to run the networks on")
    group.add_argument(
        "--kind", choices=("keypoints", "boxes"), default="keypoints", help="poses or the detector alone"
    )
    group.add_argument("--save", type=Path, metavar="FILE", help="keep what the networks give, as COCO results")
    add_output_options(group)
    group = parser.add_argument_group(
        "false people, for --kind boxes", 'in pictures marked "negative": true, or without annotations'
    )
    group.add_argument("--negatives", type=Path, metavar="FILE", help="ground truth of such pictures; default: --gt")
    group.add_argument("--negative-images", type=Path, metavar="DIR", help="their pictures")
    group.add_argument("--negatives-every", type=natural, default=1, metavar="N", help="take each N-th, by image id")
    group = parser.add_argument_group("networks")
    score = {"default": 0.01, "help": "least score of a person; AP wants a low one"}
    add_network_options(group, "pose", "boxes", *OF_DETECTORS, *OF_POSES, detector_score=score)
    parser.set_defaults(run=run_coco)


def _add_pck(measures: Any) -> None:
    parser = measures.add_parser(
        "pck",
        help="share of keypoints that are right, in lengths of the torso",
        description="PCK in lengths of the torso (mid-shoulder to mid-hip) over the twelve limb keypoints, in the true "
        "boxes, the mean over people; neck and head_top in figures of their own.",
    )
    group = parser.add_argument_group("what is measured")
    add_truth_options(group)
    group.add_argument("--threshold", type=float, default=0.2, metavar="T", help="torsos that a keypoint may be off")
    add_output_options(group)
    add_network_options(parser.add_argument_group("networks"), *OF_POSES)
    parser.set_defaults(run=run_pck)


def _add_pckh(measures: Any) -> None:
    parser = measures.add_parser(
        "pckh",
        help="share of keypoints that are right on MPII, in sizes of the head",
        description="PCKh of MPII in percent, as the official code gives it: keypoints within half of 0.6 times the "
        "diagonal of the head box, means without pelvis and thorax. Its Mean@0.1 is at 0.11. Of keypoints in a file "
        "(N × 16 × 2 in pixels from 1: preds in a .mat file, or lists in JSON), or of a network that is run on the "
        "pictures first, in boxes by the annotated centres and scales.",
    )
    group = parser.add_argument_group("what is measured")
    group.add_argument("--gt", type=Path, required=True, metavar="FILE", help="ground truth: MPII's gt_valid.mat")
    source = group.add_mutually_exclusive_group(required=True)
    source.add_argument("--pred", type=Path, metavar="FILE", help="keypoints to measure")
    source.add_argument("--images", type=Path, metavar="DIR", help="pictures to run the network on")
    group.add_argument("--annotations", type=Path, metavar="FILE", help="who is in them: the official valid.json")
    add_output_options(group)
    add_network_options(parser.add_argument_group("networks"), *OF_POSES)
    parser.set_defaults(run=run_pckh)


def _add_posetrack(measures: Any) -> None:
    parser = measures.add_parser(
        "posetrack",
        help="AP, MOTA and HOTA of tracked poses, as PoseTrack's own programs give them",
        description="AP and CLEAR-MOT of poseval, and AP and HOTA of PoseTrack21's kit, of prediction files. Beside "
        "poseval's MOTA, which leaves out the last frame and counts a frame without predictions as one miss and one "
        "false positive, stands one that counts every person. MOTP is over the matches.",
    )
    group = parser.add_argument_group("what is measured")
    group.add_argument("--gt", type=Path, required=True, metavar="DIR", help="ground truth: a folder of files, or one")
    group.add_argument("--pred", type=Path, required=True, metavar="DIR", help="predictions, with the same file names")
    group.add_argument("--format", choices=("17", "18", "21"), help="of the ground truth; default: told by its content")
    group.add_argument("--keypoint-score", type=float, metavar="S", help="least score of a keypoint in MOT and HOTA")
    add_output_options(group)
    group.add_argument("--plot", type=Path, metavar="DIR", help="draw precision over recall, and who had which id when")
    parser.set_defaults(run=run_posetrack)


def run_coco(args: argparse.Namespace) -> int:
    """Print AP, and for boxes recall and false people by score, to stdout, in Markdown."""
    _check_combination(args)
    check_outputs(args, args.json, args.save)
    from tracker.datasets.coco import read_ground_truth
    from tracker.evaluation.coco import evaluate_in_detail, load_pycocotools
    from tracker.evaluation.mean_oks import mean_oks

    load_pycocotools()
    truth = read_ground_truth(args.gt)
    negatives = (read_ground_truth(args.negatives) if args.negatives else truth).negatives(args.negatives_every)
    results, false_results = _results(args, truth, negatives)
    if args.save:
        write_json(args.save, [result | {"category_id": truth.person_id} for result in results])
    figures, details = evaluate_in_detail(truth, results, args.kind)
    if args.kind == "keypoints":
        figures["mean_oks"] = mean_oks(truth, results)
    _print_table(figures, [figures.values()])
    details |= {"kind": args.kind, "num_images": len(truth.pictures), "num_people": truth.num_people}
    if args.kind == "boxes":
        rows = _by_threshold(truth, results, negatives, false_results)
        details |= {"num_negatives": len(negatives.pictures), "thresholds": rows}
        print()
        _print_table(rows[0], [row.values() for row in rows])
    if args.json:
        write_json(args.json, figures | details)
    return 0


def run_pck(args: argparse.Namespace) -> int:
    """Print PCK to stdout, in Markdown."""
    if args.threshold <= 0:
        raise UsageError(f"--threshold must be above 0, not {args.threshold}")
    check_outputs(args, args.json)
    from tracker.evaluation.estimation import in_true_boxes
    from tracker.evaluation.pck import evaluate_pck

    truth = read_pictures(args)
    estimator = load_estimator_of(args)
    poses = on_each(truth, args.images, in_true_boxes(estimator).estimate)
    figures, num_people = evaluate_pck(truth, poses, estimator.skeleton, args.threshold)
    _print_table(figures, [figures.values()])
    if args.json:
        write_json(args.json, figures | {"threshold": args.threshold, "num_people": num_people})
    return 0


def run_pckh(args: argparse.Namespace) -> int:
    """Print PCKh in percent to stdout, in Markdown."""
    if bool(args.images) != bool(args.annotations):
        raise UsageError("--images needs --annotations, and these nothing else")
    check_outputs(args, args.json)
    from tracker.datasets.mpii import read_predictions, read_truth
    from tracker.evaluation.pckh import evaluate_pckh

    truth = read_truth(args.gt)
    found = read_predictions(args.pred, len(truth)) if args.pred else _estimate_mpii(args, len(truth))
    figures = evaluate_pckh(truth, found)
    _print_table(figures, [figures.values()])
    if args.json:
        write_json(args.json, figures | {"num_people": len(truth)})
    return 0


def run_posetrack(args: argparse.Namespace) -> int:
    """Print the figures in percent to stdout, in Markdown, of all sequences and then of each."""
    from tracker.evaluation.posetrack.files import pair_files
    from tracker.evaluation.posetrack.measure import note_on_scores
    from tracker.evaluation.posetrack.summary import (
        as_json,
        sequence_table,
        summarise_all,
        summarise_sequence,
        total_table,
    )

    pairs, note = pair_files(args.gt, args.pred)
    plots = _posetrack_plots(args.plot, [truth.stem for truth, _ in pairs]) if args.plot else {}
    check_outputs(args, args.json, *plots.values())
    measured = _measure_posetrack(pairs, args.format, args.keypoint_score)
    total = summarise_all(measured)
    for line in filter(None, (note, *(sequence.note for sequence in measured), note_on_scores(measured))):
        print(f"note: {line}", file=sys.stderr)
    print(total_table(total))
    if len(measured) > 1:
        print(f"\n{sequence_table([summarise_sequence(sequence) for sequence in measured])}")
    if args.json:
        write_json(args.json, as_json(measured, total))
    if args.plot:
        _draw_posetrack(measured, plots)
    return 0


def _posetrack_plots(folder: Path, sequences: Iterable[str]) -> dict[str, Path]:
    """The pictures that will be drawn: by sequence, and under no name the one of all."""
    from tracker.plots import check_can_draw

    check_can_draw()
    make_folder(folder)
    return {"": folder / "precision_recall.png"} | {name: folder / f"{name}_ids.png" for name in sequences}


def _measure_posetrack(
    pairs: Iterable[tuple[Path, Path]], version: str | None, keypoint_score: float | None
) -> list[MeasuredSequence]:
    from tqdm import tqdm

    from tracker.evaluation.posetrack.measure import measure_sequence
    from tracker.formats.posetrack import read_posetrack

    shown = tqdm(pairs, unit="sequence", disable=not sys.stderr.isatty(), leave=False)
    return [
        measure_sequence(read_posetrack(truth, version), read_posetrack(found), keypoint_score)
        for truth, found in shown
    ]


def _draw_posetrack(measured: Sequence[MeasuredSequence], plots: Mapping[str, Path]) -> None:
    from tracker.evaluation.posetrack.ap import pool
    from tracker.evaluation.posetrack.plots import draw_precision_recall, draw_timeline

    draw_precision_recall(pool(sequence.ranking for sequence in measured), plots[""])
    for sequence in measured:
        draw_timeline(sequence.timeline, sequence.name, plots[sequence.name])


def _check_combination(args: argparse.Namespace) -> None:
    faults = {
        "--save keeps what networks give: it needs --images": args.save and args.pred,
        "--boxes ground-truth leaves the detector nothing to do: it needs --kind keypoints": args.kind == "boxes"
        and args.boxes == "ground-truth",
        "--pose bottom-up has no use for true boxes, nor gives --kind boxes": args.pose == "bottom-up"
        and (args.boxes == "ground-truth" or args.kind == "boxes"),
        "--negatives needs --kind boxes and --images": args.negatives and (args.kind != "boxes" or args.pred),
        "--negatives and --negative-images need each other": bool(args.negatives) != bool(args.negative_images),
    }
    for message, applies in faults.items():
        if applies:
            raise UsageError(message)
    if args.pose == "bottom-up":
        refuse_detector(args)


def _results(
    args: argparse.Namespace, truth: GroundTruth, negatives: GroundTruth
) -> tuple[list[Annotation], list[Annotation]]:
    """What is measured on the ground truth, and what gives the false people."""
    from tracker.datasets.coco import check_pictures, read_results
    from tracker.evaluation.coco import box_results, keypoint_results

    if args.pred:
        results = read_results(args.pred, truth, args.kind)
        return results, results
    check_pictures(truth, args.images)
    if args.negatives:
        check_pictures(negatives, args.negative_images)
    if args.kind == "keypoints":
        way = estimation_of(args)
        poses = on_each(truth, args.images, way.estimate)
        return keypoint_results(poses, way.skeleton, truth.skeleton, is_rescored=way.is_rescored), []
    detector = load_detector_of(args)
    results = box_results(on_each(truth, args.images, lambda _, image: detector.detect([image])[0]))
    if not args.negatives:
        return results, results
    found = on_each(negatives, args.negative_images, lambda _, image: detector.detect([image])[0])
    return results, box_results(found)


def _estimate_mpii(args: argparse.Namespace, num_people: int) -> DoubleArray:
    """Keypoints of MPII's people in the boxes of the annotations, in the order of the ground truth."""
    from tracker.datasets.coco import check_pictures
    from tracker.datasets.mpii import read_people
    from tracker.evaluation.estimation import in_true_boxes
    from tracker.evaluation.pckh import predictions_of

    people = read_people(args.annotations)
    if people.num_people != num_people:
        raise InputError(
            f"{args.annotations} lists {people.num_people} people, {args.gt} {num_people}; name files of the same split"
        )
    check_pictures(people, args.images)
    estimator = load_estimator_of(args)
    return predictions_of(people, on_each(people, args.images, in_true_boxes(estimator).estimate), estimator.skeleton)


def _by_threshold(
    truth: GroundTruth, results: Sequence[Annotation], negatives: GroundTruth, false_results: Sequence[Annotation]
) -> list[dict[str, float | None]]:
    from tracker.evaluation.coco import box_recalls, false_people

    recalls = box_recalls(truth, results, _THRESHOLDS)
    false = false_people(negatives, false_results, _THRESHOLDS)
    return [
        {"score": threshold, "recall": recall, "false_people_per_picture": per_picture}
        for threshold, recall, per_picture in zip(_THRESHOLDS, recalls, false, strict=True)
    ]


def _print_table(header: Iterable[str], rows: Iterable[Iterable[float | None]]) -> None:
    from tracker.evaluation.tables import markdown_table

    print(markdown_table([name.replace("_", " ") for name in header], rows, digits=3))
