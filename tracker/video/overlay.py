"""The overlay: skeletons, boxes with ids and trails; the status line of a window."""

from __future__ import annotations

import itertools
import math
import unicodedata
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import compress, pairwise
from types import NoneType
from typing import Any, NamedTuple, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from tracker.errors import refuse_others
from tracker.outputs import counted
from tracker.skeletons import Skeleton, skeleton_of
from tracker.types import BoolArray, FloatArray, Image, IntArray, Origin, Rect, TrackedPoses, check_image
from tracker.video.faces import FaceBlur

Color: TypeAlias = tuple[float, float, float]
FixedArray: TypeAlias = npt.NDArray[np.int32]

PARTS = ("boxes", "ids", "trails", "skeleton")
"""What is drawn of people."""
PHOTO_PARTS = ("boxes", "skeleton")
"""Of those in pictures that do not follow one another."""

# BGR. Blue and orange stay apart in every common kind of colour blindness (Okabe and Ito's palette).
_SIDE_COLORS: dict[str, Color] = {"left": (233, 180, 86), "right": (30, 160, 255), "": (240, 240, 240)}
_INK: Color = (24, 20, 18)
_PAPER: Color = (245, 245, 245)

# Golden angle: any few consecutive ids get hues that are far apart. The first ones are green and violet, which
# are not the colours of the sides.
_HUE_STEP = math.pi * (3 - math.sqrt(5))
_HUE_START = 0.35
# To linear sRGB (IEC 61966-2-1), whose white is D65.
_XYZ_TO_BGR = np.array(
    [[0.055648, -0.204043, 1.057311], [-0.969256, 1.875991, 0.041556], [3.240479, -1.53715, -0.498535]]
)

_NO_POINTS: FloatArray = np.zeros((0, 2), np.float32)
_SHADE_OPACITY = 0.55
# A box is dashed once no detector has found its person for so long; by default it does not look at every frame.
_UNFOUND_S = 0.5
# A trail's end is drawn along by its person as by a string of this share of their size: who stands still leaves none.
_STRING = 0.05
# Who moves farther from one frame to the next, as a share of their size, has another's id: the trail starts anew there.
# Where the tracker's own id changes, as edits may have it, less will do.
_JUMP, _JUMP_OF_IDS = 1.0, 0.25
# Keypoints of a head lie close together: they are drawn finer than the body's, so that the face can be seen.
_HEAD = ("nose", "eye", "ear", "head")
_HEAD_SHARE = 0.6
_SUBPIXEL_BITS = 4
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_HEIGHT = 22  # of capitals at scale 1
# Names are cut to the width of the box, but for so many letters.
_LEAST_LETTERS = 5
# Of Latin letters that Unicode does not make of a plain one and an accent.
_PLAIN_LETTERS = str.maketrans("ŁłØøĐđÐðıĦħŦŧŊŋ", "LlOoDdDdiHhTtNn") | str.maketrans(
    {"ß": "ss", "ẞ": "SS", "Æ": "Ae", "æ": "ae", "Œ": "Oe", "œ": "oe", "Þ": "Th", "þ": "th"}
)


@dataclass(frozen=True)
class _Style:
    """Sizes in pixels that suit a picture; limb: the width of everybody's limbs, or, where None, by their size."""

    line: int
    limb: int | None
    dash: float
    text: float
    most: int

    @classmethod
    def suiting(cls, image: Image, line_width: int | None) -> _Style:
        scale = min(image.shape[:2]) / 720
        return cls(
            line=max(round(2 * scale if line_width is None else 0.6 * line_width), 1),
            limb=line_width,
            dash=max(9 * scale, 7),
            text=max(15 * scale, 9),
            most=line_width or max(round(3.5 * scale), 1),
        )

    @property
    def reach(self) -> int:
        """How far at most a line or a dot reaches beyond its points."""
        return 4 * self.most + 2

    def limb_of(self, box: FloatArray) -> int:
        """Small people get thin limbs."""
        return self.limb or min(max(round((box[3] - box[1]) / 90), 1), self.most)


@lru_cache(maxsize=1024)
def id_color(track_id: int) -> Color:
    """BGR colour in 0–255 of an id, always the same; light enough for dark text on it."""
    hue = _HUE_START + track_id * _HUE_STEP
    return _lab_to_bgr(70, 55 * math.cos(hue), 55 * math.sin(hue))


