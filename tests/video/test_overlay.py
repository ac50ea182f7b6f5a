from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.people import poses_of, with_ids
from tracker.skeletons import COCO_17, HAND_21, SKELETONS, WHOLEBODY_133, Skeleton
from tracker.types import Image, Origin, Poses, TrackedPoses
from tracker.video.overlay import PARTS, OverlayRenderer, draw_status, id_color

LEFT_ARM, RIGHT_ARM = ("left_elbow", "left_wrist"), ("right_elbow", "right_wrist")


def plain(width: int = 640, height: int = 360, grey: int = 120) -> Image:
    return np.full((height, width, 3), grey, np.uint8)


def person(
    x: float = 300,
    y: float = 80,
    size: float = 200,
    *,
    track_id: int = 1,
    confirmed: bool = True,
    origin: Origin = Origin.DETECTED,
    skeleton: Skeleton = COCO_17,
    **scores: float,
) -> TrackedPoses:
    """One person in a square box, the keypoints on a circle in it: every edge has its own place."""
    angles = np.arange(skeleton.num_keypoints) / skeleton.num_keypoints * 2 * np.pi
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1) * 0.45 * size + size / 2
    keypoints = (circle + np.array([x, y]))[np.newaxis]
    all_scores = np.ones((1, skeleton.num_keypoints), np.float32)
    for name, score in scores.items():
        all_scores[0, skeleton.index(name)] = score
    poses = poses_of(keypoints, scores=all_scores, boxes=[x, y, x + size, y + size], origin=origin)
    return with_ids(poses, [track_id], confirmed=confirmed)


def middle(people: TrackedPoses, ends: tuple[str, str]) -> tuple[int, int]:
    """Row and column of the middle of an edge."""
    first, second = (people.poses.keypoints[0, COCO_17.index(name)] for name in ends)
    x, y = np.rint((first + second) / 2).astype(int).tolist()
    return y, x


def draw(people: TrackedPoses, image: Image | None = None, **options: Any) -> Image:
    renderer = OverlayRenderer(COCO_17, **options)
    return renderer.draw(plain() if image is None else image, people, time_s=0)


def changed(picture: Image, image: Image | None = None) -> Any:
    return (picture != (plain() if image is None else image)).any(axis=2)


def count_color(picture: Image, color: tuple[float, ...]) -> int:
    return int((np.abs(picture - np.array(color)).max(axis=2) < 2).sum())


def test_the_picture_handed_in_stays_as_it_is() -> None:
    image = plain()
    picture = draw(person(), image)
    np.testing.assert_array_equal(image, plain())
    assert (picture.shape, picture.dtype) == (image.shape, image.dtype)
    assert changed(picture).any()


def test_in_place_the_same_is_drawn_on_the_picture_itself() -> None:
    image = plain()
    assert OverlayRenderer(COCO_17).draw(image, person(), time_s=0, in_place=True) is image
    np.testing.assert_array_equal(image, draw(person()))


def test_nobody_leaves_the_picture_as_it_is() -> None:
    assert not changed(draw(TrackedPoses.empty(17))).any()


def test_the_status_line_says_how_fast_and_of_a_live_source_how_late_it_is() -> None:
    lengths = list[int]()
    for delays_ms in (None, (8, 9), (1234, 5678)):
        picture = plain()
        draw_status(picture, 2, 25.0, delays_ms)
        touched = changed(picture)
        assert not touched[40:].any()
        lengths.append(np.flatnonzero(touched.any(axis=0)).max())
    assert np.diff(lengths).min() > 10


def test_parts_are_drawn_alone_and_together() -> None:
    def parts(*names: str) -> Any:
        renderer = OverlayRenderer(COCO_17, draw=names)
        for step in range(3):
            picture = renderer.draw(plain(), person(200 + 60 * step, 100, 200), time_s=step / 25)
        return changed(picture)

    every = parts(*PARTS)
    alone = [parts(name) for name in PARTS]
    assert not parts().any()
    assert all(part.any() for part in alone)
    assert max(part.sum() for part in alone) < every.sum()
    np.testing.assert_array_equal(np.logical_or.reduce(alone), every)


