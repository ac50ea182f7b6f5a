"""Grouping: the official numbers, hand-computed cases, and the plain way to compute what is computed a faster way."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import maximum_filter

from tests.vectors import cases, read_json
from tracker.pose.grouping import (
    GroupingConfig,
    Groups,
    Peaks,
    adjust,
    find_tagged_peaks,
    group_along_skeleton,
    group_by_assignment,
    group_keypoints,
    refine,
)
from tracker.skeletons import CROWDPOSE_14


def stated(case):
    return read_json(case.path.with_suffix(".json"))[case.name]


def config_of(params):
    return GroupingConfig(
        max_people=params["max_num_people"],
        detection_threshold=params["detection_threshold"],
        tag_threshold=params["tag_threshold"],
        nms_size=params["nms_kernel"],
        score_in_cost=params["use_detection_val"],
        ignore_surplus=params["ignore_too_much"],
    )


def heights(case, key):
    """Stored heatmaps (K, h, w) with what was added to break ties."""
    maps = case.fixed_point(key, bits=10)
    cells = np.arange(maps[0].size).reshape(maps.shape[1:])
    return maps + (cells % 1024 * 2.0**-20).astype(np.float32)


def rows(groups):
    return np.concatenate([groups.positions, groups.scores[..., None], groups.tags], axis=2)


def assert_official(groups, official):
    """Compare with people as the official code gives them; without any its array has no other axes."""
    official = official.reshape(-1, *rows(groups).shape[1:])
    np.testing.assert_allclose(rows(groups), official, rtol=0, atol=1e-4)


def skip_if_tied(case):
    """Which of several best assignments the official solver takes is its own affair."""
    if not stated(case)["same_result_scipy"]:
        pytest.skip("the best assignment is tied: the official result depends on the solver")


@pytest.mark.vectors_litepose
@pytest.mark.parametrize("case", cases("LP-2_match.npz", r"(case\d+)_"))
def test_assignment_is_the_official_one(case):
    skip_if_tied(case)
    peaks = Peaks(case["_loc_k"], case["_val_k"], case["_tag_k"])
    groups = group_by_assignment(peaks, GroupingConfig(max_people=stated(case)["max_num_people"]))
    assert_official(groups, case["_out"])


@pytest.mark.vectors_litepose
@pytest.mark.parametrize("case", cases("LP-2_parse.npz", r"(case\d+)_"))
def test_peaks_are_the_official_ones(case):
    config = config_of(stated(case)["params"])
    tags = np.moveaxis(case.fixed_point("_tag", bits=6), -1, 0)
    peaks = find_tagged_peaks(heights(case, "_det"), tags, config)
    counts = case["_topk_val_k"] > config.detection_threshold
    np.testing.assert_array_equal(peaks.scores > 0, counts)
    np.testing.assert_array_equal(peaks.scores[counts], case["_topk_val_k"][counts])
    np.testing.assert_array_equal(peaks.positions[counts], case["_topk_loc_k"][counts])
    np.testing.assert_array_equal(peaks.tags[counts], case["_topk_tag_k"][counts])


@pytest.mark.vectors_litepose
@pytest.mark.parametrize("case", cases("LP-2_parse.npz", r"(case\d+)_"))
def test_people_are_the_official_ones(case):
    skip_if_tied(case)
    heatmaps, tags = heights(case, "_det"), np.moveaxis(case.fixed_point("_tag", bits=6), -1, 0)
    config = config_of(stated(case)["params"])
    matched = group_by_assignment(find_tagged_peaks(heatmaps, tags, config), config)
    adjusted = adjust(matched, heatmaps)
    assert_official(matched, case["_match"])
    assert_official(adjusted, case["_adjust"])
    assert_official(adjusted, case["_parse_adj1_ref0"])
    assert_official(refine(adjusted, heatmaps, tags), case["_parse_adj1_ref1"])
    assert_official(matched, case["_parse_adj0_ref0"])
    assert_official(refine(matched, heatmaps, tags), case["_parse_adj0_ref1"])
    np.testing.assert_allclose(adjusted.pose_scores, case["_scores"], rtol=0, atol=1e-6)


def bump(heatmap, x, y, height, width=1.0):
    """Raise the heatmap (h, w) to a Gaussian around (x, y)."""
    rows_, columns = np.indices(heatmap.shape)
    np.maximum(heatmap, height * np.exp(-((columns - x) ** 2 + (rows_ - y) ** 2) / (2 * width**2)), out=heatmap)


def peaks_of(*keypoints, max_people=5):
    """Peaks of each keypoint as (score, tag, …), best first; the n-th of a keypoint lies at x = n, y = keypoint."""
    num_tags = max(len(peak) - 1 for peaks in keypoints for peak in peaks)
    shape = (len(keypoints), max_people)
    peaks = Peaks(
        np.zeros((*shape, 2), np.int64), np.zeros(shape, np.float32), np.zeros((*shape, num_tags), np.float32)
    )
    for keypoint, found in enumerate(keypoints):
        for rank, (score, *tag) in enumerate(found):
            peaks.positions[keypoint, rank] = rank, keypoint
            peaks.scores[keypoint, rank], peaks.tags[keypoint, rank] = score, tag
    return peaks


def members(groups):
    """For each person the rank of its peak per keypoint, None where missing; for peaks as of `peaks_of`."""
    return [
        [int(x) if score > 0 else None for (x, _), score in zip(positions, scores, strict=True)]
        for positions, scores in zip(groups.positions, groups.scores, strict=True)
    ]


def one_person(position, score, num_keypoints=1, tag=0.0):
    """A person with its first keypoint alone."""
    groups = Groups(
        np.zeros((1, num_keypoints, 2), np.float32),
        np.zeros((1, num_keypoints), np.float32),
        np.zeros((1, num_keypoints, 1), np.float32),
    )
    groups.positions[0, 0], groups.scores[0, 0], groups.tags[0, 0] = position, score, tag
    return groups


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"method": "greedy"}, "method must be one of assignment, skeleton", id="unknown method"),
        pytest.param({"max_people": 0}, "max_people must be 1 or more", id="nobody allowed"),
        pytest.param({"nms_size": 4}, "nms_size must be odd", id="even square"),
        pytest.param({"detection_threshold": 1.0}, "detection_threshold must be", id="above every peak"),
        pytest.param({"detection_threshold": -0.1}, "detection_threshold must be", id="below every cell"),
        pytest.param({"tag_threshold": 0.0}, "tag_threshold must be above 0", id="no tag near enough"),
        pytest.param({"least_score": 1.0}, "least_score must be from 0 to below 1", id="above every person"),
        pytest.param({"tag_threshold": float("nan")}, "tag_threshold must be above 0", id="not a number"),
    ],
)
def test_settings_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        GroupingConfig(**changes)


@pytest.mark.parametrize("size", [1, 3, 5, 9])
@pytest.mark.parametrize("steps", [4, 10**6], ids=["many equal cells", "hardly any"])
def test_peaks_are_those_of_a_maximum_filter(size, steps):
    rng = np.random.default_rng(size)
    heatmaps = (rng.integers(0, steps, (3, 21, 34)) / steps).astype(np.float32)
    highest = maximum_filter(heatmaps, size=(1, size, size), mode="constant", cval=-1)
    wanted = [np.argwhere(peaks) for peaks in (heatmaps == highest) & (heatmaps > 0.25)]
    config = GroupingConfig(max_people=21 * 34, detection_threshold=0.25, nms_size=size)
    peaks = find_tagged_peaks(heatmaps, heatmaps[None], config)
    for keypoint in range(3):
        found = peaks.positions[keypoint, peaks.scores[keypoint] > 0]
        assert (np.diff(peaks.scores[keypoint]) <= 0).all()
        assert sorted(map(tuple, found[:, ::-1])) == list(map(tuple, wanted[keypoint]))


@pytest.mark.parametrize(
    ("score_in_cost", "winner"), [(True, 0), (False, 1)], ids=["height decides", "distance decides"]
)
def test_of_peaks_about_equally_near_the_higher_wins(score_in_cost, winner):
    # Both are 0 away when rounded, the lower one is the nearer.
    peaks = peaks_of([(0.9, 0.0)], [(0.8, 0.3), (0.2, 0.1)])
    groups = group_by_assignment(peaks, GroupingConfig(score_in_cost=score_in_cost))
    assert members(groups)[0] == [0, winner]
    assert members(groups)[1] == [None, 1 - winner]


@pytest.mark.parametrize(("ignore", "people"), [(False, 3), (True, 2)], ids=["opens people", "leaves out"])
def test_peaks_beyond_the_largest_number_of_people(ignore, people):
    peaks = peaks_of([(0.9, 0.0), (0.8, 5.0)], [(0.9, 9.0), (0.8, 0.1)])
    assert len(group_by_assignment(peaks, GroupingConfig(max_people=2, ignore_surplus=ignore))) == people


def test_people_of_exactly_one_tag_share_their_place():
    """The published rule: the second peak takes the keypoint's place, and the person lives on."""
    peaks = peaks_of([(0.9, 1.0), (0.8, 1.0)], [(0.7, 1.2)])
    assert members(group_by_assignment(peaks, GroupingConfig())) == [[1, 0]]