def _lab_to_bgr(lightness: float, a: float, b: float) -> Color:
    """BGR in 0–255 of a light colour in CIE L*a*b*; OpenCV's own takes 0.1 s to fill tables first."""
    root = (lightness + 16) / 116
    xyz = np.array([0.950456, 1, 1.088754]) * np.array([root + a / 500, root, root - b / 200]) ** 3
    linear = np.clip(_XYZ_TO_BGR @ xyz, 0, 1)
    gamma = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    blue, green, red = (255 * gamma).tolist()
    return blue, green, red


class OverlayRenderer:
    """Draws tracked people; keeps the trails of the last second, so use one renderer per video.

    skeleton: of the people, or its name. keypoint_threshold: keypoints under this score are left out. draw: some of
    `PARTS`. line_width: of limbs, in pixels; None for what suits the picture and each person. blur_faces: everybody's,
    also of those who are not drawn. names: of people by id, written in place of it as far as the font goes, which has
    no more than the letters of English. Raises ValueError for a skeleton or parts that there are not.
    """

    def __init__(
        self,
        skeleton: Skeleton | str,
        *,
        keypoint_threshold: float = 0.4,
        show_unconfirmed: bool = False,
        trail_s: float = 1.0,
        draw: Collection[str] = PARTS,
        line_width: int | None = None,
        blur_faces: bool = False,
        names: Mapping[int, str] | None = None,
    ) -> None:
        refuse_others("names by id, or None", Mapping, NoneType, names=names)
        if isinstance(draw, str) or not isinstance(draw, Collection) or not {*draw} <= {*PARTS}:
            raise ValueError(f"draw must be a list of some of {', '.join(PARTS)}, not {draw!r}")
        skeleton = skeleton_of(skeleton)
        self._names = {track_id: plain for track_id, name in (names or {}).items() if (plain := _plain(name))}
        self._faces = FaceBlur(skeleton) if blur_faces else None
        self._draws = frozenset(draw)
        self._line_width = line_width
        self._threshold = keypoint_threshold
        self._show_unconfirmed = show_unconfirmed
        self._trails = _Trails(skeleton, keypoint_threshold, trail_s)
        self._found_s: dict[int, float] = {}
        self._figure = _Figure(skeleton)
        self._edges = np.array(skeleton.edges, np.int64).reshape(-1, 2)
        keypoints = np.arange(skeleton.num_keypoints)
        self._stands_alone = ~(np.isin(keypoints, skeleton.body) & np.isin(keypoints, self._edges))
        self.num_shown = 0
        self._touched: list[Rect] = []

    @property
    def touched(self) -> Sequence[Rect] | None:
        """Rectangles outside of which the picture that was drawn last is as it was; None where faces were blurred."""
        return None if self._faces else self._touched

    def draw(self, image: Image, tracked: TrackedPoses, *, time_s: float, in_place: bool = False) -> Image:
        """The picture with its people, drawn on a copy of `image` (H, W, 3) uint8 BGR, or in place on itself.

        time_s: of the frame; trails start anew when it goes back. A person whose box is not finite is left out.
        """
        check_image(image)
        refuse_others("TrackedPoses", TrackedPoses, tracked=tracked)
        canvas = image if in_place else image.copy()
        style = _Style.suiting(image, self._line_width)
        self._touched = []
        self.follow(tracked, time_s=time_s)
        if self._faces:
            self._faces.blur(canvas)
        is_shown = tracked.confirmed | tracked.cut_off | self._show_unconfirmed
        shown = tracked[np.isfinite(tracked.poses.boxes).all(axis=1) & is_shown]
        self.num_shown = len(shown)
        nearest_last = np.argsort(shown.poses.boxes[:, 3], kind="stable").tolist()
        for row in nearest_last:
            is_found = self._found_s[int(shown.track_ids[row])] >= time_s - _UNFOUND_S
            self._draw_person(canvas, shown, row, style, is_found=is_found)
        if "ids" in self._draws:
            tags = _draw_tags(canvas, shown, nearest_last[::-1], style, self._names)
            self._touched += [_rect_around(canvas, style.line + 2, np.array(tag)) for tag in tags]
        return canvas

    def follow(self, tracked: TrackedPoses, *, time_s: float) -> None:
        """Take note of the people of a frame that is not drawn, in the pixels of those that are.

        Of trails, faces, and when each person was detected last.
        """
        if self._faces:
            self._faces.follow(tracked, time_s)
        self._trails.extend(tracked, time_s)
        origins = zip(tracked.track_ids.tolist(), tracked.poses.origin.tolist(), strict=True)
        self._found_s = {
            track_id: time_s if origin == Origin.DETECTED else self._found_s.get(track_id, -math.inf)
            for track_id, origin in origins
        }

    def _draw_person(self, canvas: Image, shown: TrackedPoses, row: int, style: _Style, *, is_found: bool) -> None:
        poses, track_id = shown.poses, int(shown.track_ids[row])
        keypoints, box = poses.keypoints[row], _clip(poses.boxes[row], canvas)
        kept = self._drawn_keypoints(keypoints, poses.scores[row])
        color, limb = id_color(track_id), style.limb_of(box)
        frame = _box_lines(box, None if is_found else style.dash, canvas) if "boxes" in self._draws else []
        strokes = self._figure.strokes(keypoints, kept, limb, canvas)
        around = _rect_around(canvas, style.reach, box, keypoints[kept])
        self._touched.append(around)
        with _translucent(canvas, around):
            _draw_lines(canvas, frame, _INK, style.line + 2, cv2.LINE_8)
            for stroke in strokes:
                _draw_lines(canvas, stroke.lines, _INK, stroke.width + stroke.rim)
        trail = self._trails.points_of(track_id) if "trails" in self._draws else _NO_POINTS
        if len(trail):
            _draw_trail(canvas, trail, color, limb)
            self._touched.append(_rect_around(canvas, style.reach, trail))
        _draw_lines(canvas, frame, color, style.line, cv2.LINE_8)
        for stroke in strokes:
            _draw_lines(canvas, stroke.lines, stroke.color, stroke.width)

    def _drawn_keypoints(self, keypoints: FloatArray, scores: FloatArray) -> BoolArray:
        """Which of the keypoints (K, 2) are drawn: those of a body with a neighbour, so that no dot is left alone."""
        kept = np.isfinite(keypoints).all(axis=1) & (scores >= self._threshold) & ("skeleton" in self._draws)
        is_joined = self._stands_alone.copy()
        is_joined[self._edges[kept[self._edges].all(axis=1)]] = True
        return kept & is_joined


