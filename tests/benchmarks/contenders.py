"""What `peers` compares, each in a process of its own: reads `go` lines, works once for each, and says what it took.

This file runs in the peers' environment, too, so only NumPy is imported at its top, and ours where it is ours' turn.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

# What our pipeline does by default; rtmlib's classes have other defaults.
SCORE = 0.5
SIZE = 416


def ours(clip: str, detector: str, pose: str, folder: str, max_frames: int, speed: Any = "exact") -> Callable[[], Any]:
    """The whole pipeline, with ids, flow, overlay and results; exact looks at every frame, as the others do."""
    from tracker.job.job import Engine, Job, Outputs, Settings, Span
    from tracker.job.run import load_pipeline, open_input, run_job

    settings = Settings(detector=Path(detector), pose_model=Path(pose), speed=speed)
    outputs = Outputs(overlay=Path(folder, "ours.mp4"), poses=Path(folder, "ours.jsonl"), overwrite=True)
    pipeline = load_pipeline(settings, Engine("cpu", engine="onnxruntime"))

    def work() -> tuple[int, int]:
        job = Job(clip, settings, Span(max_frames=max_frames), outputs)
        with open_input(job)[0] as source:
            report = run_job(job, source, pipeline)
        return report.frames, report.poses

    return work


def rtmlib(clip: str, detector: str, pose: str, folder: str, max_frames: int) -> Callable[[], Any]:
    """The loop of its README: detect, estimate person by person, draw, encode; no ids."""
    from rtmlib import RTMDet, ViTPose, draw_skeleton

    class Detector(RTMDet):  # type: ignore[misc]
        """As it is for graphs that suppress overlapping boxes; for raw heads their boxes are read here."""

        def __call__(self, image: Any) -> Any:
            padded, ratio = self.preprocess(image)
            outputs = self.inference(padded)
            return self.postprocess(outputs[0], ratio) if len(outputs) < 3 else read_heads(outputs) / ratio

    detect = Detector(detector, model_input_size=(SIZE, SIZE), backend="onnxruntime", score_thr=SCORE)
    estimate = ViTPose(pose, model_input_size=(192, 256), backend="onnxruntime")

    def look(frame: Any) -> tuple[Any, int]:
        boxes = detect(frame)
        if not len(boxes):
            return frame, 0
        keypoints, scores = estimate(frame, bboxes=boxes)
        return draw_skeleton(frame, keypoints[:, :17], scores[:, :17], kpt_thr=0.4), len(boxes)

    return lambda: plain_loop(clip, Path(folder, "rtmlib.mp4"), max_frames, look)


def read_heads(heads: Any) -> Any:
    """Boxes (N, 4) of one picture's heads [1, 5, g, g], logits and distances in pixels, without doubles."""
    import cv2

    boxes, scores = [], []
    for head in heads:
        score = 1 / (1 + np.exp(-head[0, 0]))
        y, x = np.nonzero(score >= SCORE)
        left, top, right, bottom = head[0][1:, y, x]
        at_x, at_y = np.array([x, y]) * (SIZE // len(score))
        boxes.append(np.stack([at_x - left, at_y - top, at_x + right, at_y + bottom], axis=1))
        scores.append(score[y, x])
    corners = np.concatenate(boxes)
    xywh = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxes(xywh.tolist(), np.concatenate(scores).tolist(), SCORE, 0.6)
    return corners[np.array(kept, int).ravel()]


def official(clip: str, _detector: str, _pose: str, folder: str, max_frames: int) -> Callable[[], Any]:
    """The authors' layout: torch, a crop and a forward pass for each person, peaks in loops over people and keypoints.

    The networks are the included ones in torch, so that it differs by the way it works alone; no ids.
    """
    import cv2
    import torch

    from tracker.detection import load_detector
    from tracker.weights import find_default, load_network

    torch.set_num_threads(1)  # as ours on two cores; more of them spin while they wait
    detector = load_detector(None, "cpu", SCORE, engine="torch")
    network = load_network(find_default("pose", "cpu", engine="torch"), "pose").eval()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))

    def estimate(frame: Any, box: Any) -> Any:
        centre, side = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
        height = 1.25 * max(side[1], side[0] * 256 / 192)
        scale = 256 / height
        shift = np.array([[scale, 0, 96 - scale * centre[0]], [0, scale, 128 - scale * centre[1]]])
        crop = cv2.cvtColor(cv2.warpAffine(frame, shift, (192, 256)), cv2.COLOR_BGR2RGB)
        picture = (torch.from_numpy(crop).permute(2, 0, 1).float() / 255 - mean) / std
        with torch.no_grad():
            maps = network(picture[None])[0].numpy()
        points = []
        for heatmap in maps:
            y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
            if 0 < x < heatmap.shape[1] - 1 and 0 < y < heatmap.shape[0] - 1:
                dx, dy = heatmap[y, x + 1] - heatmap[y, x - 1], heatmap[y + 1, x] - heatmap[y - 1, x]
                x, y = x + 0.25 * np.sign(dx), y + 0.25 * np.sign(dy)
            points.append((np.array([x, y]) * 4 - [96, 128]) / scale + centre)
        return np.array(points)

    def look(frame: Any) -> tuple[Any, int]:
        boxes = detector.detect([frame])[0].boxes
        for box in boxes:
            for x, y in estimate(frame, box):
                cv2.circle(frame, (int(x), int(y)), 3, (0, 255, 0), -1)
        return frame, len(boxes)

    return lambda: plain_loop(clip, Path(folder, "official.mp4"), max_frames, look)


