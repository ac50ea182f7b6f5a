"""Bottom-up networks from files: published checkpoints, files of ours, what they leave unsaid, what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.onnx_graphs import write_constant_graph
from tests.trained import BOTTOM_UP, BOTTOM_UP_MOBILENET, DETECTOR, POSE, like_trained, write_weights
from tracker.errors import ModelError
from tracker.export import export_network
from tracker.nets.litepose import LITEPOSE_SIZES, LitePose, LitePoseConfig
from tracker.pose.bottom_up_networks import OutputMaps, load_bottom_up_network, load_litepose
from tracker.pose.networks import Normalization
from tracker.runtime import TensorInfo
from tracker.skeletons import BODY_19, COCO_17, CROWDPOSE_14

SMALL = LitePoseConfig(8, (8, 8, 16), (16, 8), num_blocks=(2, 1, 2), expansion=2, kernel=5)


def pictures(n=2, size_hw=(64, 128)):
    return np.random.default_rng(0).integers(0, 256, (n, *size_hw, 3), np.uint8)


def save(path, model, prefix="module."):
    """A checkpoint as its authors' training leaves it, in DataParallel."""
    torch.save({f"{prefix}{name}": value for name, value in model.state_dict().items()}, path)
    return path


def refusal(path):
    with pytest.raises(ModelError) as error:
        load_bottom_up_network(path, "cpu")
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize(
    ("num_keypoints", "config"),
    [
        pytest.param(14, SMALL, id="CrowdPose"),
        pytest.param(17, replace(SMALL, tags_at_each_scale=True), id="COCO, tags at each scale"),
        pytest.param(17, replace(SMALL, num_outputs=1), id="one output"),
    ],
)
def test_the_widths_of_a_checkpoint_are_read_off_its_weights(tmp_path, num_keypoints, config, prefix):
    model = like_trained(LitePose(num_keypoints, config))
    loaded = load_litepose(save(tmp_path / "a.pth.tar", model, prefix))
    assert (loaded.num_keypoints, loaded.config, loaded.training) == (num_keypoints, config, False)
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())


def test_a_checkpoint_gives_what_its_network_gave_of_rgb(tmp_path):
    model = like_trained(LitePose(14, SMALL))
    network = load_bottom_up_network(save(tmp_path / "a.pth", model), "cpu")
    with torch.inference_mode():
        coarse, fine = model(torch.from_numpy(Normalization("rgb").apply(pictures())))
    given = network.maps(pictures())
    expected = [(coarse[:, :14], coarse[:, 14:]), (fine, None)]
    for maps, (heatmaps, tags) in zip(given, expected, strict=True):
        assert maps.heatmaps.dtype == np.float32
        np.testing.assert_allclose(maps.heatmaps, heatmaps, rtol=0, atol=1e-4 * heatmaps.abs().max())
        assert (maps.tags is None) == (tags is None)
        if tags is not None:
            np.testing.assert_allclose(maps.tags, tags, rtol=0, atol=1e-4 * tags.abs().max())


@pytest.mark.parametrize(
    ("num_keypoints", "config", "stated", "skeleton", "input_size"),
    [
        pytest.param(14, SMALL, None, CROWDPOSE_14, 512, id="14 keypoints: CrowdPose"),
        pytest.param(17, LITEPOSE_SIZES["XS"], None, COCO_17, 256, id="17: COCO; XS: 256"),
        pytest.param(17, SMALL, "input_size = [320, 448]", COCO_17, 320, id="a size beside it, its short side"),
        pytest.param(19, SMALL, 'skeleton = "body19"', BODY_19, 512, id="a skeleton beside it"),
    ],
)
def test_what_a_checkpoint_leaves_open(tmp_path, num_keypoints, config, stated, skeleton, input_size):
    path = save(tmp_path / "a.pth", LitePose(num_keypoints, config))
    if stated:
        (tmp_path / "a.toml").write_text(stated)
    network = load_bottom_up_network(path, "cpu")
    assert (network.name, network.skeleton, network.input_size, network.note) == ("a.pth", skeleton, input_size, None)
    assert network.engine.startswith("torch")


def test_our_files_agree_on_both_engines(tmp_path):
    files = export_network([write_weights(tmp_path / "weights.safetensors", BOTTOM_UP)], tmp_path / "small")
    on_onnx, on_torch = (load_bottom_up_network(path, "cpu") for path in files)
    assert on_onnx.engine.startswith("ONNX Runtime")
    assert (on_onnx.name, on_onnx.skeleton, on_onnx.input_size) == ("small.onnx", CROWDPOSE_14, 64)
    assert (on_torch.skeleton, on_torch.input_size) == (CROWDPOSE_14, 64)
    # As large as they were not exported with.
    given, expected = on_onnx.maps(pictures(3, (128, 192))), on_torch.maps(pictures(3, (128, 192)))
    assert [maps.heatmaps.shape for maps in given] == [(3, 14, 32, 48), (3, 14, 64, 96)]
    for ours, theirs in zip(given, expected, strict=True):
        np.testing.assert_allclose(ours.heatmaps, theirs.heatmaps, atol=2e-3 * np.abs(theirs.heatmaps).max())
        assert (ours.tags is None) == (theirs.tags is None)
    np.testing.assert_allclose(given[0].tags, expected[0].tags, atol=2e-3 * np.abs(expected[0].tags).max())


