"""`weights`: published networks by name: what there is, where it comes from, fetching it, and whether it is whole."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.errors import TrackerError
from tracker.outputs import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracker.catalogue.entries import Entry


def add_parser(commands: Any) -> None:
    """Add the command and what it can be told to do."""
    parser = commands.add_parser(
        "weights",
        help="published networks by name: list, fetch, verify, import",
        description="Published networks that come by name. Once fetched, a name stands for its file and what must be "
        "known of it, wherever a command takes one. They are kept in the user's cache, or in the folder that "
        "POSE_TRACKER_WEIGHTS names.",
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _add_verb(verbs, "list", _list, "print what there is, and what has been fetched")
    one = _add_verb(verbs, "info", _info, "print all that is known of a network")
    one.add_argument("names", nargs=1, metavar="NAME", help="as `list` prints it")
    some = _add_verb(verbs, "fetch", _fetch, "fetch networks, check them, and record what came")
    some.add_argument("names", nargs="+", metavar="NAME", help="as `list` prints it")
    some.add_argument(
        "--mirror", metavar="PLACE",
        help="an address in place of the network's own, as `info` shows it, or a folder that holds the file",
    )  # fmt: skip
    _add_verb(verbs, "verify", _verify, "compare what was fetched with what was recorded")
    file = _add_verb(
        verbs, "import", _import, "turn a published checkpoint of torch into a file that states what it is"
    )
    file.add_argument("file", type=Path, metavar="FILE", help="a PoseResNet or LitePose: .pth, .pth.tar, .pt")
    file.add_argument("--output", type=Path, metavar="FILE", help="default: the same name, .safetensors, here")
    file.add_argument("--overwrite", action="store_true", help="replace a file that exists")


def _add_verb(verbs: Any, name: str, run: Any, what: str) -> Any:
    parser = verbs.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
    parser.set_defaults(run=run)
    return parser


def _list(_: argparse.Namespace) -> int:
    from tracker.catalogue import store
    from tracker.catalogue.entries import read_catalogue
    from tracker.evaluation.tables import markdown_table

    rows = [
        [one.name, one.family, one.kind, one.settings.get("skeleton", "boxes"), one.size, one.reported, _state(one)]
        for one in read_catalogue().values()
    ]
    print(markdown_table(["name", "family", "kind", "finds", "input", "reported AP", "here"], rows, digits=1))
    print(f"AP as the makers report it, each by its own measure (`info`). Kept in {store.folder()}", file=sys.stderr)
    return 0


def _state(entry: Entry) -> str:
    from tracker.catalogue import store

    states = {"yes": store.path_of(entry), "in part": store.part_path(entry)}
    return next((state for state, path in states.items() if path.is_file()), "")


def _info(args: argparse.Namespace) -> int:
    (entry,) = _entries(args.names)
    print("\n".join(f"{label:<11} {value}" for label, value in _facts(entry).items() if value))
    return 0


def _facts(entry: Entry) -> dict[str, str | None]:
    """What is known of a network, in words."""
    from tracker.catalogue import store

    settings, record = entry.settings, store.read_record(entry)
    return {
        "name": entry.name,
        "family": entry.family,
        "use": entry.example + (", without a detector" if entry.kind == "one-pass" else ""),
        "finds": settings.get("skeleton", "people's boxes"),
        "input": f"{entry.size} px, {settings['color'].upper()}, mean {settings['mean']}, std {settings['std']}",
        "reported": f"{entry.reported} ({entry.measure})",
        "licence": entry.licence,
        "trained on": entry.data,
        "source": entry.address,
        "mirrors": ", ".join(entry.mirrors),
        "file": entry.file + (f", of it {entry.member}" if entry.member else ""),
        "bytes": entry.bytes and f"{entry.bytes:,}",
        "sha256": entry.sha256 or "none published; the first one that comes is recorded",
        "recorded": record and f"{record['network']['sha256']}, {record.get('date')}, from {record.get('address')}",
        "here": store.fault_of(entry) or str(store.path_of(entry)),
    }


def _fetch(args: argparse.Namespace) -> int:
    """Fetch one after the other; what fails is told, and the others are fetched."""
    from tracker.catalogue.fetch import fetch

    num_failed = 0
    for entry in _entries(args.names):
        try:
            print(fetch(entry, args.mirror))
            print(f"use it: {entry.example}", file=sys.stderr)
        except TrackerError as error:
            if len(args.names) == 1:
                raise
            print(f"error: {error}", file=sys.stderr)
            num_failed += 1
    return int(num_failed > 0)


def _verify(_: argparse.Namespace) -> int:
    from tracker.catalogue import store
    from tracker.catalogue.entries import read_catalogue

    there = [entry for entry in read_catalogue().values() if store.was_fetched(entry)]
    faults = {entry.name: store.fault_of(entry) for entry in there}
    for name, fault in faults.items():
        print(f"{name}: {f'{fault}; run: {store.COMMAND} fetch {name}' if fault else 'whole'}")
    print(f"{counted(len(there), 'network')} in {store.folder()}", file=sys.stderr)
    return int(any(faults.values()))


def _import(args: argparse.Namespace) -> int:
    from tracker.catalogue.importing import import_checkpoint

    output, what = import_checkpoint(args.file, args.output, args.overwrite)
    print(f"{output}: {what}")
    return 0


def _entries(names: Sequence[str]) -> list[Entry]:
    from tracker.catalogue.entries import read_catalogue
    from tracker.catalogue.store import unknown_name

    catalogue = read_catalogue()
    for name in names:
        if name not in catalogue:
            raise unknown_name(name)
    return [catalogue[name] for name in dict.fromkeys(names)]