@pytest.mark.parametrize("draw", ["boxes", ["skeletons"]])
def test_parts_that_there_are_not_are_refused(draw: Any) -> None:
    with pytest.raises(ValueError, match=r"draw must be a list of some of boxes, ids, trails, skeleton, not"):
        OverlayRenderer("coco17", draw=draw)


def test_lines_are_as_wide_as_wished() -> None:
    people = person()
    x, y = middle(people, LEFT_ARM)[::-1]
    thin, thick = (changed(draw(people, line_width=width))[y, x - 40 : x + 40].sum() for width in (2, 12))
    assert thick >= thin + 8


@pytest.mark.parametrize(
    ("confirmed", "show_unconfirmed", "is_drawn"),
    [(True, False, True), (False, False, False), (False, True, True), (True, True, True)],
)
def test_unconfirmed_people_are_hidden_unless_asked_for(
    confirmed: bool, show_unconfirmed: bool, is_drawn: bool
) -> None:
    picture = draw(person(confirmed=confirmed), show_unconfirmed=show_unconfirmed)
    assert changed(picture)[60:].any() == is_drawn


def test_who_is_cut_off_is_drawn_with_a_question_mark() -> None:
    cut_off = replace(person(confirmed=False), cut_off=np.array([True]))
    np.testing.assert_array_equal(draw(cut_off), draw(person(confirmed=False), show_unconfirmed=True))


# --- skeleton


def test_left_is_blue_and_right_is_orange() -> None:
    people = person()
    picture = draw(people)
    blue, _, red = picture[middle(people, LEFT_ARM)].tolist()
    assert blue > red + 100
    blue, _, red = picture[middle(people, RIGHT_ARM)].tolist()
    assert red > blue + 100
    assert np.ptp(picture[middle(people, ("left_shoulder", "right_shoulder"))]) == 0, "the middle is white"


@pytest.mark.parametrize(
    ("score", "is_drawn"),
    [(0.41, True), (0.4, True), (0.39, False), (0.0, False)],  # equality counts as seen
)
def test_edges_need_both_keypoints(score: float, is_drawn: bool) -> None:
    people = person(left_wrist=score)
    assert changed(draw(people))[middle(people, LEFT_ARM)] == is_drawn
    assert changed(draw(people))[middle(people, RIGHT_ARM)]


def test_a_weak_keypoint_leaves_no_dot() -> None:
    weak, missing = (draw(person(left_wrist=score)) for score in (0.39, 0.0))
    np.testing.assert_array_equal(weak, missing)


@pytest.mark.parametrize("threshold", [0.4, 0.0])
def test_missing_keypoints_are_not_drawn(threshold: float) -> None:
    people = person()
    people.poses.keypoints[0] = np.nan
    people.poses.scores[0] = 0
    picture = draw(people, keypoint_threshold=threshold)
    assert not changed(picture)[100:270, 320:480].any(), "nothing inside the box"
    assert changed(picture)[80, 400], "the box"


# --- box and tag


def test_every_id_colour_carries_dark_text() -> None:
    for track_id in range(1, 200):
        blue, green, red = id_color(track_id)
        assert 110 < 0.114 * blue + 0.587 * green + 0.299 * red < 190


@pytest.mark.parametrize("origin", [Origin.PROPAGATED, Origin.CARRIED])
def test_a_box_is_dashed_once_its_person_was_not_detected_for_half_a_second(origin: Origin) -> None:
    def share_of_top_edge(origin: Origin, time_s: float) -> float:
        edge = overlay.draw(plain(), person(origin=origin), time_s=time_s)[80:81, 330:490]
        return count_color(edge, id_color(1)) / edge.shape[1]

    overlay = OverlayRenderer(COCO_17, trail_s=0)
    assert 0.4 < share_of_top_edge(origin, 0) < 0.7  # never detected
    assert share_of_top_edge(Origin.DETECTED, 0.1) == 1
    assert share_of_top_edge(origin, 0.6) == 1
    assert 0.4 < share_of_top_edge(origin, 0.7) < 0.7


