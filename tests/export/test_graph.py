"""Any network as one ONNX file: the same function, described, and taken as it is."""

from __future__ import annotations

import copy
import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from safetensors.torch import save_file

from tests.onnx_graphs import write_constant_graph
from tests.trained import BOTTOM_UP, BOTTOM_UP_MOBILENET, BUILDERS, DETECTOR, POSE, like_trained, write_weights
from tracker.detection import load_detector
from tracker.errors import DependencyError, InputError, ModelError, OutputError, UsageError
from tracker.export import graph
from tracker.export.comparison import Difference, compare
from tracker.export.graph import TOLERANCE, Export, export_graph
from tracker.export.tracing import trace
from tracker.nets.pose_resnet import PoseResNet
from tracker.pose import load_estimator, load_pose_network, load_poses
from tracker.runtime import OnnxNetwork, TensorInfo
from tracker.scenes.rendering import render_scene
from tracker.types import Candidates, Detections

PICTURES = [(frame.image, frame.people.boxes) for frame in render_scene("crossing", (256, 160), num_frames=1)]
SHIPPED = Path(__file__).parents[2] / "weights"


def write_simple_baselines(path: Path, num_keypoints: int, heads: str = "", trunk: str = "") -> Path:
    """A checkpoint under the authors' names, or with the prefixes of another program's."""
    state = like_trained(PoseResNet(18, num_keypoints)).state_dict()
    is_head = ("deconv_layers", "final_layer")
    state = {(heads if name.startswith(is_head) else trunk) + name: value for name, value in state.items()}
    if path.suffix == ".safetensors":
        save_file(state, path, {"format": "pt"})
    else:
        torch.save(state, path)
    return path


def write_litepose(path: Path) -> Path:
    arguments = json.loads(BOTTOM_UP["arguments"])
    torch.save({"state_dict": like_trained(BUILDERS["LitePose"](**arguments)).state_dict()}, path)
    path.with_name("litepose.toml").write_text('input_size = [64, 64]\nlicence = "mine"')
    return path


# By the file: how to make it, and what the graph is to state of it.
SOURCES: dict[str, tuple[Any, dict[str, str]]] = {
    "pose_resnet_18_64x64.pth.tar": (
        lambda path: write_simple_baselines(path, 16),
        {
            "skeleton": "mpii16",
            "color": "bgr",
            "mean": "[123.675, 116.28, 103.53]",
            "input_size": "[64, 64]",
            "licence": "code MIT (Simple Baselines); weights: none stated",
        },
    ),
    "res18_coco_96x64.safetensors": (
        lambda path: write_simple_baselines(path, 17, "keypoint_head.", "backbone."),
        {
            "skeleton": "coco17",
            "color": "rgb",
            "arguments": '{"depth": 18, "num_keypoints": 17, "style": "pytorch"}',
            "licence": "code Apache-2.0 (MMPose); weights: none stated",
        },
    ),
    "litepose.pth.tar": (write_litepose, {"skeleton": "crowdpose14", "input_size": "[64, 64]", "licence": "mine"}),
    "pose.safetensors": (lambda path: write_weights(path, POSE), {"mean": "[127.5, 127.5, 127.5]"} | POSE),
    "det.safetensors": (lambda path: write_weights(path, DETECTOR), {"color": "bgr", "licence": "not stated"}),
    "mobile.safetensors": (lambda path: write_weights(path, BOTTOM_UP_MOBILENET), BOTTOM_UP_MOBILENET),
}


@pytest.fixture(scope="module", params=SOURCES)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Export]:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("graph")
    source = SOURCES[request.param][0](folder / request.param)
    path = folder / "out.onnx"
    done = export_graph([source], path, PICTURES)
    assert {file.suffix for file in folder.iterdir()} <= {source.suffix, ".toml", ".onnx"}
    return source, path, done


