"""What happens to files: values replaced, records lost or doubled, bytes flipped, cut off or out of place.

Each function but the first two takes the bytes of a whole file and gives a strategy of damaged ones.
"""

from __future__ import annotations

import copy
import io
import json
import re
import struct
import zipfile
import zlib
from typing import Any, TypeAlias

import numpy as np
from hypothesis import strategies as st

Contents: TypeAlias = st.SearchStrategy[bytes]

# Numbers at which sizes, counts and offsets go wrong; the last whole one is beyond floating point.
_WHOLE = (-1, 0, 1, 2**15, 2**31 - 1, 2**31, 2**53 + 1, 2**63, 10**400)
_FLOATING = (float("nan"), float("inf"), float("-inf"), -0.0, 1e-320, 0.5, 1e9, 1e39, 1e308)
_TEXTS = ("", "nan", "1e99", "\ud800", "a\nb", "\0", "../x", "é" * 300, "<deep 60>", "<deep 900>", "<deep 99999>")
_WORDS = (
    *("", "nan", "-inf", "-1", "1e999", "9" * 400, "9" * 5000, "true", "null", "é", "\0", "\r"),
    *('"', "'", ",", "{}", "[", "]", "[" * 2000),
)
_EDGES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)

_strange = st.recursive(
    st.sampled_from((None, True, False, *_WHOLE, *_FLOATING, *_TEXTS)) | st.integers() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("x", "id")), inner, max_size=2),
    max_leaves=5,
)


@st.composite
def mutated(draw: st.DrawFn, value: Any) -> Any:
    """A JSON value of which one to three parts are replaced, left out, doubled, swapped or renamed."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        value = _mutate(draw, value)
    return value


def _mutate(draw: st.DrawFn, value: Any) -> Any:
    if not isinstance(value, dict | list) or not value or not draw(st.integers(0, 15)):
        return draw(_strange)
    keys = st.sampled_from(list(value) if isinstance(value, dict) else range(len(value)))
    key, other = draw(keys), draw(keys)
    match draw(st.sampled_from(("inside",) * 9 + ("drop", "double", "swap"))):
        case "inside":
            value[key] = _mutate(draw, value[key])
        case "drop":
            del value[key]
        case "swap":
            value[key], value[other] = value[other], value[key]
        case "double" if isinstance(value, list):
            value.insert(other, copy.deepcopy(value[key]))
        case "double":
            value[draw(st.sampled_from(_TEXTS))] = value.pop(key)
    return value


@st.composite
def encoded(draw: st.DrawFn, text: str) -> bytes:
    """A text in UTF-8 mostly, or in another encoding, with a mark or with line ends of other systems."""
    encoding = draw(st.sampled_from(("utf-8",) * 8 + ("utf-8-sig", "utf-16", "utf-32-be", "latin-1")))
    newline = draw(st.sampled_from(("\n",) * 6 + ("\r\n", "\r")))
    return text.replace("\n", newline).encode(encoding, "replace" if encoding == "latin-1" else "surrogatepass")


@st.composite
def bytes_damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """One to four pieces are changed, cut out, put in, doubled or swapped, or the end is missing."""
    for _ in range(draw(st.integers(1, 4))):
        # Sizes and counts stand at the beginning mostly.
        start = draw(st.integers(0, min(len(content), 99)) | st.integers(0, len(content)))
        stop = min(start + draw(st.integers(0, 8) | st.integers(0, len(content))), len(content))
        content = content[:start] + _damage(draw, content[start:stop]) + content[stop:]
        if not draw(st.integers(0, 9)):
            content = content[:start]
    return content


def _damage(draw: st.DrawFn, piece: bytes) -> bytes:
    match draw(st.sampled_from(("flip", "number", "other", "zero", "double", "swap"))):
        case "flip" if piece:
            return bytes([piece[0] ^ 1 << draw(st.integers(0, 7))]) + piece[1:]
        case "number":
            size = draw(st.sampled_from((1, 2, 4, 8)))
            order = draw(st.sampled_from(("big", "little")))
            number = draw(st.sampled_from(_EDGES)) % 256**size
            return number.to_bytes(size, order) + piece[size:]
        case "zero":
            return bytes(len(piece))
        case "double":
            return piece + piece
        case "swap":
            return piece[len(piece) // 2 :] + piece[: len(piece) // 2]
    return draw(st.binary(max_size=8))


def text_damaged(content: bytes) -> Contents:
    """Words and lines of a text are replaced, left out, doubled or swapped; or its bytes are damaged."""
    return _rewritten(content.decode()).flatmap(encoded) | bytes_damaged(content)


@st.composite
def _rewritten(draw: st.DrawFn, text: str) -> str:
    for _ in range(draw(st.integers(1, 3))):
        # Every other part is a word, a number or a name.
        parts = re.split(r"([^\s,:=\[\]{}]+)", text) if draw(st.integers(0, 3)) else re.split(r"(\n)", text)
        place, other = (draw(st.integers(0, len(parts) - 1)) for _ in range(2))
        parts[place] = draw(st.sampled_from(_WORDS) | st.just(parts[other]) | st.just(parts[place] * 2))
        text = "".join(parts)
    return text


def json_damaged(content: bytes) -> Contents:
    """Any value in any field of a JSON file; or its text is damaged."""
    return mutated(json.loads(content)).map(_json_text).flatmap(encoded) | text_damaged(content)


def json_lines_damaged(content: bytes) -> Contents:
    """Any value in any field of a file of JSON lines; or its text is damaged."""
    lines = mutated([json.loads(line) for line in content.splitlines()])
    texts = lines.map(lambda value: "\n".join(map(_json_text, value if isinstance(value, list) else [value])))
    return texts.flatmap(encoded) | text_damaged(content)


def _json_text(value: Any) -> str:
    return re.sub(r'"<deep (\d+)>"', lambda depth: "[" * int(depth[1]) + "]" * int(depth[1]), json.dumps(value))


def safetensors_damaged(content: bytes) -> Contents:
    """Any value in any field of the header of a .safetensors file; or its bytes are damaged."""
    length = int.from_bytes(content[:8], "little")
    headers = mutated(json.loads(content[8 : 8 + length])).map(_json_text).map(str.encode)
    tensors = content[8 + length :]
    return headers.map(lambda header: struct.pack("<Q", len(header)) + header + tensors) | bytes_damaged(content)


def zip_damaged(content: bytes) -> Contents:
    """A member of a ZIP archive is damaged, lost or another's, the sums being right; or the bytes are damaged."""
    return _members_damaged(_unzip(content)).map(_zip) | bytes_damaged(content)


