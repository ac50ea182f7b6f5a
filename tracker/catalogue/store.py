"""The folder of fetched networks: each file, the settings beside it, and a record of what was fetched."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from tracker.catalogue.entries import Entry, read_catalogue
from tracker.errors import ModelError
from tracker.outputs import write_json, writing
from tracker.weights import sha256_of

# The variable that names another folder.
FOLDER = "POSE_TRACKER_WEIGHTS"
COMMAND = "python -m tracker weights"


def folder() -> Path:
    """Where fetched networks are kept: what FOLDER names, or a place in the user's cache."""
    named = os.environ.get(FOLDER)
    return Path(named).expanduser() if named else user_cache_path("pose-tracker", appauthor=False) / "weights"


def path_of(entry: Entry) -> Path:
    """Where the network of an entry is, or will be."""
    return folder() / f"{entry.name}{entry.suffix}"


def part_path(entry: Entry) -> Path:
    """Where the file of an entry is while it comes."""
    return folder() / f"{entry.name}.part"


def find_network(name: Path | str) -> Path:
    """The file of a network: a name of the catalogue stands for what was fetched, anything else is a path.

    A fetched file is taken only while it is the one that was recorded. Raises ModelError for a name that was not
    fetched, for a file that has changed since, and for a word that is neither a name nor a file.
    """
    entry = read_catalogue().get(str(name))
    if entry is None:
        if str(name) == Path(name).stem and not Path(name).exists():  # a word, without folder and ending
            raise unknown_name(str(name))
        return Path(name)
    if fault := fault_of(entry):
        raise ModelError(f"{fault}; run: {COMMAND} fetch {entry.name}")
    write_settings(entry, path_of(entry))
    return path_of(entry)


def unknown_name(name: str) -> ModelError:
    """The line on a word that is no name of the catalogue."""
    names = read_catalogue()
    near = [one for one in names if one.startswith(name)][:4] or get_close_matches(name, names, 1, 0.5)
    nearest = f"; nearest: {', '.join(near)}" if near else ""
    return ModelError(f"there is no network file or name {name}{nearest}; {COMMAND} list shows all names")


def fault_of(entry: Entry) -> str | None:
    """Why the network of an entry cannot be used as it lies there: it is absent, unrecorded or changed."""
    path, record = path_of(entry), read_record(entry)
    if not path.is_file():
        return f"{path} is gone" if record else f"{entry.name} has not been fetched"
    if record is None:
        return f"{path} lies there without a record of how it came"
    try:
        sha256 = sha256_of(path)
    except OSError as error:
        return f"{path} cannot be read ({error.strerror})"
    if sha256 != record["network"]["sha256"]:
        return f"{path} has changed since it was fetched"
    return None if sha256.startswith(entry.sha256) else f"{path} is not {entry.name} as published"


def was_fetched(entry: Entry) -> bool:
    """Whether a network lies there, or its record alone."""
    return path_of(entry).exists() or record_path(entry).exists()


def record_path(entry: Entry) -> Path:
    """Where it is recorded what was fetched for an entry."""
    return path_of(entry).with_suffix(".json")


def read_record(entry: Entry) -> Mapping[str, Any] | None:
    """What was fetched for an entry the first time, None where that is not known; ModelError for a damaged record.

    address, date; served and network: bytes and sha256 of the file that came, and of the network in it.
    """
    path = record_path(entry)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if all(isinstance(record[part]["sha256"], str) for part in ("served", "network")):
            return dict(record)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError):
        pass
    raise ModelError(f"{path} is damaged, the record of what was fetched as {entry.name}; delete it to fetch anew")


def write_record(entry: Entry, record: Mapping[str, Any]) -> None:
    """Keep what was fetched for an entry."""
    write_json(record_path(entry), record)


def write_settings(entry: Entry, path: Path) -> None:
    """Write what a network's loader is told into the .toml beside it, where that says something else."""
    # Words, numbers and lists are written in JSON as in TOML. The families of detectors know their settings.
    stated = {} if entry.kind == "detector" else {**entry.settings, "licence": entry.licence}
    content = "".join(f"{key} = {json.dumps(value)}\n" for key, value in stated.items()).encode()
    file = path.with_suffix(".toml")
    if content and not (file.is_file() and file.read_bytes() == content):
        with writing(file) as partial:
            partial.write_bytes(content)