def test_a_bottom_up_mobilenet_agrees_with_itself_on_both_engines(tmp_path):
    files = export_network([write_weights(tmp_path / "weights.safetensors", BOTTOM_UP_MOBILENET)], tmp_path / "small")
    (given,), (expected,) = (load_bottom_up_network(path, "cpu").maps(pictures(2, (128, 192))) for path in files)
    assert (given.heatmaps.shape, given.tags.shape) == ((2, 14, 32, 48), (2, 28, 32, 48))
    np.testing.assert_allclose(given.heatmaps, expected.heatmaps, atol=2e-3)
    # Between two people a cell may go to either.
    assert np.mean(np.abs(given.tags - expected.tags) > 0.01) < 1e-3


def test_tag_values_are_parts_of_the_tags():
    heatmaps, tags = np.zeros((2, 3, 4, 5), np.float32), np.random.default_rng(0).random((2, 6, 4, 5), np.float32)
    first, second = OutputMaps(heatmaps, tags).tag_values()
    np.testing.assert_array_equal(np.concatenate([first, second], axis=1), tags)
    assert OutputMaps(heatmaps, None).tag_values() == []


def test_color_mean_and_std_of_our_files_are_used(tmp_path):
    path = write_weights(tmp_path / "a.safetensors", BOTTOM_UP)
    before = load_bottom_up_network(path, "cpu").maps(pictures())[0].heatmaps
    save_file(load_file(path), path, BOTTOM_UP | {"color": "bgr"})
    flipped = load_bottom_up_network(path, "cpu").maps(pictures()[..., ::-1])[0].heatmaps
    np.testing.assert_allclose(flipped, before, atol=1e-5 * np.abs(before).max())


@pytest.mark.parametrize(
    ("name", "write", "words"),
    [
        pytest.param("a.txt", lambda path: path.write_text("a"), "files ending in .onnx, .pth.tar", id="suffix"),
        pytest.param("a.pth", lambda path: None, "there is no network file", id="missing"),
        pytest.param("a.onnx", lambda path: None, "there is no network file", id="missing graph"),
        pytest.param(
            "a.pth", lambda path: torch.save({"conv1.weight": torch.zeros(1)}, path),
            "holds no LitePose (it begins with conv1.weight)", id="weights of another network",
        ),
        pytest.param("a.pth", lambda path: save(path, LitePose(5, SMALL)), "has 5 keypoints and is not", id="skeleton"),
        pytest.param(
            "a.safetensors", lambda path: write_weights(path, POSE), "states PoseLiteHRNet in its metadata, but "
            "must be LitePose", id="a top-down network",
        ),
        pytest.param(
            "a.safetensors", lambda path: write_weights(path, DETECTOR), "states RTMDetNano", id="a detector",
        ),
        pytest.param(
            "a.safetensors", lambda path: write_weights(path, BOTTOM_UP, skeleton="coco17"), "has 14 keypoints",
            id="another skeleton",
        ),
        pytest.param(
            "a.safetensors", lambda path: write_weights(path, BOTTOM_UP, mean="[1]"), "mean", id="one mean",
        ),
        pytest.param(
            "a.onnx",
            lambda path: write_constant_graph(
                path, [TensorInfo("image", (1, 3, 64, 64), "float32")], {"heatmaps": np.zeros((1, 9, 4, 4), np.float32)}
            ),
            "gives heatmaps, but a bottom-up network gives heatmaps_0, tags_0", id="a graph without tags",
        ),
        pytest.param(
            "a.onnx",
            lambda path: write_constant_graph(
                path, [TensorInfo("image", (1, 3, 64, 64), "float32")],
                {"heatmaps_0": np.zeros(14, np.float32), "tags_0": np.zeros(14, np.float32)},
            ),
            "name an .onnx that `export` made", id="a graph without maps",
        ),
    ],
)  # fmt: skip
def test_other_files_are_refused_in_one_line(tmp_path, name, write, words):
    write(tmp_path / name)
    assert words in refusal(tmp_path / name)


def test_a_checkpoint_that_lacks_weights_is_refused(tmp_path):
    model = LitePose(14, SMALL)
    state = {name: value for name, value in model.state_dict().items() if "stage.1.0.inv.1" not in name}
    torch.save(state, tmp_path / "a.pth")
    assert "missing stage.1.0.inv.1.bias" in refusal(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("heatmaps", "tags"),
    [
        pytest.param((3, 4, 4), None, id="no batch"),
        pytest.param((1, 3, 4, 4), (1, 3, 4, 5), id="tags of another size"),
    ],
)
def test_maps_of_other_shapes_are_refused(heatmaps, tags):
    with pytest.raises(ValueError, match=r"heatmaps must be \(N, K, h, w\)"):
        OutputMaps(np.zeros(heatmaps, np.float32), None if tags is None else np.zeros(tags, np.float32))