def test_skeleton_links_the_nearest_tags_first():
    """A peak with the tag of one that is no neighbour stays alone."""
    peaks = peaks_of([(0.9, 0.0), (0.8, 0.4)], [(0.9, 0.3)], [(0.9, 0.35), (0.8, 0.0)])
    config = GroupingConfig(tag_threshold=0.2)
    assert members(group_along_skeleton(peaks, [(0, 1), (1, 2)], config)) == [
        [0, None, None],
        [1, 0, 0],
        [None, None, 1],
    ]


def test_skeleton_gives_nobody_two_of_a_keypoint():
    """The chains 0–1 and 1–2 would put both of keypoint 0 into one person through the cycle 2–0."""
    peaks = peaks_of([(0.9, 0.0), (0.8, 0.5)], [(0.9, 0.1)], [(0.9, 0.4)])
    groups = group_along_skeleton(peaks, [(0, 1), (1, 2), (2, 0)], GroupingConfig())
    assert members(groups) == [[0, 0, None], [1, None, 0]]


def refine_plainly(groups, heatmaps, tags):
    """Every cell for every missing keypoint of every person."""
    positions, scores = groups.positions.copy(), groups.scores.copy()
    for person, keypoint in np.argwhere(groups.scores == 0):
        mean_tag = groups.tags[person, groups.scores[person] > 0].mean(axis=0)
        distances = np.sqrt(((tags[:, keypoint] - mean_tag[:, None, None]) ** 2).sum(axis=0))
        value = heatmaps[keypoint] - np.round(distances)
        y, x = np.unravel_index(value.argmax(), value.shape)
        height = heatmaps[keypoint, y, x]
        if height > 0:
            single = adjust(one_person((x, y), height), heatmaps[keypoint : keypoint + 1])
            positions[person, keypoint], scores[person, keypoint] = single.positions[0, 0], height
    return positions, scores