@pytest.mark.parametrize(
    ("x", "y"),
    [(-150, -150), (600, -150), (-150, 330), (600, 330), (639, 359), (200, -5)],
)
def test_the_tag_is_inside_the_picture(x: float, y: float) -> None:
    people = person(x, y, track_id=1234)
    people.poses.scores[:] = 0
    elsewhere = person(200, 150, size=1, track_id=1234)
    elsewhere.poses.scores[:] = 0
    tag = count_color(draw(elsewhere), id_color(1234))
    assert tag > 200
    assert count_color(draw(people), id_color(1234)) > 0.9 * tag


@pytest.mark.parametrize("origin", Origin)
@pytest.mark.parametrize("far", [-1e30, -1e10, -1e4, 1e4, 1e10, 1e30])
def test_people_outside_the_picture_do_no_harm(far: float, origin: Origin) -> None:
    people = person(origin=origin)
    people.poses.keypoints[0, 0] = far
    people.poses.boxes[0, 2:] = max(far, 310)
    assert changed(draw(people))[80:280, 300:500].any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", range(4))
def test_a_person_whose_box_is_not_finite_is_left_out(value: float, side: int) -> None:
    people = person()
    people.poses.boxes[0, side] = value
    np.testing.assert_array_equal(draw(people), draw(TrackedPoses.empty(17)))


# --- trails


def walk(renderer: OverlayRenderer, *steps: tuple[float, float]) -> Image:
    """The last picture of a walk given as (time, x of the box)."""
    for time_s, x in steps:
        picture = renderer.draw(plain(), person(x, 80, 100), time_s=time_s)
    return picture


def hips_y() -> int:
    return round(float(person(0, 80, 100).poses.keypoints[0, [11, 12], 1].mean()))


def test_a_trail_shows_the_last_second() -> None:
    steps = [(n / 10, 100 + 20.0 * n) for n in range(21)]
    row = changed(walk(OverlayRenderer(COCO_17), *steps))[hips_y() - 3 : hips_y() + 4].any(axis=0)
    end = round(500 + float(person(0, 80, 100).poses.keypoints[0, [11, 12], 0].mean()))
    assert row[end - 195 : end].all(), "ten steps of 20 pixels"
    assert not row[: end - 206].any()


@pytest.mark.parametrize(
    ("step", "originals", "is_broken"),
    [
        pytest.param(30, (1, 1), False, id="a run"),
        pytest.param(130, (1, 1), True, id="farther than a body in a frame"),
        pytest.param(60, (1, 1), False, id="a jump of one person"),
        pytest.param(60, (1, 2), True, id="somebody else"),
        pytest.param(15, (1, 2), False, id="the same, whom the tracker gave another id"),
        pytest.param(60, (1, -1), False, id="filled in"),
    ],
)
def test_a_trail_ends_where_its_id_goes_to_somebody_else(
    step: float, originals: tuple[int, int], is_broken: bool
) -> None:
    overlay = OverlayRenderer(COCO_17, draw=["trails"])
    steps = ((0.0, 100.0, originals[0]), (0.1, 120.0, originals[0]), (0.2, 120 + step, originals[1]))
    for time_s, x, original in steps:
        people = replace(person(x, 80, 100), original_ids=np.array([original]))
        picture = overlay.draw(plain(), people, time_s=time_s)
    assert changed(picture).any() != is_broken


@pytest.mark.parametrize(("size", "is_short"), [(80, True), (110, True), (400, False)])
def test_a_long_name_keeps_to_its_box(size: float, is_short: bool) -> None:
    def width(name: str) -> int:
        picture = draw(person(100, 80, size), draw=["ids"], names={1: name})
        return int(changed(picture).any(axis=0).sum())

    long, longer = width("Maximiliane Schmidt"), width("Maximiliane Schmidtberger")
    assert long <= size + 2
    assert (long == longer) == is_short
    assert width("Max") < width("Maxim")


