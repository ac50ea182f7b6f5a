"""What is shipped: whole, small enough, as the manifest says, and the same for both engines."""

from __future__ import annotations

import json
import sys

import cv2
import numpy as np
import pytest

from tracker.cli import main
from tracker.detection.detector import load_detector, open_network
from tracker.export.pair import MAX_BYTES, TOLERANCE, pair_difference
from tracker.nets.build import NETWORKS as NETWORKS_BY_NAME
from tracker.pose import load_pose_network, load_poses
from tracker.pose.family import FinderSettings
from tracker.pose.grouping import TRACKED_GROUPING
from tracker.runtime import OnnxNetwork
from tracker.weights import MANIFEST, find_default, read_manifest, read_metadata, sha256_of

NETWORKS = [pytest.param(network, id=network.onnx.file) for network in read_manifest()] or [
    pytest.param(None, marks=pytest.mark.skip(reason="no network is shipped yet"))
]


def paths_of(network):
    return [MANIFEST.parent / shipped.file for shipped in (network.onnx, network.safetensors)]


def test_all_of_the_folder_stays_small():
    assert MANIFEST.is_file()
    assert sum(path.stat().st_size for path in MANIFEST.parent.rglob("*") if path.is_file()) <= 36_000_000


def test_no_file_is_there_that_the_manifest_does_not_list():
    listed = {path.name for network in read_manifest() for path in paths_of(network)}
    assert {path.name for path in MANIFEST.parent.iterdir()} == listed | {
        "manifest.toml",
        "catalogue.toml",
        "NOTICE",
        "README.md",
    }


@pytest.mark.parametrize("network", NETWORKS)
def test_files_are_those_of_the_manifest(network):
    for path, shipped in zip(paths_of(network), (network.onnx, network.safetensors), strict=True):
        assert path.stat().st_size == shipped.bytes <= MAX_BYTES
        assert sha256_of(path) == shipped.sha256


@pytest.mark.parametrize("network", NETWORKS)
def test_files_state_what_the_manifest_states(network):
    stated, (on_onnx, on_torch) = network.stated, paths_of(network)
    assert NETWORKS_BY_NAME[stated["network"]] == network.kind
    for metadata in (OnnxNetwork(on_onnx, "cpu").metadata, read_metadata(on_torch)):
        for name in ("network", "color", "skeleton"):
            assert metadata.get(name) == stated.get(name)
        for name in ("arguments", "mean", "std", "input_size"):
            assert json.loads(metadata[name]) == stated[name]


@pytest.mark.parametrize("network", NETWORKS)
def test_the_manifest_tells_where_networks_come_from_and_how_good_they_are(network):
    rest = {name: network.stated[name] for name in ("start", "data", "accuracy")}
    assert set(network.stated) - set(rest) <= {"network", "arguments", "skeleton", "color", "mean", "std", "input_size"}
    assert network.licence
    assert rest["start"]
    assert {frozenset(table) for table in rest["data"]} == {frozenset(("name", "licence"))}
    assert {frozenset(table) for table in rest["accuracy"]} == {frozenset(("measure", "value", "command"))}
    assert all(value != "" for table in (*rest["data"], *rest["accuracy"]) for value in table.values())


@pytest.mark.parametrize("network", NETWORKS)
def test_torch_and_onnx_runtime_agree(network):
    assert pair_difference(paths_of(network)).is_within(TOLERANCE)


@pytest.mark.parametrize("network", NETWORKS)
def test_they_are_found_and_load(network):
    path = find_default(network.kind, "cpu")
    assert path.suffix == ".onnx"
    if network.kind == "pose":
        loaded = load_pose_network(path, "cpu")
        assert loaded.skeleton.name == network.stated["skeleton"]
        assert loaded.input_size_hw == tuple(network.stated["input_size"])
    elif network.kind == "bottom-up":
        finder = load_poses(None, "cpu", bottom_up=True, settings=FinderSettings(TRACKED_GROUPING))
        assert (finder.name, finder.skeleton.name) == (path.name, network.stated["skeleton"])
        assert len(finder.find([np.zeros((64, 96, 3), np.uint8)])[0]) == 0
    else:
        assert open_network(path, "cpu").inputs[0].shape == (None, 3, None, None)
        assert load_detector(path, "cpu").detect([np.zeros((40, 60, 3), np.uint8)])[0].boxes.shape[1] == 4


@pytest.mark.parametrize("method", ["top-down", "bottom-up"])
def test_a_run_needs_no_torch(tmp_path, monkeypatch, method):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("a.png", np.full((64, 96, 3), 128, np.uint8))
    assert main(["track", "--input", "a.png", "--pose", method, "--device", "cpu"]) == 0
    assert (tmp_path / "a_tracked.jsonl").is_file()