def test_it_is_the_same_function_of_open_batches(exported: tuple[Path, Path, Export]) -> None:
    source, path, done = exported
    assert OnnxNetwork(path, "cpu").inputs[0].shape[0] is None
    for difference in (done.rows[1].noise, done.rows[1].pictures):
        assert difference is not None
        assert 0 < difference.share <= TOLERANCE
    if source.name == "det.safetensors":
        images = [image for image, _ in PICTURES]
        found, expected = (load_detector(file, "cpu", 0.3, 128).detect(images) for file in (path, source))
        assert [len(people) for people in found] == [len(people) for people in expected] != [0, 0]
        np.testing.assert_allclose(found[0].boxes, expected[0].boxes, atol=1e-2)
        return
    one, other = load_pose_network(path, "cpu"), load_pose_network(source, "cpu")
    assert (one.skeleton, one.input_size_hw) == (other.skeleton, other.input_size_hw)
    crops = np.random.default_rng(1).integers(0, 256, (3, *other.input_size_hw, 3), np.uint8)
    given, wanted = one.run(crops), other.run(crops)
    for name, maps in wanted.items():
        assert np.mean(np.abs(given[name] - maps) > 1e-4 * np.abs(maps).max()) <= 1e-3 * name.startswith("tags")


def test_it_states_what_it_is(exported: tuple[Path, Path, Export]) -> None:
    source, path, done = exported
    stated = OnnxNetwork(path, "cpu").metadata
    assert stated == done.metadata
    assert SOURCES[source.name][1].items() <= stated.items()
    assert {"network", "color", "mean", "std", "input_size", "licence"} <= stated.keys()
    assert [row.num_bytes for row in done.rows] == [source.stat().st_size, path.stat().st_size]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "precision", "typical"), [("pose", "int8", 0.1), ("bottom_up", "fp16", 0.01)], ids=["int8", "fp16"]
)
def test_included_networks_in_other_precisions(tmp_path: Path, name: str, precision: Any, typical: float) -> None:
    path = tmp_path / "a.onnx"
    done = export_graph([SHIPPED / f"{name}.onnx"], path, PICTURES, precision=precision)
    assert done.metadata["licence"].startswith("for research")
    _, plain, small = done.rows
    assert small.num_bytes < 0.6 * plain.num_bytes
    assert plain.pictures is not None
    assert plain.pictures.share <= TOLERANCE
    assert small.pictures is not None
    assert 0 < small.pictures.typical < typical
    tensors = [numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer if len(tensor.dims) == 4]
    kinds = Counter(values.dtype.name for values in tensors)
    if precision == "fp16":
        assert kinds == {"float16": len(tensors)}
        assert len(load_poses(path, "cpu", bottom_up=True).find([PICTURES[0][0]])) == 1
        return
    # By channel, in 7 bits, but two deconvolutions and the last layers of both heads.
    assert (kinds["int8"], kinds["float32"]) == (len(tensors) - 4, 4)
    assert {np.abs(values).max() for values in tensors if values.dtype == np.int8} == {64}
    image, boxes = PICTURES[0]
    candidates = Candidates.from_detections(Detections(boxes, np.ones(len(boxes), np.float32)))
    assert len(load_estimator(path, "cpu").estimate(image, candidates)) == len(boxes)


def test_a_graph_of_others_states_what_its_name_told(tmp_path: Path) -> None:
    image = TensorInfo("image", (1, 3, 64, 96), "float32")
    people = {"dets": np.float32([[[0, 0, 9, 9, 0.9]]]), "labels": np.zeros((1, 1), np.int64)}
    source = write_constant_graph(tmp_path / "yolox_s.onnx", [image], people)
    done = export_graph([source], tmp_path / "a.onnx", PICTURES, licence="mine")
    assert done.metadata == {"detector_type": "yolox-nms", "licence": "mine"}
    assert done.rows[1].pictures == Difference(len(PICTURES), 0, 0, 0, 0)
    assert "YOLOX" in load_detector(tmp_path / "a.onnx", "cpu").name
    image = TensorInfo("image", (1, 3, 256, 192), "float32")
    source = write_constant_graph(tmp_path / "vitpose-s.onnx", [image], {"maps": np.ones((1, 17, 64, 48), np.float32)})
    stated = export_graph([source], tmp_path / "b.onnx", PICTURES).metadata
    assert {"skeleton": "coco17", "crop": "udp", "dark_kernel": "11", "mean": "[123.675, 116.28, 103.53]"}.items() <= (
        stated.items()
    )


