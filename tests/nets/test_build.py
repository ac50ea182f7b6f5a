"""From names to networks."""

from __future__ import annotations

import json

import pytest
import torch

from tracker.nets.build import INPUT_SIZES_HW, NETWORKS, build_network, describe_network


@pytest.mark.parametrize("name", INPUT_SIZES_HW)
def test_what_describes_a_network_in_json_builds_it(name: str) -> None:
    network, arguments = describe_network(name, 5)
    kind = NETWORKS[network]
    assert arguments.get("num_keypoints") == (None if kind == "detector" else 5)
    height, width = INPUT_SIZES_HW[name]
    with torch.device("meta"), torch.inference_mode():
        maps = build_network(network, json.loads(json.dumps(arguments))).eval()(torch.zeros(1, 3, height, width))
    first = maps if kind == "pose" else maps[0]
    stride = 8 if kind == "detector" else 4
    assert first.shape[2:] == (height // stride, width // stride)


def test_a_networks_own_arguments_come_last() -> None:
    _, arguments = describe_network("LitePose-S", 5, tags_at_each_scale=True)
    assert (arguments["stem"], arguments["tags_at_each_scale"]) == (16, True)
