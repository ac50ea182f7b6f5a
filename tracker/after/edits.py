"""Edits of ids: a text of lines, applied to results; the tracker's own ids stay beside them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from tracker.after.table import PeopleTable
from tracker.errors import InputError
from tracker.formats.record import Results
from tracker.skeletons import Skeleton
from tracker.types import BoolArray, DoubleArray

_ID, _TIME = r"(\d{1,15})", r"(\d{1,9}(?:\.\d+)?)"
# What a line may be, by its first word: its form, and an example of it.
_FORMS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "swap": (rf"{_ID} {_ID} @ {_TIME}", "swap 3 7 @ 12.40"),
        "merge": (rf"{_ID} -> {_ID}", "merge 9 -> 3"),
        "split": (rf"{_ID} @ {_TIME}", "split 3 @ 20.1"),
        "sides": (rf"{_ID} @ {_TIME} - {_TIME}", "sides 3 @ 4.2 - 4.6"),
        "drop": (_ID, "drop 12"),
        "name": (rf"{_ID} (\S.*)", "name 3 Anna"),
    }
)
# Times are written with three decimals at most.
_SLACK_S = 5e-4
_SAME = "these are the same; name two"


@dataclass(frozen=True)
class Edit:
    """A line: its first word, its numbers and times as they stand there, where it stands, and its text."""

    verb: str
    parts: tuple[str, ...]
    where: str
    text: str

    @property
    def ids(self) -> tuple[int, ...]:
        """The ids that it names."""
        return tuple(map(int, self.parts[: 2 if self.verb in ("swap", "merge") else 1]))

    def fault(self, reason: str) -> InputError:
        """What keeps the line from being applied."""
        return InputError(f"{self.where} ({self.text}): {reason}")


def read_edits(text: str, name: str) -> list[Edit]:
    """The edits in a text, a line each; empty lines and what follows a # are none. InputError for another line.

    >>> [edit.text for edit in read_edits("# a crossing\\nswap 3  7 @ 12.40  # sure", "edits.txt")]
    ['swap 3 7 @ 12.40']
    """
    edits: dict[str, Edit] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = " ".join(line.split()).split(" #")[0]
        if words and not words.startswith("#"):
            edit = _read_line(words, f"{name}: line {number}")
            if edit.text in edits:
                raise edit.fault(f"this stands in {edits[edit.text].where} already; leave one out")
            edits[edit.text] = edit
    return list(edits.values())


def _read_line(line: str, where: str) -> Edit:
    word, _, rest = line.partition(" ")
    verb = word.lower()
    if verb not in _FORMS:
        raise InputError(f"{where}: {word!r} is no edit; lines are {', '.join(form[1] for form in _FORMS.values())}")
    form, example = _FORMS[verb]
    if verb != "name":
        rest = re.sub(r" ?(->|[-@]) ?", r" \1 ", rest)
    found = re.fullmatch(form, rest, re.ASCII if verb != "name" else 0)
    if not found:
        raise InputError(f"{where}: {line!r} cannot be read; write it as {example}")
    edit = Edit(verb, found.groups(), where, f"{verb} {rest}")
    if len(set(edit.ids)) < len(edit.ids):
        raise edit.fault(_SAME)
    return edit


def apply_edits(results: Results, edits: Sequence[Edit]) -> Results:
    """The results with edits applied; the header says which, and people keep their `original_ids`.

    Ids are those of the results, in whatever order the lines stand: left and right are exchanged and people merged
    first, then the latest swap or split is done before earlier ones, and in the end people are dropped and named. The
    ids that splits make, in the order of the lines, count on from the highest; they can be merged, dropped and named,
    too. Edits that were applied already change nothing. InputError for ids and times that are not there, for two people
    of the same frame made one, and where some lines were applied already and others were not.
    """
    new = [edit for edit in edits if edit.text not in results.header.edits]
    if not new:
        return results
    if len(new) < len(edits):
        done = next(edit for edit in edits if edit not in new)
        raise done.fault("this was applied already; edit the results from before that, or leave it out")
    table, names, merged = PeopleTable.of(results), dict(results.header.names), dict[int, int]()
    known = set(table.track_ids.tolist())
    newest = max(known, default=0)
    splits = [edit for edit in edits if edit.verb == "split"]
    for edit in sorted(edits, key=lambda edit: _turn_of(edit, known)):
        new_id = newest + 1 + splits.index(edit) if edit in splits else 0
        table = _apply(table, _resolved(edit, merged), names, new_id, results.header.skeleton)
        if edit.verb == "merge" and edit.ids[0] != edit.ids[1]:
            merged[edit.ids[0]] = edit.ids[1]
    lines = (*results.header.edits, *(edit.text for edit in edits))
    return table.results(replace(results, header=replace(results.header, edits=lines, names=names)))


def _turn_of(edit: Edit, known: set[int]) -> tuple[int, float]:
    """When an edit is applied."""
    if edit.verb in ("swap", "split"):
        return 2, -float(edit.parts[-1])
    if edit.verb == "merge":
        return (1 if known.issuperset(edit.ids) else 3), 0.0
    return {"sides": 0, "drop": 4, "name": 5}[edit.verb], 0.0


def _resolved(edit: Edit, merged: Mapping[int, int]) -> Edit:
    """The edit with what merges made of its ids."""
    ids = list(edit.ids)
    for place in range(len(ids)):
        while ids[place] in merged:
            ids[place] = merged[ids[place]]
    return replace(edit, parts=(*map(str, ids), *edit.parts[len(ids) :]))


def _apply(table: PeopleTable, edit: Edit, names: dict[int, str], new_id: int, skeleton: Skeleton) -> PeopleTable:
    known = set(table.track_ids.tolist())
    for track_id in edit.ids:
        if track_id not in known:
            ids = ", ".join(map(str, sorted(known)[:20])) + (", …" if len(known) > 20 else "")
            raise edit.fault(f"there is no {track_id}; {f'ids are {ids}' if ids else 'nobody is in these results'}")
    if edit.verb == "drop":
        names.pop(edit.ids[0], None)
        return table.keep(table.track_ids != edit.ids[0])
    _CHANGES[edit.verb](table, edit, names, new_id, skeleton)
    return table


def _swap(table: PeopleTable, edit: Edit, *_: object) -> None:
    one, other = edit.ids
    if one == other:
        raise edit.fault(_SAME)
    later = _since(table, edit, edit.parts[2])
    is_one, is_other = later & (table.track_ids == one), later & (table.track_ids == other)
    if not (is_one | is_other).any():
        raise edit.fault(f"neither is there from then on: {_span(table, one)}, {_span(table, other)}")
    table.track_ids[is_one], table.track_ids[is_other] = other, one


def _merge(table: PeopleTable, edit: Edit, names: dict[int, str], *_: object) -> None:
    gone, kept = edit.ids
    both = np.intersect1d(*(table.frames[table.track_ids == track_id] for track_id in (gone, kept)))
    if len(both) and gone != kept:
        raise edit.fault(
            f"both are there at {table.times_s[both[0]]:.3f} s, so they are two; split one of them before, or drop one"
        )
    table.track_ids[table.track_ids == gone] = kept
    if gone in names:
        names.setdefault(kept, names.pop(gone))


def _split(table: PeopleTable, edit: Edit, _: object, new_id: int, *__: object) -> None:
    is_here = table.track_ids == edit.ids[0]
    later = is_here & _since(table, edit, edit.parts[1])
    if not later.any() or later.sum() == is_here.sum():
        raise edit.fault(f"a split leaves something on both sides: {_span(table, edit.ids[0])}")
    table.track_ids[later] = new_id


def _sides(table: PeopleTable, edit: Edit, _: object, __: object, skeleton: Skeleton) -> None:
    is_then = _since(table, edit, edit.parts[1]) & (_times(table) < float(edit.parts[2]) - _SLACK_S)
    rows = np.flatnonzero(is_then & (table.track_ids == edit.ids[0]))
    if not len(rows):
        raise edit.fault(f"nobody of that id is there then: {_span(table, edit.ids[0])}")
    order = skeleton.flip_order
    keypoints, scores = table.poses.keypoints.copy(), table.poses.scores.copy()
    keypoints[rows], scores[rows] = keypoints[np.ix_(rows, order)], scores[np.ix_(rows, order)]
    table.raw = table.raw.copy()
    table.raw[rows] = table.raw[np.ix_(rows, order)]
    table.poses = replace(table.poses, keypoints=keypoints, scores=scores)


def _name(table: PeopleTable, edit: Edit, names: dict[int, str], *_: object) -> None:
    names[edit.ids[0]] = edit.parts[1]


_CHANGES: Mapping[str, Callable[..., None]] = MappingProxyType(
    {"swap": _swap, "merge": _merge, "split": _split, "sides": _sides, "name": _name}
)


def _since(table: PeopleTable, edit: Edit, time: str) -> BoolArray:
    """(R,): rows of the frames from a time on."""
    first_s, last_s = table.times_s[[0, -1]]
    if not first_s - _SLACK_S <= float(time) <= last_s + _SLACK_S:
        raise edit.fault(f"{time} s is outside the results, which go from {first_s:.3f} to {last_s:.3f} s")
    is_later: BoolArray = _times(table) >= float(time) - _SLACK_S
    return is_later


def _times(table: PeopleTable) -> DoubleArray:
    return table.times_s[table.frames]


def _span(table: PeopleTable, track_id: int) -> str:
    times_s = _times(table)[table.track_ids == track_id]
    return f"{track_id} is there from {times_s[0]:.3f} to {times_s[-1]:.3f} s"