def test_who_stands_still_leaves_no_trail() -> None:
    shaken = [(n / 25, 300 + 2.0 * (-1) ** n) for n in range(26)]
    np.testing.assert_array_equal(walk(OverlayRenderer(COCO_17), *shaken), walk(OverlayRenderer(COCO_17), shaken[-1]))


def test_going_back_in_time_starts_trails_anew() -> None:
    again = walk(OverlayRenderer(COCO_17), (5.0, 100), (5.1, 200), (0.0, 500))
    np.testing.assert_array_equal(again, walk(OverlayRenderer(COCO_17), (0.0, 500)))


# --- sizes


@pytest.mark.parametrize(
    ("width", "height"),
    [(320, 180), (640, 360), (1280, 720), (720, 1280), (3840, 2160)],
)
def test_lines_and_text_grow_with_the_picture(width: int, height: int) -> None:
    image = plain(width, height)
    side = min(width, height)
    share = changed(draw(person(0.3 * side, 0.3 * side, 0.6 * side), image), image).mean()
    share *= width * height / side**2
    assert 0.03 < share < 0.25


@pytest.mark.parametrize("size_wh", [(1, 1), (8, 8), (30, 200)])
def test_tiny_pictures_can_be_drawn_on(size_wh: tuple[int, int]) -> None:
    assert draw(person(0, 0, 8), plain(*size_wh)).shape == (size_wh[1], size_wh[0], 3)


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda skeleton: skeleton.name)
def test_every_skeleton_is_drawn_with_a_trail(skeleton: Skeleton) -> None:
    renderer = OverlayRenderer(skeleton)
    for step in range(3):
        picture = renderer.draw(plain(), person(x=40 + 150 * step, skeleton=skeleton), time_s=step / 25)
    assert changed(picture)[:, 100:330].any(axis=0).sum() > 100


def num_drawn(skeleton: Skeleton, *names: str) -> int:
    """How many pixels keypoints change that are there alone."""
    nothing = dict.fromkeys(skeleton.keypoint_names, 0.0)
    one, none = (
        OverlayRenderer(skeleton).draw(plain(), person(skeleton=skeleton, **scores), time_s=0)
        for scores in (nothing | dict.fromkeys(names, 1.0), nothing)
    )
    return int((one != none).any(axis=2).sum())


def test_faces_hands_and_feet_of_a_body_are_thin_and_a_hand_alone_is_not() -> None:
    pairs = [
        ("left_elbow", "left_wrist"),
        ("nose", "left_eye"),
        ("face-30", "face-31"),
        ("left_thumb4", "left_thumb3"),
        ("left_big_toe", "left_small_toe"),
    ]
    arm, nose, *fine = (num_drawn(WHOLEBODY_133, *pair) for pair in pairs)
    assert max(fine) <= arm / 2
    assert nose < 0.7 * arm  # so that faces can be seen
    assert num_drawn(HAND_21, "thumb4", "thumb3") > 1.5 * fine[1]


@pytest.mark.parametrize(
    ("names", "is_drawn"),
    [(["left_wrist"], False), (["left_wrist", "left_elbow"], True), (["left_wrist", "nose"], False)],
)
def test_no_dot_of_a_body_is_left_alone(names: list[str], is_drawn: bool) -> None:
    assert bool(num_drawn(COCO_17, *names)) == is_drawn


def test_tags_do_not_cover_one_another() -> None:
    pairs = [person(100, 100, 150, track_id=1), person(103, 98, 149, track_id=2)]
    poses = Poses.join([people.poses for people in pairs])
    both = with_ids(poses, [1, 2])
    picture = OverlayRenderer(COCO_17, draw=["ids"]).draw(plain(), both, time_s=0)
    alone = [OverlayRenderer(COCO_17, draw=["ids"]).draw(plain(), people, time_s=0) for people in pairs]
    assert changed(picture).sum() == sum(changed(each).sum() for each in alone)


@pytest.mark.parametrize(("size", "is_seen"), [(200, True), (40, False)])
def test_of_small_people_only_some_dots_of_a_face_are_drawn(size: float, is_seen: bool) -> None:
    whole, without = (
        OverlayRenderer(WHOLEBODY_133).draw(plain(), person(size=size, skeleton=WHOLEBODY_133, **scores), time_s=0)
        for scores in ({}, {"face-1": 0.0})
    )
    assert (whole != without).any() == is_seen