class _Stroke(NamedTuple):
    """Lines (M, 2) in fixed point of one colour and width; rim: how much wider their shade is."""

    lines: list[FixedArray]
    color: Color
    width: int
    rim: int


@dataclass(frozen=True)
class _Part:
    """What is painted at once: lines or dots of one side, of body, head, or what is fine beside the skeleton's body.

    keypoints: the places of those of that side and kind. ends: (M, 2) places of keypoints, twice the same of a dot: a
    line without length, of whose round ends it is made.
    """

    color: Color
    kind: str
    keypoints: IntArray
    is_dots: bool
    ends: IntArray

    @property
    def rank(self) -> int:
        """What is of a low rank is painted first."""
        return 0 if self.kind == "fine" else 1 + self.is_dots

    def stroke(self, lines: list[FixedArray], limb: int) -> _Stroke:
        """Lines of this part; limb: the width of a limb."""
        if self.kind == "fine":
            return _Stroke(lines, self.color, _thin(limb) + self.is_dots, int(self.is_dots))
        if self.kind == "head":
            limb = max(round(_HEAD_SHARE * limb), 1)
        return _Stroke(lines, self.color, 2 * limb + 1 if self.is_dots else limb, 2)

    def thin_out(self, is_drawn: BoolArray, keypoints: FloatArray, kept: BoolArray, limb: int) -> None:
        """Of somebody so small that dots would run together draw every second or third alone, and no lines."""
        gaps = np.hypot(*np.diff(keypoints[self.keypoints[kept[self.keypoints]]], axis=0).T)
        every = math.ceil(min((_thin(limb) + 2) / max(np.median(gaps), 0.1), 9)) if len(gaps) else 1
        if every > 1:
            is_drawn &= self.is_dots & (np.arange(len(is_drawn)) % every == 0)


