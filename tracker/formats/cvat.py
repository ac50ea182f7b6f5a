"""CVAT for video 1.1: a skeleton track per person, to be corrected in CVAT and read back."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree

import numpy as np

from tracker.errors import InputError
from tracker.formats.fields import Fields, FrameTable, Person, box_around, cell_value, readable, skeleton_with
from tracker.formats.record import FILES, RUN_FACTS, TRACKING_FACTS, Header, Moment, Results
from tracker.formats.trajectories import Trajectories, Trajectory
from tracker.formats.writer import ResultWriter
from tracker.outputs import partial_path
from tracker.skeletons import Skeleton
from tracker.types import DoubleArray, TrackedPoses

_LABEL, _ID = "person", "track_id"
# CVAT counts from the corner of the first pixel, we from its centre.
_HALF = 0.5
# Two dashes end a comment; in JSON one may be written so.
_DASHES = "-\\u002d"
# What XML would read as spaces in an attribute.
_BREAKS = str.maketrans({"\t": "&#9;", "\n": "&#10;", "\r": "&#13;"})


class CvatWriter(ResultWriter):
    """Writes a track per person, with a skeleton in every frame of theirs; coordinates have 2 decimals.

    A missing keypoint is `outside`, and so is a whole skeleton from where a person goes to where they come again: CVAT
    would go on with the last one. The id is the attribute `track_id`, which CVAT keeps if its labels have it; a comment
    has the labels, for CVAT's Raw tab. People are kept in memory until the end, about a kilobyte for each
    of 17 keypoints in a frame.
    """

    drops: ClassVar[frozenset[str]] = frozenset(
        RUN_FACTS
        | TRACKING_FACTS
        | {"boxes", "box scores", "scores", "frames without people", "people without keypoints", FILES}
        | {"sizes of single pictures"}
    )

    def __init__(self, path: Path, header: Header) -> None:
        super().__init__(path, header)
        self._found = Trajectories(header.skeleton.num_keypoints, header.fps or 1.0)
        self._num_frames = 0

    def _open(self) -> None:
        partial_path(self.path).write_bytes(b"")

    def _append(self, moment: Moment, tracked: TrackedPoses) -> None:
        self._found.add(moment, tracked)
        self._num_frames = moment.index + 1

    def _finish(self) -> None:
        with partial_path(self.path).open("w", encoding="utf-8", newline="\n", errors="backslashreplace") as file:
            file.write('<?xml version="1.0" encoding="utf-8"?>\n')
            file.writelines(self._head())
            for number, trajectory in enumerate(self._found):
                file.writelines(self._track(number, trajectory))
            file.write("</annotations>\n")
        self.note = "the labels for CVAT's Raw tab are the comment at the top"

    def _head(self) -> Iterator[str]:
        names = self.header.skeleton.keypoint_names
        first = next(iter(self._found), None)
        svg = _drawing(self.header.skeleton, first)
        drawing = html.escape(svg, quote=False)
        sublabels = [{"name": name, "type": "points", "attributes": []} for name in names]
        attribute = {"name": _ID, "mutable": False, "input_type": "text", "default_value": "", "values": [""]}
        label = {"name": _LABEL, "type": "skeleton", "attributes": [attribute], "sublabels": sublabels, "svg": svg}
        yield f"<!-- {json.dumps([label]).replace('--', _DASHES)} -->\n<annotations>\n<version>1.1</version>\n"
        task = f"<name>{html.escape(self.path.stem)}</name><size>{self._num_frames}</size><mode>interpolation</mode>"
        yield f"<meta><task>{task}\n<labels>\n"
        id_type = "<mutable>False</mutable><input_type>text</input_type>"
        attributes = f"<attributes><attribute><name>{_ID}</name>{id_type}</attribute></attributes>"
        yield f"<label><name>{_LABEL}</name><type>skeleton</type>{attributes}<svg>{drawing}</svg></label>\n"
        for name in names:
            kind = f"<type>points</type><attributes/><parent>{_LABEL}</parent>"
            yield f"<label><name>{html.escape(name)}</name>{kind}</label>\n"
        yield "</labels>"
        if self.header.size_wh:
            width, height = self.header.size_wh
            yield f"<original_size><width>{width}</width><height>{height}</height></original_size>"
        yield "</task></meta>\n"

    def _track(self, number: int, trajectory: Trajectory) -> Iterator[str]:
        is_there = np.asarray(np.isfinite(trajectory.keypoints[..., 0]).any(axis=1), np.bool_)
        if not is_there.any():
            return
        yield f'<track id="{number}" label="{_LABEL}" source="auto">\n'
        last = trajectory.keypoints[is_there.argmax()]
        for row in range(is_there.argmax(), len(is_there)):
            if is_there[row] or is_there[row - 1]:
                last = np.where(np.isnan(trajectory.keypoints[row]), last, trajectory.keypoints[row])
                yield self._skeleton(int(trajectory.frames[row]), trajectory.track_id, trajectory.keypoints[row], last)
        end = int(trajectory.frames[-1]) + 1
        if is_there[-1] and end < self._num_frames:
            yield self._skeleton(end, trajectory.track_id, np.full_like(last, np.nan), last)
        yield "</track>\n"

    def _skeleton(self, frame: int, track_id: int, keypoints: DoubleArray, last: DoubleArray) -> str:
        """A person in a frame. keypoints: (K, 2), NaN where missing. last: (K, 2), where they were before."""
        is_missing = np.isnan(keypoints[:, 0])
        spare = np.nanmean(last, axis=0)
        places = np.where(is_missing[:, None], np.where(np.isnan(last), spare, last), keypoints) + _HALF
        outside = f' outside="{int(is_missing.all())}"'
        lines = [f'<skeleton frame="{frame}" keyframe="1"{outside} occluded="0" z_order="0">']
        lines += [f'<attribute name="{_ID}">{track_id}</attribute>']
        for name, (x, y), missing in zip(self.header.skeleton.keypoint_names, places, is_missing, strict=True):
            state = f'keyframe="1" outside="{int(missing)}" occluded="0"'
            lines.append(f'<points label={_quoted(name)} {state} points="{x:.2f},{y:.2f}"/>')
        return "\n".join([*lines, "</skeleton>\n"])


def _quoted(text: str) -> str:
    """A text as the value of an attribute; xml.sax, which has this too, would load all that the web needs."""
    return f'"{html.escape(text).translate(_BREAKS)}"'


def _drawing(skeleton: Skeleton, trajectory: Trajectory | None) -> str:
    """What CVAT shows of a skeleton, within 100 × 100: the person in the first frame, or a circle of keypoints."""
    turns = np.linspace(0, 2 * np.pi, skeleton.num_keypoints, endpoint=False)
    places = np.stack([np.sin(turns), -np.cos(turns)], axis=1)
    if trajectory is not None and np.isfinite(trajectory.keypoints[0]).all():
        places = trajectory.keypoints[0]
    low, size = places.min(axis=0), max(np.ptp(places, axis=0).max(), 1e-6)
    places = (places - low) * 90 / size + 5
    lines = [
        f'<line x1="{places[a, 0]:.1f}" y1="{places[a, 1]:.1f}" x2="{places[b, 0]:.1f}" y2="{places[b, 1]:.1f}" '
        f'data-type="edge" data-node-from="{a + 1}" data-node-to="{b + 1}"></line>'
        for a, b in skeleton.edges
    ]
    circles = [
        f'<circle r="1.5" cx="{x:.1f}" cy="{y:.1f}" data-type="element node" data-element-id="{place}" '
        f'data-node-id="{place}" data-label-name={_quoted(name)}></circle>'
        for place, (name, (x, y)) in enumerate(zip(skeleton.keypoint_names, places, strict=True), 1)
    ]
    return "".join([*lines, *circles])


def read_cvat(path: Path) -> Results:
    """The results in a file of CVAT for video 1.1, of whose tracks those of skeletons are people.

    A person's id is the attribute `track_id`, of tracks that were made in CVAT their own number above all others.
    Keypoints that are there have the score 1.
    """
    with readable(path):
        try:
            root = ElementTree.fromstring(path.read_bytes())
        except (ElementTree.ParseError, LookupError, ValueError) as error:
            raise InputError(f"{path} is no XML that can be read ({error}); name another file") from error
    if root.tag != "annotations":
        raise InputError(f"{path} has no annotations, so it is not CVAT's; name another file")
    tracks = [track for track in root.iter("track") if track.find("skeleton") is not None]
    labels = root.iterfind("meta//label")
    names = [label.findtext("name") or "" for label in labels if label.find("parent") is not None]
    names += [points.get("label", "") for track in tracks for points in track.iter("points")]
    if not tracks:
        raise InputError(f"{path} has no track of a skeleton, so there is nothing to read; name another file")
    skeleton = skeleton_with(names, str(path))
    frames = FrameTable(skeleton.num_keypoints)
    for track, track_id in zip(tracks, _ids_of(tracks, path), strict=True):
        for number, shape in enumerate(track.iter("skeleton")):
            record = Fields(_values(shape), f"{path}: track {track.get('id')}: skeleton {number}")
            keypoints = _keypoints(shape, skeleton, record.where)
            if not np.isnan(keypoints[:, 0]).all():
                index = record.whole("frame")
                frames.add_frame(index)
                frames.add_person(index, Person(track_id, keypoints, box_around(keypoints)), record.where)
    return frames.results(Header(skeleton, "", _size(root, path), None))


def _ids_of(tracks: list[ElementTree.Element], path: Path) -> list[int]:
    """The ids of tracks: of those without one further numbers, in order."""
    stated = []
    for number, track in enumerate(tracks):
        text = next((one.text for one in track.iter("attribute") if one.get("name") == _ID and one.text), None)
        record = Fields({_ID: cell_value(text)} if text else {}, f"{path}: track {number}")
        stated.append(record.track_id())
    further = iter(range(max(stated) + 1, max(stated) + 1 + len(stated)))
    return [next(further) if track_id < 0 else track_id for track_id in stated]


def _keypoints(shape: ElementTree.Element, skeleton: Skeleton, where: str) -> DoubleArray:
    """(K, 3) x, y and score of a skeleton, NaN and 0 where missing."""
    found = np.tile((np.nan, np.nan, 0.0), (skeleton.num_keypoints, 1))
    if shape.get("outside") == "1":
        return found
    for points in shape.iter("points"):
        if points.get("outside") != "1":
            x, comma, y = points.get("points", "").partition(",")
            record = Fields(
                {"x": cell_value(x), "y": cell_value(y if comma else "")}, f"{where}: {points.get('label')}"
            )
            place = [record.number("x") - _HALF, record.number("y") - _HALF, 1.0]
            found[skeleton.index(points.get("label", ""))] = place
    return found


def _values(element: ElementTree.Element) -> dict[str, object]:
    return {name: cell_value(value) for name, value in element.attrib.items()}


def _size(root: ElementTree.Element, path: Path) -> tuple[int, int] | None:
    """Width and height of the video, if the file says so."""
    size = root.find("meta//original_size")
    if size is None:
        return None
    record = Fields({part.tag: cell_value(part.text or "") for part in size}, f"{path}: original_size")
    return record.whole("width", least=1), record.whole("height", least=1)