def test_a_doubtful_keypoint_of_a_face_is_left_out() -> None:
    doubtful = dict.fromkeys((name for name in WHOLEBODY_133.keypoint_names if "face" in name), 0.1)
    nothing = dict.fromkeys(doubtful, 0.0)
    pictures = [
        OverlayRenderer(WHOLEBODY_133).draw(plain(), person(skeleton=WHOLEBODY_133, **scores), time_s=0)
        for scores in (doubtful, nothing)
    ]
    np.testing.assert_array_equal(*pictures)


# --- what was touched


def random_people(rng: np.random.Generator, skeleton: Skeleton, size_wh: tuple[int, int]) -> TrackedPoses:
    """Up to six people of any size, in and around a picture of that size."""
    num = int(rng.integers(1, 7))
    corners = rng.uniform(-0.4, 1.2, (num, 2)) * size_wh
    boxes = np.concatenate([corners, corners + rng.uniform(0.01, 0.9, (num, 2)) * size_wh], axis=1).astype(np.float32)
    places = rng.normal(0.5, 0.5, (num, skeleton.num_keypoints, 2))
    keypoints = boxes[:, None, :2] + places * (boxes[:, None, 2:] - boxes[:, None, :2])
    scores = rng.uniform(0, 1, (num, skeleton.num_keypoints))
    poses = poses_of(keypoints, scores=scores, boxes=boxes, origin=rng.integers(0, 3, num))
    return with_ids(poses, rng.permutation(9)[:num], confirmed=rng.random(num) < 0.8)


def moved(people: TrackedPoses, by: np.ndarray[Any, Any]) -> TrackedPoses:
    poses = people.poses
    keypoints, boxes = poses.keypoints + np.float32(by), poses.boxes + np.float32(np.tile(by, 2))
    return replace(people, poses=replace(poses, keypoints=keypoints, boxes=boxes))


@pytest.mark.parametrize("line_width", [None, 1, 40])
@pytest.mark.parametrize("skeleton", [COCO_17, WHOLEBODY_133], ids=["17", "133"])
@pytest.mark.parametrize("size_wh", [(640, 360), (61, 97)])
def test_outside_of_what_is_touched_the_picture_is_as_it_was(
    size_wh: tuple[int, int], skeleton: Skeleton, line_width: int | None
) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (*size_wh[::-1], 3), np.uint8)
    names = {0: "Zoë Gypsy-Jones, Queen of the Quays", 1: "jj", 2: "Q"}
    for draw in (PARTS, ("skeleton",), ("ids",), ("trails", "boxes")):
        overlay = OverlayRenderer(skeleton, show_unconfirmed=True, line_width=line_width, names=names, draw=draw)
        for step in range(8):
            if step % 4 == 0:
                people = random_people(rng, skeleton, size_wh)
            picture = overlay.draw(image, people := moved(people, rng.normal(0, 0.1, 2) * size_wh), time_s=step / 5)
            differs = (picture != image).any(axis=2)
            assert overlay.touched is not None
            for x1, y1, x2, y2 in overlay.touched:
                assert 0 <= x1 <= x2 <= size_wh[0]
                assert 0 <= y1 <= y2 <= size_wh[1]
                differs[y1:y2, x1:x2] = False
            assert not differs.any()


def test_what_is_touched_is_of_the_last_picture_and_not_all_of_it() -> None:
    overlay = OverlayRenderer(COCO_17)
    overlay.draw(plain(), person(300, 80, 200), time_s=0)
    assert overlay.touched
    assert max((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in overlay.touched) < 230 * 230
    overlay.draw(plain(), TrackedPoses.empty(17), time_s=0.04)
    assert overlay.touched == []


def test_with_blurred_faces_anything_may_be_touched() -> None:
    overlay = OverlayRenderer(COCO_17, blur_faces=True)
    overlay.draw(plain(), person(), time_s=0)
    assert overlay.touched is None
