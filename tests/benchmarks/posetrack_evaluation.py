"""Times PoseTrack evaluation against the plain way: pair by pair in Python, an accumulator of motmetrics per keypoint.

    pip install motmetrics==1.4.0
    python -m tests.benchmarks.posetrack_evaluation CASE... [--sequences 170] [--frames 100]

CASE is a folder with `gt` and `pred`. Their sequences are repeated, in turn, to the size of a validation set. Ours is
timed with all there is, from frames to JSON; of the plain way only CLEAR-MOT is. The counts of both must be equal.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import motmetrics
import numpy as np

from tracker.evaluation.posetrack.comparison import NUM_KEYPOINTS, People, compare_frames
from tracker.evaluation.posetrack.measure import measure_sequence
from tracker.evaluation.posetrack.summary import as_json, summarise_all
from tracker.formats.posetrack import PoseTrackSequence, read_posetrack
from tracker.types import DoubleArray

Pair = tuple[PoseTrackSequence, PoseTrackSequence]
COUNTS = ("num_objects", "num_detections", "num_misses", "num_false_positives", "num_switches")


def repeat(sequence: PoseTrackSequence, name: str, num_frames: int) -> PoseTrackSequence:
    frames = itertools.islice(itertools.cycle(sequence.frames), num_frames)
    numbered = (replace(frame, image_id=number) for number, frame in enumerate(frames))
    return replace(sequence, name=name, frames=tuple(numbered))


def build(cases: list[Path], num_sequences: int, num_frames: int) -> Iterator[Pair]:
    truths = [path for case in cases for path in sorted((case / "gt").glob("*.json"))]
    read = [(read_posetrack(path), read_posetrack(path.parents[1] / "pred" / path.name)) for path in truths]
    for number, pair in enumerate(itertools.islice(itertools.cycle(read), num_sequences)):
        truth, predicted = (repeat(sequence, f"{number:06d}", num_frames) for sequence in pair)
        yield truth, predicted


def measure_pair_by_pair(true: People, found: People) -> Iterator[DoubleArray]:
    """For each frame the distances (G, P, 15) in heads, computed as poseval does."""
    for frame in range(true.num_frames):
        rows, columns = (range(*people.first_rows[frame : frame + 2]) for people in (true, found))
        block = np.full((len(rows), len(columns), NUM_KEYPOINTS), np.nan)
        for (i, row), (j, column) in itertools.product(enumerate(rows), enumerate(columns)):
            for keypoint in range(NUM_KEYPOINTS):
                if true.present[row, keypoint] and found.present[column, keypoint]:
                    step = np.subtract(true.keypoints[row, keypoint], found.keypoints[column, keypoint])
                    block[i, j, keypoint] = np.linalg.norm(step) / true.head_sizes[row]
        yield np.where(block <= 0.5, block, np.nan)


def accumulate(true: People, found: People, blocks: list[DoubleArray]) -> list[motmetrics.MOTAccumulator]:
    """The loop of poseval, over all frames but the last."""
    accumulators = [motmetrics.MOTAccumulator(auto_id=True) for _ in range(NUM_KEYPOINTS)]
    for frame, block in enumerate(blocks[:-1]):
        rows, columns = (slice(*people.first_rows[frame : frame + 2]) for people in (true, found))
        for keypoint, accumulator in enumerate(accumulators):
            if 0 in block.shape:
                accumulator.update([0], [0], np.full((1, 1), np.nan))
                continue
            present = true.present[rows, keypoint], found.present[columns, keypoint]
            ids = true.track_ids[rows][present[0]], found.track_ids[columns][present[1]]
            accumulator.update(*map(np.ndarray.tolist, ids), block[..., keypoint][np.ix_(*present)])
    return accumulators


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path, nargs="+", metavar="CASE")
    parser.add_argument("--sequences", type=int, default=170)
    parser.add_argument("--frames", type=int, default=100)
    args = parser.parse_args()

    pairs = list(build(args.cases, args.sequences, args.frames))
    start = time.process_time()
    measured = [measure_sequence(*pair) for pair in pairs]
    total = summarise_all(measured)
    as_json(measured, total)
    ours = time.process_time() - start
    print(f"ours, with AP and HOTA: {ours:8.1f} s of processor time", flush=True)

    distances = events = 0.0
    metrics, sums = motmetrics.metrics.create(), dict.fromkeys(COUNTS, np.zeros(NUM_KEYPOINTS))
    for truth, predicted in pairs:
        comparison, _ = compare_frames(truth.frames, predicted.frames)
        people = comparison.truth, comparison.predicted
        start = time.process_time()
        blocks = list(measure_pair_by_pair(*people))
        distances += (halfway := time.process_time()) - start
        accumulators = accumulate(*people, blocks)
        found = [metrics.compute(one, metrics=COUNTS, return_dataframe=False) for one in accumulators]
        events += time.process_time() - halfway
        sums = {name: value + [row[name] for row in found] for name, value in sums.items()}
    print(f"distances in Python:    {distances:8.1f} s\nmotmetrics:             {events:8.1f} s")
    print(f"ratio: {(distances + events) / ours:.1f}; of motmetrics alone: {events / ours:.1f}")
    for name, values in sums.items():
        assert (values == getattr(total.counts, name)).all(), f"{name} differs"


if __name__ == "__main__":
    main()
