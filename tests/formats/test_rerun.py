"""Recordings as Rerun reads them. Its wheel has 170 MB, so that it is no part of the extra `dev`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.formats.examples import HEADER, example, write_results
from tracker.formats import FrameResult, open_writer
from tracker.skeletons import COCO_17

chunk: Any = pytest.importorskip("rerun.chunk", reason="rerun-sdk is not installed (the extra `rerun`)")


def rows_of(path: Path, entity: str, component: str) -> dict[int, Any]:
    """By frame what an entity has of a component; static ones at -1."""
    found = {}
    for one in chunk.RrdReader(str(path)).stream().to_chunks():
        table = one.to_record_batch()
        if one.entity_path == entity and component in table.schema.names:
            is_timed = "frame" in table.schema.names
            frames = table["frame"].to_pylist() if is_timed else [-1] * one.num_rows
            values = table[component].to_pylist()
            found |= {frame: value for frame, value in zip(frames, values, strict=True) if value is not None}
    return dict(sorted(found.items()))


def test_a_recording_holds_what_results_say(tmp_path: Path) -> None:
    """Points by keypoint without those that are missing, half a pixel farther; who has gone is cleared."""
    gone = replace(example().frames[0], index=3, time_s=0.12, tracked=example().frames[0].tracked[[1]])
    results = replace(example(), frames=(*example().frames, gone))
    write_results(tmp_path / "out.rrd", results)
    assert [path.name for path in tmp_path.iterdir()] == ["out.rrd"]
    for frame in results.frames:
        for person in frame.tracked:
            entity, is_there = f"/people/{person.track_id}", np.isfinite(person.keypoints[:, 0])

            def stated(component: str, entity: str = entity, index: int = frame.index) -> Any:
                return np.array(rows_of(tmp_path / "out.rrd", entity, component)[index])

            np.testing.assert_array_equal(stated("Points2D:positions"), person.keypoints[is_there] + np.float32(0.5))
            np.testing.assert_array_equal(stated("Points2D:keypoint_ids"), np.flatnonzero(is_there))
            assert set(stated("Points2D:class_ids").tolist()) == {1}
            np.testing.assert_array_equal(stated("scores"), person.scores[is_there])
            middle, half = (person.box[:2] + person.box[2:]) / 2 + 0.5, (person.box[2:] - person.box[:2]) / 2
            np.testing.assert_allclose(stated("Boxes2D:centers", f"{entity}/box")[0], middle, atol=1e-4)
            np.testing.assert_allclose(stated("Boxes2D:half_sizes", f"{entity}/box")[0], half, atol=1e-4)
    times = rows_of(tmp_path / "out.rrd", "/people/8", "time")
    assert {frame: time.total_seconds() for frame, time in times.items()} == {0: 0, 1: 0.04, 2: 0.08, 3: 0.12}
    assert {name: [*rows_of(tmp_path / "out.rrd", f"/people/{name}", "Clear:is_recursive")] for name in (3, 8)} == {
        3: [1, 3], 8: [1],
    }  # fmt: skip


def test_the_viewer_knows_keypoints_and_edges(tmp_path: Path) -> None:
    with open_writer(tmp_path / "out.rrd", HEADER) as writer:
        writer.write(FrameResult(0, np.nan, example().frames[0].tracked), example().frames[0].tracked)
    ((context,),) = rows_of(tmp_path / "out.rrd", "/", "AnnotationContext:context").values()
    (person,) = context
    assert person["class_id"] == 1
    known = person["class_description"]
    labels = [(one["id"], one["label"]) for one in known["keypoint_annotations"]]
    assert labels == list(enumerate(COCO_17.keypoint_names))
    edges = [(one["keypoint0"], one["keypoint1"]) for one in known["keypoint_connections"]]
    assert edges == list(COCO_17.edges)
    assert rows_of(tmp_path / "out.rrd", "/people/3", "time") == {}