def _thin(limb: int) -> int:
    """The width of lines between fine keypoints of somebody whose limbs are so wide."""
    return max(limb // 3, 1)


class _Figure:
    """How a skeleton is drawn."""

    def __init__(self, skeleton: Skeleton) -> None:
        self._parts = sorted(_parts_of(skeleton), key=lambda part: part.rank)
        self._ends = np.concatenate([part.ends for part in self._parts])
        stops = np.cumsum([0, *(len(part.ends) for part in self._parts)]).tolist()
        self._rows = [slice(*ends) for ends in pairwise(stops)]

    def strokes(self, keypoints: FloatArray, kept: BoolArray, limb: int, canvas: Image) -> list[_Stroke]:
        """Lines and dots of the keypoints (K, 2) that are kept, in the order of painting."""
        lines = list(_fixed(np.where(kept[:, np.newaxis], keypoints, 0), canvas)[self._ends])
        is_drawn = kept[self._ends].all(axis=1)
        for part, rows in zip(self._parts, self._rows, strict=True):
            if part.kind == "fine":
                part.thin_out(is_drawn[rows], keypoints, kept, limb)
        drawn = is_drawn.tolist()
        return [
            part.stroke(list(compress(lines[rows], drawn[rows])), limb)
            for part, rows in zip(self._parts, self._rows, strict=True)
        ]


class _Trails:
    """Where the middle of each person's hips went during the last `length_s` seconds, as far as it was seen.

    Of what has no hips, the middle of the box.
    """

    def __init__(self, skeleton: Skeleton, threshold: float, length_s: float) -> None:
        self._threshold = threshold
        self._length_s = length_s
        self._hips = [i for i, name in enumerate(skeleton.keypoint_names) if name.endswith("_hip")]
        self._points: dict[int, deque[tuple[float, float, float]]] = {}
        self._ends: dict[int, tuple[float, float, int]] = {}
        self._newest_s = -math.inf

    def extend(self, tracked: TrackedPoses, time_s: float) -> None:
        """Add the people of a frame and forget what is too old."""
        if time_s < self._newest_s:
            self._points.clear()
            self._ends.clear()
        self._newest_s = time_s
        poses = tracked.poses
        if self._hips:
            scores, centres = poses.scores[:, self._hips].min(axis=1), poses.keypoints[:, self._hips].mean(axis=1)
        else:
            scores, centres = poses.scores.max(axis=1), poses.boxes.reshape(-1, 2, 2).mean(axis=1)
        strings = _STRING * (poses.boxes[:, 2:] - poses.boxes[:, :2]).max(axis=1)
        seen = (scores >= self._threshold) & (scores > 0) & np.isfinite(strings)
        originals = tracked.track_ids if tracked.original_ids is None else tracked.original_ids
        columns = (column[seen].tolist() for column in (tracked.track_ids, centres, strings, originals))
        for track_id, centre, string, original in zip(*columns, strict=True):
            self._pull(track_id, time_s, centre, string, original)
        for track_id, points in list(self._points.items()):
            while points and points[0][0] < time_s - self._length_s:
                points.popleft()
            if not points:
                del self._points[track_id]
        self._ends = {i: end for i, end in self._ends.items() if i in self._points or i in tracked.track_ids}

    def _pull(self, track_id: int, time_s: float, centre: Sequence[float], string: float, original: int) -> None:
        """Draw the end of a trail to where its person is farther away than the string is long.

        original: the tracker's own id, negative without.
        """
        x, y, before = self._ends.get(track_id, (centre[0], centre[1], original))
        away = math.hypot(centre[0] - x, centre[1] - y)
        is_same = before == original or min(before, original) < 0
        if away - string > (_JUMP if is_same else _JUMP_OF_IDS) * string / _STRING:
            self._points.pop(track_id, None)
            x, y = centre
        elif away > string:
            share = 1 - string / away
            points = self._points.setdefault(track_id, deque([(time_s, x, y)]))
            x, y = x + share * (centre[0] - x), y + share * (centre[1] - y)
            points.append((time_s, x, y))
        self._ends[track_id] = x, y, original if original >= 0 else before

    def points_of(self, track_id: int) -> FloatArray:
        """(M, 2) points of a trail, oldest first."""
        return np.array(self._points.get(track_id, ()), np.float32).reshape(-1, 3)[:, 1:]


def _side_of(keypoint_name: str) -> str:
    side = keypoint_name.split("_", 1)[0]
    return side if side in _SIDE_COLORS else ""


def _parts_of(skeleton: Skeleton) -> list[_Part]:
    """The parts of a skeleton.

    Edges between the sides and those of neither are the middle's, and one with a fine keypoint is fine.
    """
    sides = np.array([_side_of(name) for name in skeleton.keypoint_names])
    is_head = [any(word in name.split("_") for word in _HEAD) for name in skeleton.keypoint_names]
    kinds = np.where(is_head, "head", "body")
    kinds[~np.isin(np.arange(skeleton.num_keypoints), skeleton.body)] = "fine"

    def side_of_edge(edge: tuple[int, int]) -> str:
        named = {str(sides[end]) for end in edge} - {""}
        return named.pop() if len(named) == 1 else ""

    def kind_of_edge(edge: tuple[int, int]) -> str:
        return next(kind for kind in ("fine", "head", "body") if kind in kinds[list(edge)])

    parts = []
    for side, kind in itertools.product(_SIDE_COLORS, ("body", "head", "fine")):
        edges = [edge for edge in skeleton.edges if side_of_edge(edge) == side and kind_of_edge(edge) == kind]
        keypoints = np.flatnonzero((sides == side) & (kinds == kind))
        for is_dots, ends in ((False, edges), (True, [(place, place) for place in keypoints])):
            if len(ends):
                parts.append(_Part(_SIDE_COLORS[side], kind, keypoints, is_dots, np.array(ends, np.int64)))
    return parts


def _box_lines(box: FloatArray, dash: float | None, canvas: Image) -> list[FixedArray]:
    """A box's outline, whole or in dashes of about that length."""
    x1, y1, x2, y2 = np.rint(box)
    outline = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2], [x1, y1]], np.float32)
    if dash is None:
        return [_fixed(outline, canvas)]
    sides = np.stack([outline[:-1], outline[1:]], axis=1)
    return list(_fixed(np.concatenate([_dashes(side, dash) for side in sides]), canvas))


