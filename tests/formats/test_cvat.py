"""Files for CVAT as its importer reads them, and files that come back from it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.formats.examples import HEADER, example, people_with_ids, write_results
from tracker.errors import InputError
from tracker.formats import FrameResult, read_results
from tracker.skeletons import COCO_17

Places = dict[str, tuple[float, float]]


def imported(path: Path, num_frames: int) -> dict[int, dict[int, Places]]:
    """What CVAT shows: by track and frame, the points that are not outside.

    By its importer (`load_anno`): a track is a label and shapes, a skeleton's points are tracks of their own; each of
    these attributes must be there; what is not a key frame is not taken; a shape stays until the next key frame.
    """
    shown: dict[int, dict[int, Places]] = {}
    for track in ElementTree.parse(path).getroot().iter("track"):
        assert track.attrib["label"] == "person"
        keys: dict[int, Any] = {}
        for skeleton in track.iter("skeleton"):
            assert skeleton.attrib["keyframe"] == "1"
            points: Places = {}
            for element in skeleton.iter("points"):
                assert element.attrib["occluded"] in "01"
                assert element.attrib["keyframe"] == "1"
                x, y = map(float, element.attrib["points"].split(","))
                if element.attrib["outside"] == "0" and skeleton.get("outside", "0") == "0":
                    points[element.attrib["label"]] = (x, y)
            assert len(skeleton.findall("points")) == 17
            keys[int(skeleton.attrib["frame"])] = points
        assert list(keys) == sorted(keys)
        frames, now = shown.setdefault(int(track.attrib["id"]), {}), Places()
        for frame in range(num_frames):
            now = keys.get(frame, now)
            if now:
                frames[frame] = now
    return shown


def test_cvat_shows_what_results_say(tmp_path: Path) -> None:
    """Half a pixel farther, as CVAT counts from corners; nobody stays who has gone."""
    alone = FrameResult(3, 0.12, example().frames[0].tracked[[1]])
    results = replace(example(), frames=(*example().frames, alone, FrameResult(4, 0.16, people_with_ids([]))))
    shown = imported(write_results(tmp_path / "out.xml", results), num_frames=6)
    assert {number: list(frames) for number, frames in shown.items()} == {0: [0, 2], 1: [0, 2, 3]}
    for frame in results.frames:
        for row, track_id in enumerate(frame.tracked.track_ids.tolist()):
            points = shown[[3, 8].index(track_id)][frame.index]
            keypoints = frame.tracked.poses.keypoints[row]
            kept = [name for name, place in zip(COCO_17.keypoint_names, keypoints, strict=True) if place[0] == place[0]]
            assert list(points) == kept
            found = np.array(list(points.values()))
            np.testing.assert_allclose(found, keypoints[np.isfinite(keypoints[:, 0])] + 0.5, atol=0.0051)


def test_the_labels_are_whole(tmp_path: Path) -> None:
    """As CVAT's Raw tab takes them, and as its own exports list them."""
    path = write_results(tmp_path / "out.xml", example())
    comment = re.search(r"<!-- (.*?) -->", path.read_text(encoding="utf-8"))
    assert comment
    (label,) = json.loads(comment[1])
    assert (label["name"], label["type"]) == ("person", "skeleton")
    assert [one["name"] for one in label["sublabels"]] == list(COCO_17.keypoint_names)
    assert [one["name"] for one in label["attributes"]] == ["track_id"]
    drawing = ElementTree.fromstring(f"<svg>{label['svg']}</svg>")
    nodes = [(int(one.attrib["data-node-id"]), one.attrib["data-label-name"]) for one in drawing.iter("circle")]
    assert nodes == list(enumerate(COCO_17.keypoint_names, 1))
    edges = {
        (int(one.attrib["data-node-from"]) - 1, int(one.attrib["data-node-to"]) - 1) for one in drawing.iter("line")
    }
    assert edges == set(COCO_17.edges)
    meta = ElementTree.parse(path).getroot().find("meta")
    assert meta is not None
    assert [one.findtext("name") for one in meta.iter("label")] == ["person", *COCO_17.keypoint_names]
    assert (meta.findtext(".//size"), meta.findtext(".//width")) == ("3", "64")


def test_corrections_come_back(tmp_path: Path) -> None:
    """A keypoint that was moved, a person whom CVAT gave no id, boxes beside."""
    path = write_results(tmp_path / "out.xml", example())
    tree = ElementTree.parse(path)
    first, second = tree.getroot().iter("track")
    nose = first.find("skeleton/points")
    assert nose is not None
    nose.set("points", "10.5,20.5")
    for skeleton in second.iter("skeleton"):
        for attribute in skeleton.findall("attribute"):
            skeleton.remove(attribute)
    box = ElementTree.SubElement(tree.getroot(), "track", {"id": "2", "label": "ball"})
    ElementTree.SubElement(box, "box", {"frame": "0", "xtl": "1"})
    tree.write(path)
    found = read_results(path)
    assert found.header.skeleton is COCO_17
    assert found.header.size_wh == HEADER.size_wh
    assert [frame.tracked.track_ids.tolist() for frame in found.frames] == [[3, 4], [3, 4]]
    poses = found.frames[0].tracked.poses
    assert (poses.keypoints[0, 0].tolist(), float(poses.scores[0, 0])) == ([10, 20], 1)
    assert np.isnan(poses.keypoints[1, COCO_17.index("left_ear")]).all()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("</annotations>", "", "no XML that can be read"),
        ("annotations", "other", "has no annotations"),
        ("skeleton frame", "mask frame", "no XML that can be read"),
        ('frame="2"', 'frame="-2"', "track 0: skeleton 2: frame must be a whole number of 0 or more, not -2"),
        ('"0.62,1.62"', '"0.62"', "track 0: skeleton 0: nose: y must be a number within ±1e+09, not None"),
        ('">3<', '">8<', "track_id 8 is twice in frame 0"),
        ('">3<', '">Anna<', "track 0: track_id must be a whole number of 0 or more, not 'Anna'"),
        ("<width>64", "<width>0", "original_size: width must be a whole number of 1 or more"),
    ],
)
def test_what_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = write_results(tmp_path / "out.xml", example())
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(message)) as refused:
        read_results(path)
    assert "\n" not in str(refused.value)


def test_coco_for_videos_names_the_video_and_its_instances(tmp_path: Path) -> None:
    write_results(tmp_path / "out.json", example(), "coco-video")
    content = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    (video,) = content["videos"]
    assert video == {"id": 1, "name": "clip.mp4"}
    assert [(image["video_id"], image["frame_id"]) for image in content["images"]] == [(1, 0), (1, 1), (1, 2)]
    people = content["annotations"]
    assert [(person["video_id"], person["instance_id"]) for person in people] == [(1, 3), (1, 8), (1, 3), (1, 8)]
    for person in people:  # of programs that know the instance alone
        del person["track_id"]
    (tmp_path / "out.json").write_text(json.dumps(content), encoding="utf-8")
    assert read_results(tmp_path / "out.json").frames[0].tracked.track_ids.tolist() == [3, 8]
