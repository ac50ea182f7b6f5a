"""Memory of lost people: found again by motion and shape when they come back near."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tracker.tracking.config import FRAME_S, TrackerConfig
from tracker.tracking.matching import match_greedily
from tracker.tracking.oks import FEWEST, mean_steps, size_ratios
from tracker.types import BoolArray, DoubleArray, FloatArray, IntArray, RowTable

# A lost person is looked for within this many box heights of where they were or would be by now; the reach grows by
# the second number each second, up to the last. Who was seen once, so that no pace is known, may be farther.
_REACH, _REACH_ONCE, _MAX_REACH = (0.2, 0.5), (0.5, 1.25), 1.5
# And by this share of the way that they would have gone at their pace.
_TURN = 1.5
# Limbs move while nobody looks: shapes are compared with sigmas this much wider, the more so the longer ago.
_SHAPE_SLACK, _SHAPE_SLACK_GROWTH = 1.5, 1.0
# The pace of a person is believed for so long after they were last seen.
_PACE_S = 0.6
# How quickly the remembered pace follows the newest step, in frames of `FRAME_S`.
_PACE_GAIN = 0.4
# Likewise how quickly what is usual follows the newest similarity.
_USUAL_GAIN = 0.2
_MAX_SIZE_RATIO = 1.6
# Deviation of the logarithm of how far somebody's keypoints are spread.
_SIZE_DEVIATION = 0.2
_MIN_SIMILARITY = 0.1
# What it counts to look the same as somebody who is out of reach.
_OUT_OF_REACH = 0.2


@dataclass(frozen=True)
class Sightings(RowTable):
    """The people of a frame: boxes (N, 4) xyxy and keypoints (N, K, 2) pixels, NaN where dropped.

    detected: (N,) who was, and not carried there. similarities: (N,) with which they went on, NaN of those who did not.
    """

    ids: IntArray
    boxes: FloatArray
    keypoints: FloatArray
    detected: BoolArray
    similarities: FloatArray


@dataclass(frozen=True)
class Tracks(RowTable):
    """What is remembered of T ids, which rise.

    boxes: (T, 4) xyxy pixels and keypoints: (T, K, 2) pixels, NaN where never kept, of the times `last_s` (T,), at
    which the people were last seen, gone along with the background since. paces: (T, 2) pixels per second, before it.
    num_detections: (T,) the frames in which they were detected. seen_s: (T,) the seconds that led to frames in which
    they were seen again, up to the last detection. carried_s: (T,) likewise since then. usual: (T,) the similarity with
    which they go on as a rule; it rises from 0.
    """

    ids: IntArray
    boxes: FloatArray
    keypoints: FloatArray
    last_s: DoubleArray
    paces: DoubleArray
    num_detections: IntArray
    seen_s: DoubleArray
    carried_s: DoubleArray
    usual: DoubleArray

    @classmethod
    def begin(cls, ids: IntArray, boxes: FloatArray, keypoints: FloatArray, now_s: float) -> Tracks:
        """People who are detected for the first time."""
        n = len(ids)
        last_s, once = np.full(n, now_s, np.float64), np.ones(n, np.int64)
        return cls(ids, boxes, keypoints, last_s, np.zeros((n, 2)), once, *np.zeros((3, n)))

    def rows(self, ids: IntArray) -> IntArray:
        """Where these ids stand; `len(self)` for one that is higher than all."""
        return np.searchsorted(self.ids, ids)

    def confirmed(self, config: TrackerConfig) -> BoolArray:
        """Who (T,) was detected often enough, over long enough, to be a person."""
        if not config.confirm_after_s:
            return np.ones(len(self), np.bool_)
        return (self.num_detections >= config.confirm_detections) & (self.seen_s >= config.confirm_after_s)

    def carried(self, step: FloatArray) -> Tracks:
        """The tracks after a motion of the background by (2,) pixels."""
        return replace(self, boxes=self.boxes + np.tile(step, 2), keypoints=self.keypoints + step)

    def see(self, people: Sightings, now_s: float, step_s: float) -> Tracks:
        """The tracks once these people are there; ids higher than all remembered are new. step_s: since the last frame.

        Keypoints that are missing there are remembered where they were last, moved along with the others.
        """
        people = people[np.argsort(people.ids)]
        rows = self.rows(people.ids)
        num_known = int(np.count_nonzero(rows < len(self)))
        if num_known < len(people):
            known, new = people[:num_known], people[num_known:]
            begun = Tracks.begin(new.ids, new.boxes, new.keypoints, now_s)
            return Tracks.join([self.see(known, now_s, step_s), begun])
        if num_known == len(self):
            return self._seen_again(people, now_s, step_s)
        return self._with(rows, self[rows]._seen_again(people, now_s, step_s))

    def _seen_again(self, people: Sightings, now_s: float, step_s: float) -> Tracks:
        """The same people, in this order, once they are seen."""
        step = mean_steps(people.keypoints - self.keypoints, lambda: _centres(people.boxes) - _centres(self.boxes))
        is_first = self.seen_s + self.carried_s == 0
        gain = np.where(is_first, 1, _gain(_PACE_GAIN, step_s))[:, None]
        remembered = self.keypoints + step.astype(np.float32)[:, None]
        since_s = self.carried_s + step_s
        rise = _gain(_USUAL_GAIN, step_s) * (people.similarities - self.usual)
        return Tracks(
            ids=self.ids,
            boxes=people.boxes,
            keypoints=np.where(np.isnan(people.keypoints), remembered, people.keypoints),
            last_s=np.full(len(self), now_s),
            paces=(1 - gain) * self.paces + gain * step / (now_s - self.last_s)[:, None],
            num_detections=self.num_detections + people.detected,
            seen_s=self.seen_s + people.detected * since_s,
            carried_s=~people.detected * since_s,
            usual=self.usual + np.where(np.isnan(rise), 0, rise),
        )

    def _with(self, rows: IntArray, others: Tracks) -> Tracks:
        """The same with others at these rows (M,)."""
        columns = {name: column.copy() for name, column in vars(self).items()}
        for name, column in columns.items():
            column[rows] = getattr(others, name)
        return Tracks(**columns)


def find_again(
    tracks: Tracks,
    boxes: FloatArray,
    keypoints: FloatArray,
    sigmas: DoubleArray,
    now_s: float,
    likeness: FloatArray | float = 1.0,
    same: FloatArray | float = 0.0,
    *,
    sizes: bool = True,
) -> tuple[IntArray, FloatArray]:
    """Give people without an id that of a lost person who was near and had their size and shape.

    boxes: (N, 4), keypoints: (N, K, 2) pixels, NaN where dropped, of the people who are there now. Returns ids (N,),
    −1 where nobody fits, and similarities (N,) in 0–1, NaN where nobody fits. Nearness is measured from where
    the person was last seen and from where their pace would have brought them, whichever is nearer. likeness: (N, T),
    what their looks leave of the similarity. same: (N, T), 1 for people known by their looks alone, wherever they are.
    sizes: how far keypoints are spread counts, and how large the boxes are only where too few are seen both times.
    """
    if not len(tracks) or not len(boxes):
        return np.full(len(boxes), -1, np.int64), np.full(len(boxes), np.nan, np.float32)
    age_s = now_s - tracks.last_s
    steps = keypoints[:, None] - tracks.keypoints
    offsets = mean_steps(steps, lambda: _centres(boxes)[:, None] - _centres(tracks.boxes))
    shape, is_sized = _shape(steps - offsets[:, :, None], tracks, age_s, sigmas)
    similarity = np.maximum(_nearness(offsets, tracks, age_s) * shape * likeness, _OUT_OF_REACH * same)
    similarity *= (is_sized & sizes) | _of_like_size(boxes, tracks.boxes)
    if sizes:
        rows, columns = np.nonzero(similarity)
        ratios = size_ratios(keypoints[rows], tracks.keypoints[columns])
        similarity[rows, columns] *= np.exp((ratios / _SIZE_DEVIATION) ** 2 / -2)
    return match_greedily(similarity, tracks.ids, _MIN_SIMILARITY)


def _shape(
    apart: DoubleArray, tracks: Tracks, age_s: DoubleArray, sigmas: DoubleArray
) -> tuple[DoubleArray, BoolArray]:
    """How alike (N, T) people and lost ones are in shape, 0–1, and whether enough keypoints are in both to tell size.

    apart: (N, T, K, 2) pixels from where keypoints would be if people had gone as a whole; NaN where not in both.
    """
    in_both = np.isfinite(apart[..., 0]).sum(axis=2)
    slack = (_SHAPE_SLACK + _SHAPE_SLACK_GROWTH * age_s) * np.maximum(_sizes(tracks.boxes), 1e-6)
    squared = (apart**2).sum(axis=3) / (8 * np.multiply.outer(slack, sigmas) ** 2)
    return np.nan_to_num(np.exp(-squared)).sum(axis=2) / np.maximum(in_both, 1), in_both >= FEWEST


def _nearness(offsets: DoubleArray, tracks: Tracks, age_s: DoubleArray) -> DoubleArray:
    """(N, T): 1 at the expected place, falling linearly to 0 at the end of the reach; offsets: (N, T, 2) pixels."""
    expected = tracks.paces * np.minimum(age_s, _PACE_S)[:, None]
    distance = np.minimum(np.linalg.norm(offsets, axis=2), np.linalg.norm(offsets - expected, axis=2))
    has_pace = tracks.seen_s + tracks.carried_s > 0
    first, growth = np.where(has_pace[:, None], _REACH, _REACH_ONCE).T
    sizes = _sizes(tracks.boxes)
    reach = (first + growth * age_s) * sizes + _TURN * np.linalg.norm(expected, axis=1)
    reach = np.minimum(reach, _MAX_REACH * sizes)
    return np.maximum(1 - distance / np.maximum(reach, 1e-6), 0)


def _gain(gain: float, step_s: float) -> float:
    """What a gain by frames of `FRAME_S` is in a step of another length."""
    return float(1 - (1 - gain) ** (step_s / FRAME_S))


def _of_like_size(boxes: FloatArray, lost_boxes: FloatArray) -> BoolArray:
    ratio = _sizes(boxes)[:, None] / np.maximum(_sizes(lost_boxes)[None], 1e-6)
    return (ratio <= _MAX_SIZE_RATIO) & (ratio >= 1 / _MAX_SIZE_RATIO)


def _centres(boxes: FloatArray) -> DoubleArray:
    return (boxes[:, :2].astype(np.float64) + boxes[:, 2:]) / 2


def _sizes(boxes: FloatArray) -> DoubleArray:
    """The longer side of each box (N,)."""
    return (boxes[:, 2:].astype(np.float64) - boxes[:, :2]).max(axis=1)