def _dashes(line: FloatArray, dash: float) -> FloatArray:
    """Parts (M, 2, 2) of a line (2, 2): a dash at each end, gaps of about a dash between."""
    gaps = max(round((float(np.hypot(*(line[1] - line[0]))) / dash - 1) / 2), 1)
    stops = np.linspace(0, 1, 2 * gaps + 2, dtype=np.float32).reshape(-1, 2, 1)
    return line[0] + stops * (line[1] - line[0])


def _clip(coordinates: FloatArray, canvas: Image) -> FloatArray:
    """Coordinates brought near the picture: far outside they would overflow, and make dashes without end."""
    limit = 4 * max(canvas.shape)
    return np.clip(coordinates, -limit, limit)


def _fixed(points: FloatArray, canvas: Image) -> FixedArray:
    """Points in fixed point, which keeps motion smooth between pixels."""
    return np.rint(_clip(points, canvas) * (1 << _SUBPIXEL_BITS)).astype(np.int32)


def _draw_lines(canvas: Image, lines: Sequence[FixedArray], color: Color, width: int, kind: int = cv2.LINE_AA) -> None:
    if lines:
        cv2.polylines(canvas, lines, False, color, width, kind, _SUBPIXEL_BITS)


def _draw_trail(canvas: Image, points: FloatArray, color: Color, width: int) -> None:
    """A line through points (M, 2) that grows from one pixel to `width`; none through a single one."""
    if len(points) < 2:
        return
    fixed = _fixed(points, canvas)
    stops = np.linspace(0, len(points), width + 1).astype(int).tolist()
    for thickness, (start, stop) in enumerate(pairwise(stops), 1):
        _draw_lines(canvas, [fixed[start : stop + 1]], color, thickness)


def _rect_around(canvas: Image, margin: int, box: FloatArray, *points: FloatArray) -> Rect:
    """Smallest rectangle of whole pixels around everything, with a margin, inside the picture."""
    height, width = canvas.shape[:2]
    everything = np.concatenate([box.reshape(-1, 2), *(array.reshape(-1, 2) for array in points)])
    (left, top), (right, bottom) = everything.min(axis=0).tolist(), everything.max(axis=0).tolist()
    x1, x2 = (min(max(x, 0), width) for x in (math.floor(left) - margin, math.ceil(right) + margin))
    y1, y2 = (min(max(y, 0), height) for y in (math.floor(top) - margin, math.ceil(bottom) + margin))
    return x1, y1, x2, y2


@contextmanager
def _translucent(canvas: Image, rect: Rect) -> Iterator[None]:
    """What is drawn inside a rectangle during this context lets the picture shine through."""
    x1, y1, x2, y2 = rect
    region: Any = canvas[y1:y2, x1:x2]
    before = region.copy()
    yield
    if region.size:
        cv2.addWeighted(region, _SHADE_OPACITY, before, 1 - _SHADE_OPACITY, 0, dst=region)


