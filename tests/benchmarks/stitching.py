"""How often people's ids change as the tracker left them, and after `--stitch`: in scenes, or in simulated tracks.

    python -m tests.benchmarks.stitching [--variants 4] [--forget-after S] [--scenes NAME …]
    python -m tests.benchmarks.stitching --tracks FILE [--variants 6]

FILE as for `tests.benchmarks.simulated_video`. Held out is what nothing was chosen by.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from tests.benchmarks.simulated_video import SIZE_WH, Errors, SimulatedVideo, Tracks, count_changes, read_tracks
from tracker.after.second_pass import SecondPass, run_second_pass
from tracker.evaluation.ablation import predicted_frame
from tracker.evaluation.identities import count_switches
from tracker.flow import create_flow
from tracker.formats import FrameResult, Header, Results
from tracker.formats.posetrack import PoseTrackFrame
from tracker.scenes.hard import HARD, HELD_OUT, USUAL
from tracker.scenes.playback import track_scene
from tracker.skeletons import COCO_17, POSETRACK_17, Skeleton
from tracker.tracking.config import FRAME_S, TrackerConfig
from tracker.tracking.propagation import merge_candidates
from tracker.tracking.tracker import PoseTracker
from tracker.types import TrackedPoses

_SECONDS = (0.0, 2.0, 6.0)
_SCENES = {**USUAL, **HARD}


def stitched(people: Iterable[tuple[float, TrackedPoses]], skeleton: Skeleton, stitch_s: float) -> list[TrackedPoses]:
    """The people of each frame after a second pass that stitches alone; people: times and who was tracked."""
    frames = tuple(
        FrameResult(number, time_s, replace(tracked, poses=tracked.poses.limited()))
        for number, (time_s, tracked) in enumerate(people)
    )
    header = Header(skeleton, "", SIZE_WH, 1 / (frames[1].time_s - frames[0].time_s))
    threshold = TrackerConfig().least_keypoint_score
    results = run_second_pass(Results(header, frames), SecondPass(stitch_s=stitch_s), threshold)
    return [frame.tracked for frame in results.frames]


def count_in_scene(name: str, seed: int, config: TrackerConfig) -> list[int]:
    """Switches in a rendered scene, for each number of seconds."""
    scene = _SCENES[name]
    tracked = list(track_scene(scene.frames(seed, None), create_flow("dis"), config, scene.oracle(seed)))
    truth = [frame.people for frame, _ in tracked]
    people = [(frame.time_s, found) for frame, found in tracked]
    return [count_switches(zip(truth, stitched(people, COCO_17, s), strict=True)).switches for s in _SECONDS]


def count_in_video(video: SimulatedVideo, config: TrackerConfig) -> list[int]:
    """Changes of true people's ids in a simulated video, for each number of seconds."""
    people = list(track_video(video, config))
    found = (stitched(people, POSETRACK_17, s) for s in _SECONDS)
    return [count_changes(video, replace(video.truth, frames=tuple(map(_written, frames)))) for frames in found]


def track_video(video: SimulatedVideo, config: TrackerConfig) -> Iterator[tuple[float, TrackedPoses]]:
    """Times and people of a simulated video."""
    tracker = PoseTracker(video.skeleton, config)
    for number in range(len(video)):
        candidates = merge_candidates(video.detect(number), tracker.predict(video.motion(number)), config)
        yield number * FRAME_S, tracker.update(video.estimate(number, candidates))


def _written(tracked: TrackedPoses) -> PoseTrackFrame:
    return predicted_frame(0, "", tracked.poses, tracked.track_ids)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=Path, metavar="FILE")
    parser.add_argument("--scenes", nargs="+", choices=_SCENES, default=_SCENES, metavar="NAME")
    parser.add_argument("--variants", type=int, default=4, metavar="N", help="of each scene, or seeds")
    parser.add_argument("--forget-after", type=float, default=TrackerConfig().forget_after_s, metavar="S")
    args = parser.parse_args()

    config = TrackerConfig(forget_after_s=args.forget_after).settled()
    counts = Counter[tuple[str, bool, float]]()
    if args.tracks:
        for sequence in (Tracks(*pair) for pair in read_tracks(args.tracks)):
            for seed in range(args.variants):
                video = SimulatedVideo(sequence.truth, sequence.hidden, SIZE_WH, seed, Errors())
                _add(counts, "tracks", sequence.is_held_out, count_in_video(video, config))
    for name in () if args.tracks else args.scenes:
        for first in (0, HELD_OUT):
            for seed in range(first, first + args.variants):
                _add(counts, "usual" if name in USUAL else "harder", first > 0, count_in_scene(name, seed, config))
    for of, is_held_out in sorted({key[:2] for key in counts}):
        shown = ", ".join(f"{counts[of, is_held_out, s]} with --stitch {s:g}" for s in _SECONDS[1:])
        part = "held out" if is_held_out else "to choose by"
        print(f"{of}, {part}: {counts[of, is_held_out, 0.0]} changes as tracked, {shown}")


def _add(counts: Counter[tuple[str, bool, float]], of: str, is_held_out: bool, changes: list[int]) -> None:
    counts.update({(of, is_held_out, s): number for s, number in zip(_SECONDS, changes, strict=True)})


if __name__ == "__main__":
    main()
