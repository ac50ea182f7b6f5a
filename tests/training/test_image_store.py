"""Stores of many small pictures in one file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tracker.errors import InputError
from tracker.training.image_store import ImageStore, open_store
from tracker.types import Image


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    """Grey pictures of different sizes and shades."""
    paths = [tmp_path / f"{i}.png" for i in range(6)]
    for i, path in enumerate(paths):
        cv2.imwrite(str(path), np.full((20 + i, 30 + 2 * i, 3), 40 * i, np.uint8))
    return paths


def halves(number: int, image: Image) -> Iterable[Image]:
    """Both halves of a picture, nothing of picture 2."""
    return [] if number == 2 else [image[:, : image.shape[1] // 2], image[:, image.shape[1] // 2 :]]


def open_halves(folder: Path, sources: list[Path]) -> ImageStore:
    return open_store(folder / "cache", ["halves", 1], sources, halves, "halving")


def test_pictures_come_in_order(tmp_path: Path, sources: list[Path]) -> None:
    store = open_halves(tmp_path, sources)
    assert len(store) == 10
    shades = [round(float(store[i].mean())) for i in range(10)]
    assert shades == pytest.approx([0, 0, 40, 40, 120, 120, 160, 160, 200, 200], abs=1)
    assert store[4].shape == (23, 18, 3)
    assert store.source_sizes_wh.tolist() == [[30 + 2 * i, 20 + i] for i in range(6)]


def test_a_store_is_made_once(tmp_path: Path, sources: list[Path]) -> None:
    open_halves(tmp_path, sources)
    sources[0].unlink()
    assert len(open_halves(tmp_path, sources)) == 10
    with pytest.raises(InputError, match=r"0\.png cannot be read"):
        open_store(tmp_path / "cache", ["halves", 2], sources, halves, "halving")
    assert not list(tmp_path.glob("cache/*partial*"))