@st.composite
def _members_damaged(draw: st.DrawFn, members: dict[str, bytes]) -> dict[str, bytes]:
    name, other = (draw(st.sampled_from(sorted(members))) for _ in range(2))
    match draw(st.sampled_from(("damage",) * 8 + ("lose", "swap"))):
        case "damage":
            return members | {name: draw(bytes_damaged(members[name]))}
        case "lose":
            return {key: member for key, member in members.items() if key != name}
    return members | {name: members[other]}


def arrays_damaged(content: bytes) -> Contents:
    """Any value in any array of an .npz file; or the archive is damaged."""
    with np.load(io.BytesIO(content)) as stored:
        arrays = dict(stored)
    values = mutated({name: array.tolist() for name, array in arrays.items()})
    return values.map(lambda value: _npz(value, arrays)) | zip_damaged(content)


def _npz(values: Any, arrays: dict[str, Any]) -> bytes:
    """The file of arrays with those values, of their former types where the values allow it."""
    members = {}
    for name, value in values.items() if isinstance(values, dict) else ():
        try:
            with np.errstate(over="ignore"):
                array = np.array(value, arrays[name].dtype if name in arrays else None)
        except (ValueError, TypeError, OverflowError):
            array = np.array(value, object)
        np.save(file := io.BytesIO(), array, allow_pickle=True)
        members[f"{name.encode('unicode_escape').decode()}.npy"] = file.getvalue()
    return _zip(members)


def png_damaged(content: bytes) -> Contents:
    """A PNG whose bytes are damaged, half of the time with the sums of its chunks right."""
    return bytes_damaged(content) | bytes_damaged(content).map(_with_sums)


def _with_sums(content: bytes) -> bytes:
    place, parts = 8, [content[:8]]
    while place + 12 <= len(content):
        end = place + 8 + int.from_bytes(content[place : place + 4], "big")
        parts += content[place:end], zlib.crc32(content[place + 4 : end]).to_bytes(4, "big")
        place = end + 4
    return b"".join(parts)


def _unzip(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _zip(members: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(file := io.BytesIO(), "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return file.getvalue()
