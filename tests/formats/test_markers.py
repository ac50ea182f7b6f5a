"""Marker files as the programs that they are for read them, compared with the results they were made of."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from tests.formats.examples import HEADER, example, people_with_ids, write_results
from tracker.errors import OutputError
from tracker.formats import FORMATS, FrameResult, Header, check_results_output, open_writer
from tracker.formats.record import Results
from tracker.formats.trajectories import trajectories_of
from tracker.skeletons import COCO_17
from tracker.types import DoubleArray

# From the letter of the format: `OpenSim::TRCFileAdapter`.
_KEYS = ["DataRate", "CameraRate", "NumFrames", "NumMarkers", "Units"]
_KEYS += ["OrigDataRate", "OrigDataStartFrame", "OrigNumFrames"]


@dataclass
class Markers:
    """What a file holds: labels, (T,) times in seconds, (T, K, 3) coordinates."""

    labels: list[str]
    times_s: DoubleArray
    points: DoubleArray
    units: str
    rate: float


def read_trc(path: Path) -> Markers:
    """Read TRC as OpenSim does, with its checks; a marker of which a cell is empty is missing."""
    lines = path.read_text(encoding="utf-8").split("\n")
    assert lines.pop() == ""
    assert lines[0].split("\t") == ["PathFileType", "4", "(X/Y/Z)", path.name]
    assert lines[1].split("\t") == _KEYS
    facts = dict(zip(_KEYS, lines[2].split("\t"), strict=True))
    frame, time, *labels = filter(None, lines[3].split("\t"))
    assert (frame, time, len(labels)) == ("Frame#", "Time", int(facts["NumMarkers"]))
    axes = [f"{axis}{number}" for number in range(1, len(labels) + 1) for axis in "XYZ"]
    assert [*filter(None, lines[4].split("\t"))] == axes
    rows = [line.split("\t") for line in lines[5:]]
    assert {len(row) for row in rows} == {2 + len(axes) + 1}  # behind the last delimiter there is no cell
    assert [int(row[0]) for row in rows] == list(range(1, int(facts["NumFrames"]) + 1))
    assert facts["OrigNumFrames"] == facts["NumFrames"]
    values = np.array([[float(cell) if cell else np.nan for cell in row[2:-1]] for row in rows])
    times_s = np.array([float(row[1]) for row in rows])
    return Markers(labels, times_s, values.reshape(len(rows), -1, 3), facts["Units"], float(facts["DataRate"]))


def read_c3d(path: Path) -> Markers:
    """Read C3D by ezc3d."""
    ezc3d = pytest.importorskip("ezc3d", reason="ezc3d is not installed (the extra `c3d`)")
    file = ezc3d.c3d(str(path))
    point = file["parameters"]["POINT"]
    points = file["data"]["points"][:3].transpose(2, 1, 0)
    residuals = file["data"]["meta_points"]["residuals"][0].T
    np.testing.assert_array_equal(residuals == -1, np.isnan(points[..., 0]))
    rate = float(point["RATE"]["value"][0])
    times_s = (file["header"]["points"]["first_frame"] + np.arange(len(points))) / rate
    return Markers(point["LABELS"]["value"], times_s, points, point["UNITS"]["value"][0], rate)


READERS = {"trc": read_trc, "c3d": read_c3d}


def write(folder: Path, name: str, results: Results) -> list[Path]:
    if library := FORMATS[name].library:
        pytest.importorskip(library)
    write_results(folder / f"out.{name}", results)
    return sorted(folder.iterdir())


def moving(times_s: list[float], header: Header = HEADER) -> Results:
    """Person 4, whose keypoints move 100 px a second to the right."""
    frames = []
    for index, time_s in enumerate(times_s):
        tracked = people_with_ids([4])
        keypoints = tracked.poses.keypoints + np.float32([100 * time_s, 0])
        frames.append(FrameResult(index, time_s, replace(tracked, poses=replace(tracked.poses, keypoints=keypoints))))
    return Results(header, tuple(frames))


@pytest.mark.parametrize("name", READERS)
def test_a_file_holds_what_results_say_of_a_person(tmp_path: Path, name: str) -> None:
    """In pixels, Y up; missing keypoints and frames without the person are missing, not 0."""
    results = replace(example(), header=replace(HEADER, fps=25.0))
    files = write(tmp_path, name, results)
    assert [path.name for path in files] == [f"out_person03.{name}", f"out_person08.{name}"]
    for row, path in enumerate(files):
        found = READERS[name](path)
        assert (found.labels, found.units, found.rate) == (list(COCO_17.keypoint_names), "px", 25)
        np.testing.assert_allclose(found.times_s, [0, 0.04, 0.08])
        for frame, points in zip(results.frames, found.points, strict=True):
            if len(frame.tracked):
                keypoints = frame.tracked.poses.keypoints[row]
                np.testing.assert_allclose(points[:, 0], keypoints[:, 0], atol=1e-4)
                np.testing.assert_allclose(points[:, 1], 47 - keypoints[:, 1], atol=1e-4)
                assert set(points[~np.isnan(points[:, 0]), 2]) == {0}
            else:
                assert np.isnan(points).all()
    assert np.isnan(found.points[0, COCO_17.index("left_ear")]).all()


@pytest.mark.parametrize("name", READERS)
def test_with_a_height_it_is_in_metres(tmp_path: Path, name: str) -> None:
    """Thigh 49 px, shank 49.2 px and trunk 57.6 px are those of somebody 200 px tall."""
    keypoints = np.full((1, 17, 2), np.nan, np.float32)
    places = {"nose": (20, 3), "left_shoulder": (20, 10), "left_hip": (20, 67.6), "left_knee": (20, 116.6)}
    places |= {"left_ankle": (69.2, 116.6)}
    for keypoint, place in places.items():
        keypoints[0, COCO_17.index(keypoint)] = place
    poses = replace(people_with_ids([1]).poses, keypoints=keypoints)
    tracked = replace(people_with_ids([1]), poses=poses)
    header = replace(HEADER, size_wh=(300, 241), settings={"person_height_m": 1.8})
    (path,) = write(tmp_path, name, Results(header, (FrameResult(0, 0.0, tracked),)))
    found, unit = READERS[name](path), 1e3 if name == "c3d" else 1
    assert found.units == {"trc": "m", "c3d": "mm"}[name]
    hip, shoulder = found.points[0, COCO_17.index("left_hip")], found.points[0, COCO_17.index("left_shoulder")]
    assert (shoulder - hip).tolist() == pytest.approx([0, unit * 1.8 * 0.288, 0], rel=1e-4)
    assert hip.tolist() == pytest.approx([unit * 0.009 * 20, unit * 0.009 * (240 - 67.6), 0], rel=1e-4)


@pytest.mark.parametrize("name", READERS)
def test_a_variable_rate_is_made_constant(tmp_path: Path, name: str) -> None:
    """Values lie on the line that the person moves along; between frames too far apart there are none."""
    times_s = [0.0, 0.04, 0.08, 0.13, 0.16, 0.2, 0.24, 1.0, 1.04]
    (path,) = write(tmp_path, name, moving(times_s, replace(HEADER, fps=None)))
    found = READERS[name](path)
    assert found.rate == pytest.approx(25, rel=1e-5)
    np.testing.assert_allclose(found.times_s, np.arange(27) / 25, atol=1e-6)
    is_there = np.isin(np.arange(27), [0, 1, 2, 3, 4, 5, 6, 25, 26])
    np.testing.assert_array_equal(np.isnan(found.points[:, 0, 0]), ~is_there)
    expected = 1 + 100 * found.times_s[is_there]
    np.testing.assert_allclose(found.points[is_there, 0, 0], expected, atol=1e-3)


def test_people_are_on_one_clock_whenever_they_come(tmp_path: Path) -> None:
    frames = tuple(FrameResult(index, index / 30, people_with_ids([1, 2] if index > 3 else [1])) for index in range(9))
    first, second = map(read_trc, write(tmp_path, "trc", Results(replace(HEADER, fps=30.0), frames)))
    assert second.times_s.tolist() == first.times_s[4:].tolist()


def test_another_reader_of_c3d_agrees(tmp_path: Path) -> None:
    c3d = pytest.importorskip("c3d", reason="the package c3d is not installed")
    _, path = write(tmp_path, "c3d", example())
    expected = read_c3d(path)
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of analog data, which there is none of
        reader = c3d.Reader(file)
        points = np.array([points for _, points, _ in reader.read_frames()])
    is_missing = points[..., 3] == -1
    np.testing.assert_array_equal(is_missing, np.isnan(expected.points[..., 0]))
    np.testing.assert_allclose(points[~is_missing][:, :3], expected.points[~is_missing], atol=1e-4)
    assert is_missing[1].all()


def test_opensim_itself_agrees(tmp_path: Path) -> None:
    """Also where the last marker is missing, behind which a row ends."""
    opensim = pytest.importorskip("opensim", reason="opensim is not installed, which has 72 MB")
    results = example()
    results.frames[2].tracked.poses.keypoints[:, -1] = np.nan
    for path in write(tmp_path, "trc", results):
        expected = read_trc(path)
        table = opensim.TimeSeriesTableVec3(str(path))
        assert list(table.getColumnLabels()) == expected.labels
        np.testing.assert_allclose(table.getIndependentColumn(), expected.times_s)
        for row, points in enumerate(expected.points):
            found = [[vec[axis] for axis in range(3)] for vec in (table.getRowAtIndex(row)[k] for k in range(17))]
            np.testing.assert_allclose(found, points)
        assert np.isnan(expected.points[2, -1]).all()


def test_files_of_a_run_before_are_kept_unless_they_are_to_be_replaced(tmp_path: Path) -> None:
    write(tmp_path, "trc", example())
    (tmp_path / "out_person_of_mine.trc").write_text("precious")
    with pytest.raises(OutputError, match=r"out_person03\.trc exists; move it away or pass --overwrite"):
        check_results_output(tmp_path / "out.trc", None, overwrite=False)
    check_results_output(tmp_path / "out.trc", None, overwrite=True)
    found = write(tmp_path, "trc", moving([0.0, 0.04]))
    assert [path.name for path in found] == ["out_person04.trc", "out_person_of_mine.trc"]


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    nobody_knows_when = replace(moving([np.nan, np.nan]), header=replace(HEADER, fps=None))
    with pytest.raises(OutputError, match="neither times nor a frame rate are known; pass --fps R"):
        write(tmp_path, "trc", nobody_knows_when)
    assert list(tmp_path.iterdir()) == []
    writer = open_writer(tmp_path / "missing" / "out.trc", HEADER)
    with pytest.raises(OutputError, match="No such file or directory"), writer:
        writer.write(example().frames[0], example().frames[0].tracked)


@pytest.mark.parametrize("stated", ["1.8", -1, None, [], float("inf")])
def test_settings_of_others_that_are_no_height_count_as_none(tmp_path: Path, stated: object) -> None:
    header = replace(HEADER, settings={"person_height_m": stated, "markers_fps": stated})
    (path,) = write(tmp_path, "trc", moving([0.0, 0.04], header))
    assert read_trc(path).units == "px"


def test_who_is_tall(tmp_path: Path) -> None:
    (trajectory,) = trajectories_of(moving([0.0, 0.04]))
    assert trajectory.frames.tolist() == [0, 1]
    nobody = replace(trajectory, keypoints=np.full_like(trajectory.keypoints, np.nan))
    assert np.isnan(nobody.height_px(COCO_17))