def plain_loop(clip: str, output: Path, max_frames: int, look: Callable[[Any], tuple[Any, int]]) -> tuple[int, int]:
    """Decode, look, encode, one after another; frames and people."""
    import cv2

    video = cv2.VideoCapture(clip)
    fps, size = video.get(cv2.CAP_PROP_FPS), tuple(int(video.get(3 + axis)) for axis in (0, 1))
    writer = cv2.VideoWriter(str(output), cv2.VideoWriter_fourcc(*"mp4v"), fps, size)
    frames = people = 0
    while frames < max_frames:
        ok, frame = video.read()
        if not ok:
            break
        drawn, found = look(frame)
        writer.write(drawn)
        frames, people = frames + 1, people + found
    writer.release()
    video.release()
    return frames, people


def crowd(num_people: int, num_frames: int) -> Iterator[tuple[Any, Any, Any]]:
    """Keypoints (N, 17, 2), scores (N, 17) and boxes (N, 4) of people who walk about, with noise; always the same."""
    rng = np.random.default_rng(0)
    shape = rng.uniform(0, 1, (num_people, 17, 2)) * [60, 150]
    place, pace = rng.uniform(0, 1, (num_people, 1, 2)) * [1200, 500], rng.normal(0, 3, (num_people, 1, 2))
    for number in range(num_frames):
        keypoints = (shape + place + number * pace + rng.normal(0, 1.5, shape.shape)).astype(np.float32)
        scores = np.clip(rng.normal(0.75, 0.15, shape.shape[:2]), 0.05, 1).astype(np.float32)
        yield keypoints, scores, np.concatenate([keypoints.min(axis=1) - 8, keypoints.max(axis=1) + 8], axis=1)


def associate(name: str, num_people: str, num_frames: str) -> Callable[[], Any]:
    """Ids for the same people by a tracker of that name; what converts them to its own form is not timed."""
    frames = list(crowd(int(num_people), int(num_frames)))
    prepare, begin = TRACKERS[name]()
    ready = [prepare(*frame) for frame in frames]

    def work() -> tuple[int, int]:
        update = begin()
        ids: set[int] = set()
        start = time.process_time()
        for people in ready:
            ids.update(update(people))
        return len(ready), len(ids), time.process_time() - start

    return work


def our_tracker(*, carries: bool) -> Any:
    """Duplicates, ids and memory; with the boxes in which people are looked for next, if `carries`."""
    from tracker import PoseTracker
    from tracker.skeletons import COCO_17
    from tracker.types import Poses

    def prepare(keypoints: Any, scores: Any, boxes: Any) -> Any:
        n = len(boxes)
        detected, sure = np.zeros(n, np.int8), np.full(n, 0.8, np.float32)
        return Poses(keypoints=keypoints, scores=scores, boxes=boxes, box_scores=sure, origin=detected)

    def begin() -> Any:
        tracker = PoseTracker(COCO_17)

        def update(poses: Any) -> Any:
            if carries:
                tracker.predict(None)
            return tracker.update(poses).track_ids.tolist()

        return update

    return prepare, begin


def norfair_tracker(distance: str) -> Any:
    """Points with a Kalman filter each, matched by one of its named distances."""
    from norfair import Detection, Tracker

    def begin() -> Any:
        tracker = Tracker(distance_function=distance, distance_threshold=400, initialization_delay=0)
        return lambda people: [one.id for one in tracker.update(people)]

    return lambda keypoints, scores, _: [Detection(*one) for one in zip(keypoints, scores, strict=True)], begin


def box_tracker(name: str) -> Any:
    """Boxes with a Kalman filter each."""
    import supervision
    import trackers

    def prepare(_keypoints: Any, _scores: Any, boxes: Any) -> Any:
        return supervision.Detections(xyxy=boxes, confidence=np.full(len(boxes), 0.8, np.float32))

    def begin() -> Any:
        tracker = getattr(trackers, name)()
        return lambda people: tracker.update(people).tracker_id.tolist()

    return prepare, begin


TRACKERS: dict[str, Callable[[], Any]] = {
    "ours, ids": lambda: our_tracker(carries=False),
    "ours, ids and carried boxes": lambda: our_tracker(carries=True),
    "norfair, euclidean": lambda: norfair_tracker("euclidean"),
    "norfair, mean_euclidean": lambda: norfair_tracker("mean_euclidean"),
    "trackers, ByteTrack (boxes)": lambda: box_tracker("ByteTrackTracker"),
    "trackers, SORT (boxes)": lambda: box_tracker("SORTTracker"),
}
LOOPS = {
    "ours": ours,
    "ours, balanced": partial(ours, speed="balanced"),
    "rtmlib": rtmlib,
    "official layout in torch": official,
}


def main(kind: str, *arguments: str) -> None:
    """Answer each line on stdin with a line of JSON behind an @."""
    if kind == "associate":
        work = associate(*arguments)
    else:
        *paths, max_frames = arguments
        work = LOOPS[kind](*paths, int(max_frames))
    print("@ ready", flush=True)
    for _ in sys.stdin:
        start, cpu_start = time.perf_counter(), time.process_time()
        frames, found, *own_cpu_s = work()
        wall_s, cpu_s = time.perf_counter() - start, time.process_time() - cpu_start
        answer = {"frames": frames, "found": found, "wall_s": wall_s, "cpu_s": own_cpu_s[0] if own_cpu_s else cpu_s}
        print("@", json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
