"""Whom a run is about: who is chosen stays chosen, nobody is one too many, and those outside cost nothing."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.people import poses_of, with_ids
from tracker.errors import InputError
from tracker.scenes.playback import SceneNetworks
from tracker.scenes.rendering import render_scene
from tracker.selection import Choice, Selection, read_only, read_region
from tracker.tracking.config import TrackerConfig
from tracker.types import Frame, TrackedPoses

SIZE_WH = (200, 100)
FORGET_S = 1.0
# id -> box of somebody in a frame
People = dict[int, Sequence[float]]
SMALL, LARGE, MIDDLE = (0, 40, 20, 80), (150, 10, 190, 95), (85, 20, 110, 80)


def tracked(people: People) -> TrackedPoses:
    boxes = np.reshape([*people.values()], (-1, 4))
    return with_ids(poses_of(np.zeros((len(people), 17, 2)), boxes=boxes), [*people])


def picked(selection: Selection, frames: Sequence[People], step_s: float = 0.1, cuts: Sequence[int] = ()) -> list[Any]:
    """Ids and boxes of those who come out of each frame."""
    choice = Choice(selection, FORGET_S)

    def seen() -> Generator[tuple[Frame, TrackedPoses]]:
        for index, people in enumerate(frames):
            everybody = tracked(people)
            choice.follow(everybody, is_cut=index in cuts)
            yield Frame(index, index * step_s, np.zeros((*SIZE_WH[::-1], 3), np.uint8)), everybody

    return [{person.track_id: tuple(map(int, person.box)) for person in people} for _, people in choice.pick(seen())]


@pytest.mark.parametrize(
    ("only", "chosen"),
    [("largest", 2), ("centre", 3), (1, 1), ((0.05, 0.6), 1), ((170.0, 50.0), 2), ((0.4, 0.1), None), (7, None)],
)
def test_one_person_is_chosen_and_stays_chosen(only: Any, chosen: int | None) -> None:
    first = {1: SMALL, 2: LARGE, 3: MIDDLE}
    # everybody else grows, and comes to the middle
    later = dict.fromkeys(first, (0, 0, 200, 100)) | ({chosen: first[chosen]} if chosen else {})
    ids = [list(people) for people in picked(Selection(only=only), [first, later])]
    assert ids[0] == ([chosen] if chosen else [])
    assert ids[1] == ([chosen] if chosen else [1] if isinstance(only, tuple) else [])


def test_the_point_waits_for_somebody_to_stand_there() -> None:
    frames: list[People] = [{1: SMALL}, {1: SMALL, 2: LARGE}, {1: LARGE, 2: MIDDLE}]
    assert [list(people) for people in picked(Selection(only=(0.85, 0.5)), frames)] == [[], [2], [2]]


def test_who_alone_is_followed_is_waited_for_until_forgotten_or_cut_off() -> None:
    gone: list[People] = [{1: LARGE, 2: SMALL}, *[{2: SMALL}] * 12]
    assert [len(people) for people in picked(Selection(only="largest"), gone)] == [1] + 10 * [0] + 2 * [1]
    assert not any(picked(Selection(only=1), gone)[1:])  # a number means nobody else
    cut: list[People] = [{1: LARGE}, {2: SMALL, 3: MIDDLE}]
    assert [list(people) for people in picked(Selection(only="largest"), cut, cuts=[1])] == [[1], [3]]


def test_there_are_no_more_ids_than_people() -> None:
    near_small = (5, 42, 25, 82)
    frames: list[People] = [
        {7: SMALL, 8: MIDDLE, 9: LARGE},  # the larger two come first
        {7: SMALL, 9: LARGE},  # the one in the middle is lost: somebody small takes the seat
        {8: MIDDLE, 9: LARGE},
        {10: near_small},  # both are lost: the seat of the one who is more alike
        {11: LARGE, 12: near_small},
    ]
    assert picked(Selection(people=2), frames) == [
        {1: LARGE, 2: MIDDLE},
        {1: LARGE, 2: SMALL},
        {1: LARGE, 2: MIDDLE},
        {2: near_small},
        {1: LARGE, 2: near_small},
    ]


@pytest.mark.parametrize(
    ("region", "inside"),
    [
        ((0, 0, 1, 1), [True, True, True]),
        ((0.5, 1, 0, 0), [True, False, False]),  # corners in whatever order
        ((100, 90, 200, 100), [False, False, True]),
        ((1, 0, 1, 1, 0, 1), [False, True, True]),  # below a slope
    ],
)
def test_people_stand_where_their_feet_are(region: tuple[float, ...], inside: list[bool]) -> None:
    # the last one's feet are below the picture
    boxes = np.array([SMALL, (100, 20, 104, 60), (150, 50, 199, 140)], np.float32)
    assert Selection(region=region).stand_inside(boxes, SIZE_WH).tolist() == inside


def test_who_trembles_on_the_edge_of_a_region_stays() -> None:
    choice = Choice(Selection(region=(0, 0, 0.5, 1)), FORGET_S)
    inside = []
    for middle in (97, 102, 98, 103, 130, 103):  # the edge is at 100; boxes are 40 wide
        people = tracked({1: (middle - 20, 10, middle + 20, 90)})
        inside.append(bool(choice.to_look_at(people.poses.boxes, SIZE_WH)[0]))
        choice.follow(tracked({1: people.poses.boxes[0]} if inside[-1] else {}), is_cut=False)
    assert inside == [True, True, True, True, False, False]


def test_pixels_outside_the_picture_are_told() -> None:
    for selection in (Selection(region=(300, 10, 400, 50)), Selection(only=(50.0, 120.0))):
        with pytest.raises(InputError, match="outside the 200 by 100 pixels"):
            selection.check(SIZE_WH)
    Selection(region=(0.5, 0, 1, 1), only="largest").check(SIZE_WH)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        *((read_only, text) for text in ("0", "biggest", "1,2,3", "-1,2", "nan,1")),
        *(
            (read_region, text)
            for text in ("1,2", "0,0,1", "0,0,0,1", "0,0,1,1,2,2", "a,b,c,d", "0,0,inf,1", "-1,0,1,1")
        ),
        *((read_region, given) for given in (7, [(0, 0), (1,)], [(0, 0, 1), (1, 1, 0)], ["a", "b"], ())),
        (read_only, (0.5,)),
    ],
)
def test_what_makes_no_sense_is_refused(read: Any, text: str) -> None:
    with pytest.raises(ValueError, match=r"only must|region|no list"):
        read(text)


@pytest.mark.parametrize(
    ("read", "text", "reason"),
    [
        (read_region, "0.1,0.1,400,300", "mixes shares of the picture and pixels"),
        (read_only, "0.5,300", "mixes shares of the picture and pixels"),
        (read_region, "0.1,0.1,0.9,0.9,0.9,0.1,0.1,0.9", "crosses itself"),
        (read_region, "0.1,0.1,0.2,0.2,0.3,0.3,0.7,0.7", "has no area"),
    ],
)
def test_the_reason_why_it_makes_no_sense_is_told(read: Any, text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read(text)


@pytest.mark.parametrize(
    ("given", "region", "words"),
    [
        ([(0, 0), (1, 0), (0.5, 1)], (0, 0, 1, 0, 0.5, 1), "0,0,1,0,0.5,1 (shares of the picture)"),
        (np.array([[0, 0], [50, 64]]), (0, 0, 50, 64), "0,0,50,64 (pixels)"),
        ("0,0,1,2", (0, 0, 1, 2), "0,0,1,2 (pixels)"),
        ([0, 0, 1, 1], (0, 0, 1, 1), "0,0,1,1 (shares of the picture)"),
    ],
)
def test_a_region_is_given_in_many_ways(given: Any, region: tuple[float, ...], words: str) -> None:
    assert read_region(given) == region
    assert Selection(region=read_region(given)).describe() == f"who stand in {words}"


@pytest.mark.parametrize(
    ("selection", "ids", "share"),
    [
        (Selection(only=1), {1}, 0.8),
        (Selection(region=(0, 0, 0.5, 1)), None, 0.7),
        (Selection(people=2), {1, 2}, 1.0),
    ],
)
def test_who_is_not_meant_is_hardly_looked_at(selection: Selection, ids: set[int] | None, share: float) -> None:
    def estimated(selection: Selection) -> tuple[int, set[int]]:
        networks = SceneNetworks()
        pipeline = replace(networks.pipeline("dis", TrackerConfig()), selection=selection)
        scene = networks.watch(render_scene("crossing", (320, 180), 24))
        found = {i for _, people in pipeline.run(scene) for i in people.track_ids.tolist()}
        return pipeline.times.counts["estimated"], found

    everybody, some = estimated(Selection()), estimated(selection)
    assert some[0] <= share * everybody[0]
    assert ids in (None, some[1])
