"""YOLOX's output, on the grid or in pixels."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.detection.yolox import YOLOX, decode_classes
from tracker.types import FloatArray

INPUT_WH = (96, 64)
NUM_CELLS = 12 * 8 + 6 * 4 + 3 * 2


def _rows(num_classes: int = 80) -> FloatArray:
    """The grid of an input in which nobody is."""
    return np.zeros((NUM_CELLS, 5 + num_classes), np.float32)


@pytest.mark.parametrize("num_classes", [1, 80], ids=["people alone", "COCO"])
@pytest.mark.parametrize(
    ("row", "box"),
    [
        pytest.param(2 * 12 + 5, [40 + 4 - 8, 16 + 2 - 16, 40 + 4 + 8, 16 + 2 + 16], id="stride 8: column 5, row 2"),
        pytest.param(96 + 3 * 6 + 1, [16 + 8 - 16, 48 + 4 - 32, 16 + 8 + 16, 48 + 4 + 32], id="stride 16: 1, 3"),
        pytest.param(NUM_CELLS - 1, [64 + 16 - 32, 32 + 8 - 64, 64 + 16 + 32, 32 + 8 + 64], id="stride 32: the last"),
    ],
)
def test_boxes_are_read_off_the_grid(num_classes: int, row: int, box: list[float]) -> None:
    rows = _rows(num_classes)
    rows[row, :6] = 0.5, 0.25, np.log(2), np.log(4), 0.8, 0.9
    boxes, scores = YOLOX.decode([rows], INPUT_WH, 0.5)
    np.testing.assert_allclose(boxes, [box], atol=1e-4)
    np.testing.assert_allclose(scores, [0.72], rtol=1e-6)
    assert boxes.dtype == scores.dtype == np.float32


def test_centres_in_pixels_are_found_out() -> None:
    rows = _rows()
    row, column = np.indices((8, 12)).reshape(2, -1)
    rows[:96, 0], rows[:96, 1] = 8 * column + 4, 8 * row + 4
    rows[29, :6] = 44, 18, 16, 32, 0.8, 0.9
    boxes, scores = YOLOX.decode([rows], INPUT_WH, 0.5)
    np.testing.assert_allclose(boxes, [[36, 2, 52, 34]])
    np.testing.assert_allclose(scores, [0.72], rtol=1e-6)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        pytest.param(5, np.nan, id="score"),
        pytest.param(2, 1000.0, id="a size beyond single precision"),
        pytest.param(0, np.nan, id="centre"),
    ],
)
def test_nonsense_is_handed_on_to_be_seen(column: int, value: float) -> None:
    rows = _rows()
    rows[3, 4:6] = 1
    rows[3, column] = value
    boxes, scores = YOLOX.decode([rows], INPUT_WH, 0.5)
    assert not np.isfinite(np.append(boxes, scores)).all()


def test_other_classes_than_people() -> None:
    rows = np.zeros((NUM_CELLS, 85), np.float32)
    rows[:2, 4] = 0.5, 1.0
    rows[0, 5 + 16], rows[1, 5], rows[1, 5 + 16] = 1.0, 0.2, 0.3
    boxes, scores = decode_classes([rows], INPUT_WH, 0.3)
    assert scores.shape == (2, 80)
    assert scores[:, 16].tolist() == pytest.approx([0.5, 0.3])
    assert scores[1, 0] == pytest.approx(0.2)
    assert boxes.tolist() == [[-4, -4, 4, 4], [4, -4, 12, 4]]
    assert len(decode_classes([rows], INPUT_WH, 0.4)[0]) == 1
    with pytest.raises(ValueError, match="rows for"):
        decode_classes([rows[1:]], INPUT_WH, 0.3)
