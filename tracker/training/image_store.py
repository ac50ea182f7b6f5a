"""Many small pictures in one file, so that training does not decode large ones again and again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from tracker.training.annotations import Annotations
from tracker.training.stream import cache_path, work_through
from tracker.types import BoolArray, Image, IntArray
from tracker.video.images import read_image

# How pictures are kept.
JPEG = (cv2.IMWRITE_JPEG_QUALITY, 92)

Pictures = TypeVar("Pictures", bound="StoredPictures")


class ImageStore:
    """Pictures (H, W, 3) uint8 BGR by index, decoded on access; may be read from several threads.

    source_sizes_wh: (M, 2), width and height of the sources that the pictures were made from.
    """

    def __init__(self, path: Path) -> None:
        self._bytes = np.memmap(path, np.uint8, mode="r")
        with np.load(path.with_suffix(".npz")) as index:
            self._ends: IntArray = index["ends"]
            self.source_sizes_wh: IntArray = index["source_sizes_wh"]

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> Image:
        start = self._ends[index - 1] if index else 0
        return np.asarray(cv2.imdecode(self._bytes[start : self._ends[index]], cv2.IMREAD_COLOR), np.uint8)


@dataclass(frozen=True, eq=False)
class StoredPictures:
    """Stored pictures and the people annotated in them.

    is_sure: (N,), of the annotations. with_people, negatives: rows of pictures to draw from, those that show somebody,
    as often as they come, and those known to show nobody. first_rows: (M + 1,), where each picture's people begin.
    """

    images: ImageStore
    annotations: Annotations
    is_sure: BoolArray
    with_people: IntArray
    negatives: IntArray
    first_rows: IntArray

    def people_in(self, row: int) -> slice:
        """The rows of the people in a picture."""
        return slice(self.first_rows[row], self.first_rows[row + 1])

    def repeated(self: Pictures, times: IntArray) -> Pictures:
        """The same, where the pictures with people come so many times (M,)."""
        return replace(self, with_people=np.repeat(self.with_people, times[self.with_people]))


def stored_fields(annotations: Annotations, images: ImageStore, is_sure: BoolArray, seen: BoolArray) -> dict[str, Any]:
    """The fields of `StoredPictures`; seen: (N,), the people whose pictures are those with people."""
    return {
        "images": images,
        "annotations": annotations,
        "is_sure": is_sure,
        "with_people": np.unique(annotations.picture[seen]),
        "negatives": np.flatnonzero(annotations.is_negative),
        "first_rows": np.searchsorted(annotations.picture, np.arange(len(images) + 1)),
    }


def shrink_pictures(annotations: Annotations, folder: Path, *, longest: int = 0, shortest: int = 0) -> ImageStore:
    """The pictures of a set, shrunk once to a longer, or shorter, side of so many pixels, in a file of the folder."""

    def shrink(_: int, image: Image) -> tuple[Image]:
        factor = longest / max(image.shape) if longest else shortest / min(image.shape[:2])
        if factor >= 1:
            return (image,)
        return (np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8),)

    key = [[str(path) for path in annotations.paths], *([longest] if longest else ["short side", shortest])]
    return open_store(folder, key, annotations.paths, shrink, "shrinking pictures")


def open_store(
    folder: Path,
    key: Sequence[Any],
    sources: Sequence[Path],
    cut: Callable[[int, Image], Iterable[Image]],
    description: str,
) -> ImageStore:
    """The store for `key` in a folder, made first if it is not there.

    key: what the content depends on, as JSON. cut: the pictures to keep of source number i, in order; called from
    several threads. Raises InputError for a source that is missing or no picture.
    """
    path = cache_path(folder, key, "{}.jpegs")
    if not path.with_suffix(".npz").is_file():
        _write(path, sources, cut, description)
    return ImageStore(path)


def _write(path: Path, sources: Sequence[Path], cut: Callable[[int, Image], Iterable[Image]], description: str) -> None:
    def encode(number: int) -> tuple[tuple[int, int], list[bytes]]:
        source = read_image(sources[number])
        encoded = [cv2.imencode(".jpg", picture, JPEG)[1].tobytes() for picture in cut(number, source)]
        return (source.shape[1], source.shape[0]), encoded

    sizes_wh, ends, end = [], [], 0
    # Named after the process, because another run may be making the same store.
    partial = path.with_suffix(f".{os.getpid()}.partial.jpegs")
    try:
        with partial.open("wb") as file, closing(work_through(encode, len(sources), description)) as work:
            for size_wh, encoded in work:
                sizes_wh.append(size_wh)
                for data in encoded:
                    file.write(data)
                    end += len(data)
                    ends.append(end)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    # Written last: a store without its index is none.
    index = path.with_suffix(f".{os.getpid()}.partial.npz")
    np.savez(index, ends=np.array(ends, np.int64), source_sizes_wh=np.array(sizes_wh, np.int64).reshape(-1, 2))
    index.replace(path.with_suffix(".npz"))