@pytest.mark.parametrize("shape", [(40, 33), (64, 64), (5, 7), (16, 100), (1, 1)], ids=str)
@pytest.mark.parametrize("steps", [3, 50], ids=["many ties", "few ties"])
@pytest.mark.parametrize("num_tags", [1, 2])
def test_refine_finds_what_a_full_search_finds(shape, steps, num_tags):
    rng = np.random.default_rng(steps + num_tags)
    heatmaps = (rng.integers(-steps, steps, (4, *shape)) / steps).astype(np.float32)
    tags = (rng.integers(-3 * steps, 3 * steps, (num_tags, 4, *shape)) / steps).astype(np.float32)
    present = rng.random((6, 4)) < 0.5
    present[:, 0] = True
    groups = Groups(
        np.where(present[..., None], 0.5, 0).repeat(2, axis=2).astype(np.float32),
        np.where(present, 0.5, 0).astype(np.float32),
        np.where(present[..., None], rng.integers(-4, 4, (6, 4, num_tags)) / 2, 0).astype(np.float32),
    )
    positions, scores = refine_plainly(groups, heatmaps, tags)
    refined = refine(groups, heatmaps, tags)
    np.testing.assert_array_equal(refined.scores, scores)
    np.testing.assert_array_equal(refined.positions, positions)


