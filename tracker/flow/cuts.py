"""Cuts: hard changes of the scene, told apart from fast motion, camera pans, blur and exposure changes."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from tracker.flow.inverse_search import compare_windows, compute_flow
from tracker.flow.pictures import THUMB_WH, Picture
from tracker.types import FloatArray, Image

# Mean correlation from which a scene counts as found again: frames of one real clip stay above 0.7, also when
# four of five are skipped; frames of two clips stay below 0.45.
_FOUND = 0.5

# Windows below this variance, in squared grey levels, show nothing that could be found again.
_TEXTURE = 25.0
_MIN_TEXTURED_SHARE = 0.02

_STILL = np.zeros((*THUMB_WH[::-1], 2), np.float32)

# A camera pan is looked for up to one part in so many of the picture.
_PAN_PART = 4


def is_cut(previous: Picture, current: Picture) -> bool:
    """Whether nothing of the previous image can be found in the current one.

    The thumbs are matched by dense flow and compared where they have texture; colours and brightness play no
    part, so that two similar rooms differ and one room in other light does not. Two images of different
    sizes are always a cut, two images without texture never.
    """
    if previous.size_wh != current.size_wh:
        return True
    # Where little moves, no flow is needed to find the scene again.
    if _similarity(previous.thumb, current.thumb, _STILL) >= _FOUND:
        return False
    attempts = _attempts(previous.thumb, current.thumb)
    return not any(
        _similarity(a, b, compute_flow(a, b, cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)) >= _FOUND for a, b in attempts
    )


def _attempts(previous: Image, current: Image) -> Iterator[tuple[Image, Image]]:
    """Pairs to compare, the cheapest and likeliest to match first."""
    yield previous, current
    # Backwards, what is covered now was visible, and what is uncovered now has a partner.
    yield current, previous
    yield _align(previous, current)


def _similarity(previous: Image, current: Image, field: FloatArray) -> float:
    """Mean correlation of the textured windows along the field, 1 where neither thumb has texture."""
    correlation, contrast = compare_windows(previous, current, field)
    textured = contrast > _TEXTURE
    if textured.mean() < _MIN_TEXTURED_SHARE:
        return 1.0
    return float(correlation[textured].mean())


def _align(previous: Image, current: Image) -> tuple[Image, Image]:
    """The parts of the two thumbs that overlap after the camera pan that fits the middle best."""
    height, width = previous.shape
    margin_x, margin_y = width // _PAN_PART, height // _PAN_PART
    middle = previous[margin_y : height - margin_y, margin_x : width - margin_x]
    fit = cv2.matchTemplate(current, middle, cv2.TM_CCOEFF_NORMED)
    left, top = cv2.minMaxLoc(fit)[3]
    dx, dy = left - margin_x, top - margin_y
    return _shifted(previous, -dx, -dy), _shifted(current, dx, dy)


def _shifted(picture: Image, dx: int, dy: int) -> Image:
    """What is left of a picture whose first |dx| columns and |dy| rows, or last ones if negative, go."""
    height, width = picture.shape
    part: Image = picture[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)]
    return part.copy()
