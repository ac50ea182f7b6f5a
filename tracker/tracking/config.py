"""All settings of the tracker and their defaults, in one place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import NoneType
from typing import Literal, TypeAlias, get_args

from tracker.errors import A_NUMBER, A_WHOLE_NUMBER, refuse_others
from tracker.tracking.similarities import SIMILARITIES

Merge: TypeAlias = Literal["prefer-detections", "plain"]

MERGES: tuple[str, ...] = get_args(Merge)

FRAME_S = 1 / 25
"""The time between frames for which the factors that work frame by frame were measured."""

# For heights of peaks.
_KEYPOINT_THRESHOLD = 0.4


@dataclass(frozen=True)
class TrackerConfig:
    """Settings of `PoseTracker`; thresholds are inclusive (a value equal to one passes it).

    Raises ValueError for a value out of its range.
    """

    similarity: str = "multi-flow"
    """What is compared to give ids on: IoU of boxes, OKS, OKS after flow, OKS after flow over the whole queue."""
    gate: float = 0.15
    """Least similarity that gives an id on."""
    usual_share: float = 0.5
    """Least share of the similarity with which somebody usually goes on that gives their id to a detection."""
    queue_length: int = 8
    """Past frames in the queue (L_Q), above 30 per second some; multi-flow compares with all, others with the last."""
    age_decay: float = 0.97
    """Factor on the similarity to a queue entry for each 1/25 s of its age: errors of the flow add up."""
    keypoint_threshold: float | None = None
    """Keypoints under this score are not tracked (section 4.3); 0.5 if not given where scores say what is in sight."""
    propagation: bool = True
    """Carry people by the flow into frames in which the detector misses them."""
    propagation_score: float = 0.4
    """Least mean score of a person's kept keypoints to be carried."""
    box_expansion: float = 1.15
    """Growth of the box around carried keypoints (section 3.2: 15 %)."""
    score_decay: float = 0.9
    """Factor on the box score, by 1/25 s, for each frame in which the detector did not find the person."""
    min_box_score: float = 0.3
    """A carried box whose decayed score is less is given up."""
    merge: Merge = "prefer-detections"
    """Carried boxes yield to detections, or plain NMS by score over the union."""
    merge_iou: float = 0.4
    """IoU above which a carried box yields to a detection; of plain NMS, too."""
    duplicate_oks: float = 0.8
    """Of two poses of a frame more similar than this the weaker is dropped (OKS-NMS)."""
    newcomer_oks: float = 0.65
    """A pose without an id that is more similar than this to a better one of its frame opens no new id."""
    confirm_after_s: float = 0.05
    """Seconds over which a person must be detected to be confirmed; 0 confirms everybody at once."""
    confirm_detections: int = 3
    """Frames in which a person must be detected to be confirmed; those in which the flow carried them do not count."""
    forget_after_s: float = 6.0
    """Seconds for which a lost person is remembered."""
    forget_newcomer_s: float = 1.0
    """The same of who was seen for less than it takes to be confirmed: fast at low frame rates, or hidden soon."""
    sizes: bool = True
    """Of several who are near, the one of like size comes first."""
    background: bool = True
    """Lost people's places go along with the background, and a pace is one before it."""

    def __post_init__(self) -> None:
        if self.similarity not in tuple(SIMILARITIES):
            raise ValueError(f"similarity must be one of {', '.join(SIMILARITIES)}, not {self.similarity!r}")
        if self.merge not in MERGES:
            raise ValueError(f"merge must be one of {', '.join(MERGES)}, not {self.merge!r}")
        given = vars(self) | {"similarity": 0, "merge": 0, "keypoint_threshold": self.least_keypoint_score}
        refuse_others(*A_NUMBER, **given)
        refuse_others(*A_WHOLE_NUMBER, queue_length=self.queue_length, confirm_detections=self.confirm_detections)
        for name in ("queue_length", "confirm_detections"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        for name in ("confirm_after_s", "forget_after_s", "forget_newcomer_s"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be a number of seconds, 0 or more, not {getattr(self, name)}")
        if not 1 <= self.box_expansion < float("inf"):
            raise ValueError(f"box_expansion must be 1 or more, not {self.box_expansion}")
        shares = ("gate", "usual_share", "age_decay", "score_decay", "merge_iou", "duplicate_oks", "newcomer_oks")
        for name in (*shares, "keypoint_threshold", "propagation_score", "min_box_score"):
            if getattr(self, name) is not None and not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be within 0 and 1, not {getattr(self, name)}")

    @property
    def least_keypoint_score(self) -> float:
        """The keypoint threshold, the usual one if none is given."""
        return _KEYPOINT_THRESHOLD if self.keypoint_threshold is None else self.keypoint_threshold

    def settled(self, keypoint_threshold: float | None = None) -> TrackerConfig:
        """The same with a keypoint threshold: that given, else a network's own, else the usual one."""
        own = self.keypoint_threshold if self.keypoint_threshold is not None else keypoint_threshold
        return replace(self, keypoint_threshold=_KEYPOINT_THRESHOLD if own is None else own)

    def describe(self) -> str:
        """What differs from the defaults, or from the paper's settings where that is less; "" for nothing.

        >>> replace(PAPER, queue_length=4).describe(), TrackerConfig(gate=0.2).describe()
        ("the paper's, but queue_length 4", 'gate 0.2')
        """
        changes, of_paper = (
            [f"{name} {value}" for name, value in vars(self).items() if value != getattr(base, name)]
            for base in (replace(base, keypoint_threshold=self.keypoint_threshold) for base in (TrackerConfig(), PAPER))
        )
        if len(changes) <= len(of_paper):
            return ", ".join(changes)
        return "the paper's" + (f", but {', '.join(of_paper)}" if of_paper else "")

    @property
    def needs_motion(self) -> bool:
        """Whether any setting makes use of more than the cuts that a flow recognises."""
        return self.propagation or SIMILARITIES[self.similarity].needs_motion


def read_config(given: TrackerConfig | None, usual: TrackerConfig | None = None) -> TrackerConfig:
    """What a caller gives, else what is usual; ValueError for what is none, such as a table of settings."""
    refuse_others("a TrackerConfig, such as TrackerConfig(gate=0.2)", TrackerConfig, NoneType, config=given)
    return given or usual or TrackerConfig()


PAPER = TrackerConfig(
    usual_share=0,
    merge="plain",
    age_decay=1,
    newcomer_oks=1,
    forget_after_s=0,
    sizes=False,
    background=False,
)
"""The settings of Xiao et al. 2018, section 3: what was added since is off."""