def test_sizes(tmp_path: Path) -> None:
    source, path = write_weights(tmp_path / "a.safetensors", DETECTOR), tmp_path / "a.onnx"
    done = export_graph([source], path, PICTURES, size_hw=(64, 128))
    assert OnnxNetwork(path, "cpu").inputs[0].shape == (None, 3, 64, 128)
    assert done.metadata["input_size"] == "[64, 128]"
    # of whole pictures the short side
    source = write_weights(tmp_path / "b.safetensors", BOTTOM_UP)
    export_graph([source], tmp_path / "b.onnx", PICTURES, size_hw=(128, 128))
    assert OnnxNetwork(tmp_path / "b.onnx", "cpu").inputs[0].shape == (None, 3, None, None)
    assert load_pose_network(tmp_path / "b.onnx", "cpu").input_size_hw == (128, 128)
    for weights, size, reason in (
        (source, (100, 64), "multiples of 32"),
        (tmp_path / "b.onnx", (64, 64), "is a graph"),
    ):
        with pytest.raises(UsageError, match=reason):
            export_graph([weights], tmp_path / "c.onnx", PICTURES, size_hw=size)


def test_nothing_is_written_of_what_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, path = write_weights(tmp_path / "small.safetensors", BOTTOM_UP), tmp_path / "a.onnx"
    nobody = [(PICTURES[0][0], np.zeros((0, 4), np.float32))]
    with pytest.raises(InputError, match="nobody is found"):
        export_graph([SHIPPED / "pose.onnx"], path, nobody)
    with monkeypatch.context() as patch:
        patch.setattr(graph, "trace", _trace_other_weights)
        with pytest.raises(ModelError, match=r"differs from small\.safetensors by"):
            export_graph([source], path, PICTURES)
        patch.setitem(sys.modules, "onnx", None)
        with pytest.raises(DependencyError, match="pip install 'pose-tracker"):
            export_graph([source], path, PICTURES)
    assert set(tmp_path.iterdir()) == {source}
    with pytest.raises(UsageError, match="would overwrite the input"):
        export_graph([source], source, PICTURES, overwrite=True)
    path.write_text("mine")
    with pytest.raises(OutputError, match="pass --overwrite"):
        export_graph([source], path, PICTURES)
    assert path.read_text() == "mine"


def _trace_other_weights(source: Any) -> Any:
    other = copy.deepcopy(source.model)
    next(other.parameters()).data[0] += 0.1
    return trace(replace(source, model=other))


class _Tags:
    """A network whose tags are these (1, 1, 1, n), whatever it sees."""

    def __init__(self, *tags: float) -> None:
        self._tags = np.array(tags, np.float32).reshape(1, 1, 1, -1)

    def run(self, images: Any) -> Any:
        return {"tags_0": self._tags}


def test_a_tag_of_another_person_be_they_near_is_no_fault_of_the_graph() -> None:
    tags = np.linspace(-1, 1, 100)
    near = tags.copy()
    near[50] += 0.005
    images = [np.zeros(1)]
    told, loose = (compare(_Tags(*tags), _Tags(*near), images, step) for step in (1e-4, 0.01))
    everywhere = compare(_Tags(*tags), _Tags(*(tags + 0.005)), images, step=1e-4)
    assert told is not None
    assert loose is not None
    assert everywhere is not None
    assert [told.is_within(1e-4), told.jumps] == [True, 0.01]
    # Where values may be off by more, it is one of them.
    assert [loose.is_within(1e-4), loose.jumps] == [False, 0]
    assert not everywhere.is_within(1e-4)
