"""Results on disk. A further format is one file with a `ResultWriter` and a reader, and one line in `FORMATS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tracker.errors import InputError, UsageError, load_extra
from tracker.formats.coco import CocoVideoWriter, CocoWriter, PoseTrackWriter, read_coco
from tracker.formats.csv import CsvWriter, LongCsvWriter, read_csv
from tracker.formats.cvat import CvatWriter, read_cvat
from tracker.formats.jsonl import JsonlStream, JsonlWriter, check_stdout, read_jsonl
from tracker.formats.markers import C3dWriter, MarkerWriter, TrcWriter, check_people
from tracker.formats.mot import MotWriter, read_mot
from tracker.formats.npz import NpzWriter, read_npz
from tracker.formats.openpose import OpenPoseWriter, check_folder, read_openpose
from tracker.formats.parquet import ParquetWriter, read_parquet
from tracker.formats.posetrack import sequence_id
from tracker.formats.posetrack_conversion import PoseTrack17Writer
from tracker.formats.record import FrameResult, Header, Results
from tracker.formats.rerun import RerunWriter
from tracker.formats.writer import ResultWriter
from tracker.outputs import PIPE, check_output
from tracker.skeletons import Skeleton

__all__ = [
    "FORMATS",
    "READERS",
    "SUFFIXES",
    "Format",
    "FrameResult",
    "Header",
    "ResultWriter",
    "Results",
    "check_results_output",
    "format_of",
    "open_writer",
    "read_people",
    "read_results",
]


@dataclass(frozen=True)
class Format:
    """A way to write results.

    suffix: of its files, empty for folders. library: which not everybody installs.
    """

    suffix: str
    writer: type[ResultWriter]
    check: Callable[[Path, bool], None] = check_output
    library: str | None = None

    @property
    def is_per_person(self) -> bool:
        """Whether each person has a file of their own, and none has the name that was given."""
        return issubclass(self.writer, MarkerWriter)

    @property
    def keeps_height(self) -> bool:
        """Whether it is scaled by how tall people are, or keeps that for another that is."""
        return self.is_per_person or "the settings" not in self.writer.drops

    @property
    def is_read(self) -> bool:
        """Whether it can be read back."""
        return not self.suffix or self.suffix in READERS


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "jsonl": Format(".jsonl", JsonlWriter),
        "csv": Format(".csv", CsvWriter),
        "csv-long": Format(".csv", LongCsvWriter),
        "mot": Format(".txt", MotWriter),
        "posetrack": Format(".json", PoseTrackWriter),
        "posetrack17": Format(".json", PoseTrack17Writer),
        "posetrack18": Format(".json", PoseTrackWriter),
        "coco": Format(".json", CocoWriter),
        "coco-video": Format(".json", CocoVideoWriter),
        "openpose": Format("", OpenPoseWriter, check_folder),
        "npz": Format(".npz", NpzWriter),
        "parquet": Format(".parquet", ParquetWriter, library="pyarrow"),
        "cvat": Format(".xml", CvatWriter),
        "trc": Format(".trc", TrcWriter, check_people),
        "rerun": Format(".rrd", RerunWriter, library="rerun"),
        "c3d": Format(".c3d", C3dWriter, check_people, "ezc3d"),
    }
)
_STREAM = Format(".jsonl", JsonlStream, check_stdout)
# What reads all formats with a suffix.
READERS: Mapping[str, Callable[[Path], Results]] = MappingProxyType(
    {
        ".jsonl": read_jsonl,
        ".csv": read_csv,
        ".txt": read_mot,
        ".json": read_coco,
        ".npz": read_npz,
        ".xml": read_cvat,
        ".parquet": read_parquet,
    }
)
# The format that a suffix tells: the first that has it, but for PoseTrack's, whose files are told by their names.
SUFFIXES: Mapping[str, str] = MappingProxyType(
    {
        suffix: next(name for name, form in FORMATS.items() if form.suffix == suffix and "posetrack" not in name)
        for suffix in dict.fromkeys(form.suffix for form in FORMATS.values())
        if suffix
    }
)


def format_of(path: Path, name: str | None = None) -> Format:
    """The format of that name, else the one that the suffix of `path` tells; UsageError if there is none.

    A .json file named as a sequence of PoseTrack, such as 000342_mpii_test.json, has PoseTrack's, any other COCO's.
    `-` is stdout, which takes jsonl alone.
    """
    if path == PIPE:
        if name not in (None, "jsonl"):
            raise UsageError(f"stdout takes jsonl, line by line, and no {name}; name a file")
        return _STREAM
    suffix = path.suffix.lower()
    if name is None and suffix not in SUFFIXES:
        raise UsageError(
            f"cannot tell the format of {path} by its suffix; poses are written as {', '.join(SUFFIXES)}, "
            f"or as --format says: {', '.join(FORMATS)}"
        )
    if name is not None and name not in FORMATS:
        raise UsageError(f"there is no format {name!r}; known: {', '.join(FORMATS)}")
    if name is None and suffix == ".json" and sequence_id(path.stem) is not None:
        name = "posetrack"
    return FORMATS[name or SUFFIXES[suffix]]


def check_results_output(path: Path, name: str | None, overwrite: bool) -> None:
    """Refuse results that cannot or must not be written; call it before any model is loaded.

    name: of the format, None to go by the suffix. Raises what `format_of` and `check_output` do.
    """
    form = format_of(path, name)
    form.check(path, overwrite)
    if form.library:
        load_extra(form.library)


def open_writer(path: Path | str, header: Header, name: str | None = None) -> ResultWriter:
    """A writer, a context manager, for the format that `format_of` tells."""
    return format_of(Path(path), name).writer(Path(path), header)


def read_results(path: Path | str) -> Results:
    """The results in a file of any format, or in a folder of OpenPose's; InputError for what cannot be read.

    Everybody must have an id. `-` is stdin, in jsonl.
    """
    results = read_people(Path(path))
    if results.without_ids:
        raise InputError(
            f"{results.without_ids} lacks a track id; `track` gives ids to what --poses-in or --boxes names"
        )
    return results


def read_people(path: Path, skeleton: Skeleton | None = None) -> Results:
    """As `read_results`, with or without ids. skeleton: of keypoints that a file states by their number alone."""
    if path == PIPE:
        return read_jsonl(path)
    if path.is_dir():
        return read_openpose(path)
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise InputError(
            f"cannot tell the format of {path} by its suffix; poses are read from {', '.join(READERS)} and folders"
        )
    return read_coco(path, skeleton) if suffix == ".json" else READERS[suffix](path)