def _plain(name: str) -> str:
    """A name in the letters that OpenCV's font has, without accents; empty if nothing is left.

    >>> _plain("Zoë Łukasz Strauß"), _plain("安娜")
    ('Zoe Lukasz Strauss', '')
    """
    plain = unicodedata.normalize("NFKD", name.translate(_PLAIN_LETTERS))
    return plain.encode("ascii", "ignore").decode().strip()


def _draw_tags(
    canvas: Image, shown: TrackedPoses, nearest_first: Sequence[int], style: _Style, names: Mapping[int, str]
) -> list[Rect]:
    """Ids or names on their colours, and where: outside a corner of the box with no nearer person's, in the picture."""
    taken: list[Rect] = []
    height, pad = round(style.text), round(style.text / 3)
    for row in nearest_first:
        track_id = int(shown.track_ids[row])
        box, mark = shown.poses.boxes[row], "" if shown.confirmed[row] else "?"
        name = _shortened(names[track_id], style, box[2] - box[0] - 2 * pad) if track_id in names else f"{track_id}"
        text = name + mark
        size_wh = _text_width(text, style) + 2 * pad, height + 2 * pad
        places = [_tag_at(canvas, corner, size_wh) for corner in _tag_corners(box, size_wh)]
        rect = next((place for place in places if not any(_overlap(place, other) for other in taken)), places[0])
        taken.append(rect)
        cv2.rectangle(canvas, rect[:2], rect[2:], id_color(track_id), cv2.FILLED)
        _draw_text(canvas, text, (rect[0] + pad, rect[1] + pad + height), _INK, style)
    return taken


def _shortened(name: str, style: _Style, most_px: float) -> str:
    """A name, or its beginning and dots (of the ellipsis the font knows nothing) where it is wider."""
    shown = name
    for letters in range(len(name) - 1, _LEAST_LETTERS - 1, -1):
        if _text_width(shown, style) <= most_px:
            break
        shown = name[:letters].rstrip() + "..."
    return shown


def _tag_corners(box: FloatArray, size_wh: tuple[int, int]) -> list[tuple[int, int]]:
    """Where a tag may begin: above the box on the left, then on the right, then below it."""
    x1, y1, x2, y2 = (round(value) for value in box.tolist())
    width, height = size_wh
    return [(x1, y1 - height), (x2 - width, y1 - height), (x1, y2), (x2 - width, y2)]


def _tag_at(canvas: Image, corner: tuple[int, int], size_wh: tuple[int, int]) -> Rect:
    (width, height), (limit_y, limit_x) = size_wh, canvas.shape[:2]
    left, top = _within(corner[0], width, limit_x), _within(corner[1], height, limit_y)
    return left, top, left + width, top + height


def _overlap(one: Rect, other: Rect) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def draw_status(canvas: Image, num_people: int, frames_per_s: float, delays_ms: Sequence[float] | None = None) -> None:
    """Write into the corner of a picture how many people there are, how fast it goes, and how late it is.

    delays_ms: median and 95th percentile of how late a live source is shown, None of a file.
    """
    delay = "{:.0f} ms (95 %: {:.0f})   ".format(*delays_ms) if delays_ms else ""
    draw_caption(canvas, f"{frames_per_s:.1f} fps   {delay}{counted(num_people, 'person', 'people')}")


def draw_caption(canvas: Image, text: str) -> None:
    """Write a line into the upper left corner of a picture."""
    style = _Style.suiting(canvas, None)
    width, height, pad = _text_width(text, style), round(style.text), round(style.text / 2)
    rect = (0, 0, min(width + 2 * pad, canvas.shape[1]), min(height + 2 * pad, canvas.shape[0]))
    with _translucent(canvas, rect):
        canvas[: rect[3], : rect[2]] = _INK
    _draw_text(canvas, text, (pad, pad + height), _PAPER, style)


def _within(start: int, length: int, limit: int) -> int:
    """Where something of that length must start to be inside 0–limit, its start having priority."""
    return max(min(start, limit - 1 - length), 0)


def _text_width(text: str, style: _Style) -> int:
    (width, _), _ = cv2.getTextSize(text, _FONT, style.text / _FONT_HEIGHT, style.line)
    return width


def _draw_text(canvas: Image, text: str, left_bottom: tuple[int, int], color: Color, style: _Style) -> None:
    cv2.putText(canvas, text, left_bottom, _FONT, style.text / _FONT_HEIGHT, color, style.line, cv2.LINE_AA)
