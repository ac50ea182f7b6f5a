"""Networks of other families on real people: from a file under its published name to poses with ids in every format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.commands.conftest import Run
from tests.formats.examples import READABLE
from tests.pose.following import write_rtmpose, write_vitpose
from tracker.cli import main
from tracker.formats import FORMATS, Results, read_results
from tracker.skeletons import COCO_17, HALPE_26, WHOLEBODY_133, Skeleton

pytestmark = pytest.mark.slow

FRAMES = 6


@pytest.fixture(scope="module")
def included(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What the included networks find in the same frames."""
    pytest.importorskip("skimage", reason="the photographs come with scikit-image (the extra `demo`)")
    folder = tmp_path_factory.mktemp("included")
    assert main(["demo", "--frames", str(FRAMES), "--output", str(folder)]) == 0
    return read_results(folder / "photo_tracked.jsonl")


@pytest.mark.parametrize(
    ("name", "write", "skeleton"),
    [
        pytest.param("end2end.onnx", write_rtmpose, COCO_17, id="RTMPose, COCO"),
        pytest.param("end2end.onnx", write_rtmpose, HALPE_26, id="RTMPose, Halpe"),
        pytest.param("dw-ll_ucoco_384.onnx", write_rtmpose, WHOLEBODY_133, id="DWPose"),
        pytest.param("vitpose-s-coco.onnx", write_vitpose, COCO_17, id="ViTPose"),
    ],
)
def test_people_are_tracked_drawn_written_and_read_back(
    run: Run, included: Results, name: str, write: Callable[[Path, Skeleton], Path], skeleton: Skeleton
) -> None:
    write(Path(name), skeleton)
    done = run("demo", "--frames", FRAMES, "--output", "own", "--pose-model", name)
    assert "everybody kept one id: 2 people, 0 id switches, 100 % of the poses found" in done.err
    found = read_results(Path("own", "photo_tracked.jsonl"))
    assert found.header.skeleton is skeleton
    check_near(found, included)
    for written in set(READABLE) - {"cvat", "mot", "posetrack", "posetrack17", "posetrack18"}:
        out = f"out{FORMATS[written].suffix}" if FORMATS[written].suffix else "out_folder"
        done = run("convert", "own/photo_tracked.jsonl", out, "--format", written, "--overwrite")
        assert done.code == 0
        check_same(read_results(Path(out)), found)


def check_near(found: Results, included: Results) -> None:
    """The same people, whose keypoints are where the included network sees them, within a cell of its heatmaps."""
    assert len(found.frames) == FRAMES
    own, other = (
        np.stack([poses.keypoints[poses.boxes[:, 0].argsort()] for poses in all_poses])  # from the left
        for all_poses in (
            [frame.tracked.poses for frame in results.in_skeleton(COCO_17).frames] for results in (found, included)
        )
    )
    assert np.nanmedian(np.linalg.norm(own - other, axis=3)) < 9
    scores = np.stack([frame.tracked.poses.scores for frame in found.frames])
    assert 0.5 < scores.max() <= 1


def check_same(again: Results, found: Results) -> None:
    """The same people with the same keypoints, to the decimals of the formats; OpenPose has no head."""
    assert again.header.skeleton is found.header.skeleton
    compared = np.array([name != "head" for name in found.header.skeleton.keypoint_names])
    assert [frame.index for frame in again.frames] == [frame.index for frame in found.frames]
    for one, other in zip(again.frames, found.frames, strict=True):
        assert one.tracked.track_ids.tolist() == other.tracked.track_ids.tolist()
        pair = (frame.tracked.poses.keypoints[:, compared] for frame in (one, other))
        np.testing.assert_allclose(*pair, atol=0.02)