ANKLE = CROWDPOSE_14.index("right_ankle")


def crowd(num_people, num_keypoints=14):
    """Maps of people side by side, each with a lower peak and a tag of its own; an ankle of all is weak."""
    heatmaps = np.zeros((num_keypoints, 40, 16 * num_people), np.float32)
    tags = np.zeros((1, num_keypoints, 40, 16 * num_people), np.float32)
    for person in range(num_people):
        left = 16 * person
        tags[..., left : left + 16] = 3 * person
        for keypoint in range(num_keypoints):
            height = 0.05 if keypoint == ANKLE else 0.9 - 0.1 * person
            bump(heatmaps[keypoint, :, left : left + 16], 8, 5 + 2 * keypoint, height)
    return heatmaps, tags


@pytest.mark.parametrize("method", ["assignment", "skeleton"])
def test_a_crowd_comes_best_first_whole_and_scored_before_it_was_filled_in(method):
    heatmaps, tags = crowd(4)
    groups, scores = group_keypoints(heatmaps, tags, CROWDPOSE_14, GroupingConfig(method=method))
    np.testing.assert_allclose(scores, np.array([0.9, 0.8, 0.7, 0.6]) * 13 / 14, rtol=1e-6)
    np.testing.assert_array_equal(np.floor(groups.positions[:, 3, 0]), 8 + 16 * np.arange(4))
    np.testing.assert_allclose(groups.scores[:, ANKLE], 0.05, rtol=1e-6)


@pytest.mark.parametrize("max_people", [1, 3, 9])
def test_there_are_at_most_so_many_people_and_they_are_the_best(max_people):
    groups, scores = group_keypoints(*crowd(5), CROWDPOSE_14, GroupingConfig(max_people=max_people))
    assert len(groups) == len(scores) == min(max_people, 5)
    assert scores[0] == pytest.approx(0.9 * 13 / 14)


@pytest.mark.parametrize(("height", "num_people"), [(0.69, 2), (0.71, 3)])
def test_a_keypoint_split_off_is_no_person_where_a_score_is_demanded(height, num_people):
    """A second nose beside the first person, of another tag: alone it has a fourteenth of its height."""
    heatmaps, tags = crowd(2)
    heatmaps[0, 30, 14] = height
    tags[0, 0, 30, 14] = 20
    assert len(group_keypoints(heatmaps, tags, CROWDPOSE_14, GroupingConfig())[0]) == 3
    groups, scores = group_keypoints(heatmaps, tags, CROWDPOSE_14, GroupingConfig(least_score=0.05))
    assert len(groups) == len(scores) == num_people
    assert (scores >= 0.05).all()


@pytest.mark.parametrize("method", ["assignment", "skeleton"])
def test_nobody_is_found_where_nobody_is(method):
    maps = np.zeros((14, 32, 48), np.float32)
    groups, scores = group_keypoints(maps, maps[None], CROWDPOSE_14, GroupingConfig(method=method))
    assert len(groups) == len(scores) == 0
    assert groups.positions.shape == (0, 14, 2)


def test_hips_are_assigned_before_wrists():
    """In COCO's order 11 comes before 7, so the hip opens the person that the elbow is too far from."""
    found = [[] for _ in range(17)]
    found[0], found[11], found[7] = [(0.9, 0.0)], [(0.9, 0.9)], [(0.9, -0.9)]
    # The elbow at −0.9 is 1.35 from the mean with the hip; the other way round the hip would be.
    groups = group_by_assignment(peaks_of(*found), GroupingConfig())
    assert [int(np.count_nonzero(person)) for person in groups.scores] == [2, 1]
    assert groups.scores[1, 7] > 0
