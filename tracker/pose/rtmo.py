"""RTMO (Lu et al., CVPR 2024) as MMDeploy exports it, with NMS in the graph; YOLOX-Pose has the same outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tracker.boxes import nms
from tracker.pose.family import Outputs, PoseNetwork, Shapes
from tracker.pose.one_pass import one_pass_family
from tracker.types import Candidates, Detections, Poses

# Of the graph's own NMS.
_NMS_IOU = 0.65


def _pick(shapes: Shapes, num_keypoints: int | None) -> Sequence[str]:
    match list(shapes.values()):
        case [(_, rows, 5 | None), (_, people, count, 3)]:
            pairs = (rows, people), (count, num_keypoints)
            return list(shapes) if all(None in pair or len(set(pair)) == 1 for pair in pairs) else []
    return []


def _counts(shapes: Shapes, _metadata: Mapping[str, str]) -> set[int | None]:
    return {shape[2] for shape in shapes.values() if len(shape) == 4}


def _decode(outputs: Outputs, _network: PoseNetwork, least_score: float) -> Poses:
    """People of dets (n, 5), xyxy and score, and keypoints (n, K, 3), x, y and visibility.

    After the people comes a copy of some cell, in a batch as many as the fullest picture has people. Where the cell is
    a person's, NMS drops it once more.
    Source: `RTMOHead.forward` of MMDeploy.
    """
    dets, keypoints = outputs.values()
    people = Poses.in_boxes(
        Candidates.from_detections(Detections(dets[:, :4], dets[:, 4])), keypoints[..., :2], keypoints[..., 2]
    )
    people = people[(people.box_scores >= least_score) & (people.box_scores > 0)]
    return people[nms(people.boxes, people.box_scores, _NMS_IOU)]


RTMO = one_pass_family(
    _decode,
    signature="people as RTMO's: dets [b, n, 5], keypoints [b, n, K, 3]",
    pick=_pick,
    usual={"color": "bgr", "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)},
    counts=_counts,
    numbers=(14, 17),  # as published: COCO and CrowdPose
)
