"""Marker files of biomechanics, TRC and C3D: a file per person, at one rate, in metres where a height is known."""

from __future__ import annotations

import errno
import re
from abc import abstractmethod
from collections.abc import Iterator
from glob import escape
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tracker.errors import OutputError, load_extra
from tracker.formats.record import FILES, RUN_FACTS, TRACKING_FACTS, Header, Moment
from tracker.formats.trajectories import Trajectories, Trajectory
from tracker.formats.writer import ResultWriter
from tracker.outputs import check_output, partial_path, publish
from tracker.types import DoubleArray, TrackedPoses

# Where the settings of a header have the height that everybody is taken to have, in metres, and a rate of the user's.
HEIGHT, RATE = "person_height_m", "markers_fps"


class MarkerWriter(ResultWriter):
    """Writes each person's keypoints as markers into a file of their own, OUT_person03 for id 3.

    All are sampled at the rate of the video, from its first frame on, by `Trajectory.resampled`. X points right and Y
    up, from the picture's lower left corner (from the upper one where its size is unknown), Z is 0. In metres if the
    settings of the header state `person_height_m`, which everybody is taken to be tall, each scaled apart; in pixels
    otherwise; `markers_fps` there is another rate. People are kept in memory until the end, about a kilobyte for each
    of 17 keypoints in a frame.
    """

    drops: ClassVar[frozenset[str]] = frozenset(
        (RUN_FACTS | TRACKING_FACTS | {"boxes", "scores", "the picture's size", "frames without people", FILES})
        - {"the frame rate", "times"}
    )

    def __init__(self, path: Path, header: Header) -> None:
        super().__init__(path, header)
        self._found = Trajectories(header.skeleton.num_keypoints, header.fps)
        self._height_m, self._rate = (_positive(header.settings.get(name)) for name in (HEIGHT, RATE))
        self._files: list[Path] = []

    def __str__(self) -> str:
        return str(person_path(self.path, "*"))

    def _open(self) -> None:
        if not self.path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    def _append(self, moment: Moment, tracked: TrackedPoses) -> None:
        self._found.add(moment, tracked)

    def _finish(self) -> None:
        _, times_s = self._found.clock()
        rate, notes, was_resampled = self._rate or self._found.rate, list[str](), False
        for trajectory in self._found:
            sampled, is_between = trajectory.resampled(times_s[0], rate)
            was_resampled |= is_between
            height_px = trajectory.height_px(self.header.skeleton) if self._height_m else np.nan
            if self._height_m and not height_px > 0:
                notes.append(f"person {trajectory.track_id} is left out: no thigh, shank or trunk to scale by")
                continue
            scale = self._height_m / height_px if self._height_m else 1.0
            path = person_path(self.path, f"{trajectory.track_id:02}")
            self._write(path, sampled, self._points(sampled, scale), rate)
            self._files.append(path)
            if self._height_m:
                notes.append(f"person {trajectory.track_id} is {height_px:.0f} px tall")
        if not self._height_m:
            notes.append("units are pixels, which OpenSim does not take: --person-height M makes them metres")
        if was_resampled:
            notes.append(f"resampled to {rate:g} frames per second")
        self.note = "; ".join(notes)

    def _points(self, trajectory: Trajectory, scale: float) -> DoubleArray:
        """(T, K, 3): the keypoints in the units of the file."""
        bottom = self.header.size_wh[1] - 1 if self.header.size_wh else 0
        x, y = trajectory.keypoints[..., 0], bottom - trajectory.keypoints[..., 1]
        return scale * np.stack([x, y, np.where(np.isnan(x), np.nan, 0.0)], axis=2)

    @abstractmethod
    def _write(self, path: Path, trajectory: Trajectory, points: DoubleArray, rate: float) -> None:
        """Write a person's markers (T, K, 3), in metres or pixels, under the partial name of `path`."""

    def _publish(self) -> None:
        for path in person_files(self.path):  # of a run before
            if path not in self._files and path not in map(partial_path, self._files):
                path.unlink()
        for path in self._files:
            publish(path)


class TrcWriter(MarkerWriter):
    """Writes TRC, as OpenSim does: a missing marker is three empty cells, and each row ends with a tab.

    Frames count from 1; times are those of the video.
    """

    def _write(self, path: Path, trajectory: Trajectory, points: DoubleArray, rate: float) -> None:
        names, units = self.header.skeleton.keypoint_names, "m" if self._height_m else "px"
        shown = f"{rate:.6f}".rstrip("0").rstrip(".")
        facts = {
            **{"DataRate": shown, "CameraRate": shown, "NumFrames": len(points), "NumMarkers": len(names)},
            **{"Units": units, "OrigDataRate": shown, "OrigDataStartFrame": 1, "OrigNumFrames": len(points)},
        }
        head = [
            ["PathFileType", "4", "(X/Y/Z)", path.name],
            facts,
            map(str, facts.values()),
            ["Frame#", "Time", *(cell for name in names for cell in (name, "", "")), ""],
            ["", "", *(f"{axis}{number}" for number in range(1, len(names) + 1) for axis in "XYZ"), ""],
        ]
        with partial_path(path).open("w", encoding="utf-8", newline="\n") as file:
            file.writelines("\t".join(cells) + "\n" for cells in head)
            for number, (time_s, row) in enumerate(zip(trajectory.times_s, points, strict=True), 1):
                cells = "\t".join("" if np.isnan(value) else f"{value:.6f}" for value in row.ravel())
                file.write(f"{number}\t{time_s:.6f}\t{cells}\t\n")


class C3dWriter(MarkerWriter):
    """Writes C3D, in millimetres where the height is known; a missing marker has the residual -1."""

    def _open(self) -> None:
        load_extra("ezc3d")
        super()._open()

    def _write(self, path: Path, trajectory: Trajectory, points: DoubleArray, rate: float) -> None:
        import ezc3d

        file = ezc3d.c3d()
        parameters = file["parameters"]["POINT"]
        parameters["RATE"]["value"] = [rate]
        parameters["UNITS"]["value"] = ["mm" if self._height_m else "px"]
        parameters["LABELS"]["value"] = list(self.header.skeleton.keypoint_names)
        values = (1000 if self._height_m else 1) * points.transpose(2, 1, 0)
        file["header"]["points"]["first_frame"] = int(trajectory.frames[0])
        file["data"]["points"] = np.concatenate([values, np.ones_like(values[:1])])
        file["data"]["meta_points"]["residuals"] = np.where(np.isnan(values[:1]), -1.0, 0.0)
        file.write(str(partial_path(path)))


def _positive(value: Any) -> float | None:
    """A number above 0 among settings, which may be anybody's."""
    return float(value) if isinstance(value, int | float) and 0 < value < 1e4 else None


def person_path(path: Path, person: str) -> Path:
    """The file of one of the people.

    >>> person_path(Path("out.trc"), "03").name
    'out_person03.trc'
    """
    return path.with_name(f"{path.stem}_person{person}{path.suffix}")


def person_files(path: Path) -> Iterator[Path]:
    """The files of people that are there, also partial ones."""
    for found in sorted(path.parent.glob(f"{escape(path.stem)}_person*{escape(path.suffix)}")):
        if re.fullmatch(r"_person\d+(\.partial)?", found.stem.removeprefix(path.stem)):
            yield found


def check_people(path: Path, overwrite: bool) -> None:
    """As `check_output`, of the files of whatever people."""
    check_output(path, overwrite)
    for existing in () if overwrite else person_files(path):
        raise OutputError(f"{existing} exists; move it away or pass --overwrite")
