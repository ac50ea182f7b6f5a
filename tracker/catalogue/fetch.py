"""Networks of the catalogue, fetched: the one member of a zip taken out, checked, recorded, and moved into place."""

from __future__ import annotations

import shutil
import sys
import zipfile
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filelock import FileLock, Timeout

from tracker.catalogue import store
from tracker.catalogue.download import MOST_BYTES, discard, download, part_of
from tracker.catalogue.entries import Entry
from tracker.errors import InputError, ModelError
from tracker.outputs import explained, make_folder
from tracker.weights import sha256_of


def fetch(entry: Entry, mirror: str | None = None) -> str:
    """Fetch a network unless it is there as it was recorded; what came of it, on one line.

    mirror: an address, or a folder, that takes the place of the entry's. What was interrupted is gone on with. Raises
    ModelError for what cannot be fetched or is not what it should be, InputError where the folder lacks the file, and
    OutputError for a file that cannot be written.
    """
    make_folder(store.folder())
    try:
        with FileLock(store.folder() / ".lock", timeout=0):
            if store.fault_of(entry) is None:
                store.write_settings(entry, store.path_of(entry))
                return f"{entry.name}: there already, as it was recorded: {store.path_of(entry)}"
            return _fetch(entry, mirror)
    except Timeout as error:
        raise ModelError(f"another process is fetching into {store.folder()}; wait until it is done") from error


def _fetch(entry: Entry, mirror: str | None) -> str:
    for left in store.folder().glob(f".{entry.name}-*"):
        shutil.rmtree(left, ignore_errors=True)
    part = store.part_path(entry)
    address, served, stated = _serve(entry, mirror, part)
    with TemporaryDirectory(dir=store.folder(), prefix=f".{entry.name}-") as temporary:
        network = Path(temporary) / store.path_of(entry).name
        try:
            how = _take(entry, address, served, network, stated)
        except ModelError:
            discard(part)  # so that it is not gone on with
            raise
        with explained(store.path_of(entry)):
            network.replace(store.path_of(entry))
    discard(part)
    return f"{entry.name}: {store.path_of(entry).stat().st_size / 1e6:.1f} MB, {how}: {store.path_of(entry)}"


def _serve(entry: Entry, mirror: str | None, part: Path) -> tuple[str, Path, str]:
    """From where the file came, where it is now, and the sha256 that is stated of it, "" for none."""
    if mirror and not mirror.startswith(("http://", "https://")):
        # As it is published, as a browser saves it, and as rtmlib keeps it.
        names = entry.file, Path(entry.file).name, Path(entry.file).with_suffix(entry.suffix).name
        places = [Path(mirror).expanduser() / name for name in names]
        there = next((place for place in places if place.is_file()), None)
        if there is None:
            raise InputError(f"there is no file {places[1]}; --mirror is a folder that has it, or an http(s) address")
        return str(there), there, ""
    addresses = [f"{mirror.rstrip('/')}/{entry.file}"] if mirror else entry.addresses
    *others, last = sorted(addresses, key=lambda address: address != part_of(part))
    for address in others:
        try:
            return address, part, download(address, part, entry.name)
        except ModelError as error:
            print(f"note: {error}", file=sys.stderr)
    return last, part, download(last, part, entry.name)


def _take(entry: Entry, address: str, served: Path, network: Path, stated: str) -> str:
    """Take the network out of what came, check and record it; by what it is known to be the right one."""
    _check_content(address, served)
    _unpack(entry, address, served, network)
    found = {"served": _describe(served), "network": _describe(network)}
    if stated not in ("", found["served"]["sha256"]):
        raise ModelError(f"{address}: what came has another sha256 than the server states; fetch it again")
    how = _recognise(entry, address, found["network"]["sha256"])
    try:
        _check_loads(entry, network)
    except ModelError as error:
        why = str(error).replace(str(network), network.name)
        raise ModelError(f"{address}: what came does not run as {entry.name}: {why}") from error
    if store.read_record(entry) is None:
        store.write_record(entry, {"address": address, "date": datetime.now(UTC).date().isoformat(), **found})
    store.write_settings(entry, store.path_of(entry))
    return how


def _check_content(address: str, served: Path) -> None:
    with served.open("rb") as file:
        start = file.read(256).lstrip()
    if not start or start.startswith(b"<"):
        what = "a web page came in place of the file: is there a log-in page before it" if start else "nothing came"
        raise ModelError(f"{address}: {what}; look at the address in a browser, or name another source with --mirror")


def _unpack(entry: Entry, address: str, served: Path, network: Path) -> None:
    """Copy the network, and nothing else, out of what came."""
    if entry.member is None or served.suffix == entry.suffix:
        with explained(network):
            shutil.copyfile(served, network)
        return
    try:
        with zipfile.ZipFile(served) as archive:
            inside = [info for info in archive.infolist() if f"/{info.filename}".endswith(f"/{entry.member}")]
            if len(inside) != 1 or inside[0].file_size > MOST_BYTES:
                raise ModelError(f"{address}: the archive holds {len(inside)} files {entry.member}, not one that fits")
            with archive.open(inside[0]) as member, explained(network), network.open("wb") as target:
                shutil.copyfileobj(member, target)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ModelError(f"{address}: what came is no whole archive ({error}); fetch it again") from error


def _describe(path: Path) -> Mapping[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path)}


def _recognise(entry: Entry, address: str, sha256: str) -> str:
    """By what a network is known to be the right one; ModelError where it is another."""
    if not sha256.startswith(entry.sha256):
        raise ModelError(
            f"{address}: what came is not {entry.name} as published: its sha256 begins {sha256[:8]}, "
            f"not {entry.sha256[:8]}; name another source with --mirror"
        )
    record = store.read_record(entry)
    if record and record["network"]["sha256"] != sha256:
        raise ModelError(
            f"{address}: what came is another network than was fetched first ({record.get('date')}, "
            f"{record.get('address')}): its sha256 begins {sha256[:8]}, not {record['network']['sha256'][:8]}; "
            f"if that is meant, delete {store.record_path(entry)} and fetch it again"
        )
    if entry.sha256:
        return f"sha256 {sha256[:8]}… as published"
    return f"sha256 {sha256[:8]}… as recorded" if record else f"sha256 {sha256[:8]}… recorded, as none is published"


def _check_loads(entry: Entry, network: Path) -> None:
    """Load the network as a run would, and hold it to what the catalogue says; ModelError where it is another."""
    from tracker.detection import load_detector
    from tracker.pose import load_pose_network

    store.write_settings(entry, network)
    if entry.kind == "detector":
        load_detector(network, "cpu")
        return
    size_hw = list(load_pose_network(network, "cpu").input_size_hw)
    if size_hw != entry.settings["input_size"]:
        raise ModelError(f"it takes {size_hw} px, not {entry.settings['input_size']}; name another source")
