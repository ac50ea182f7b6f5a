"""What is fuzzed: whole files of every kind that the program reads, what may become of them, and who reads them.

Libraries that only some readers need are loaded by those alone.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import cv2
import numpy as np

from tests.formats.examples import READABLE, example
from tests.formats.posetrack_files import KEYPOINTS, category, posetrack_17, posetrack_18
from tests.fuzz import mutations, requests
from tests.fuzz.mutations import Contents
from tests.onnx_graphs import write_constant_graph
from tests.video.clips import corner_image, oriented_jpeg, write_clip
from tracker.errors import InputError, ModelError
from tracker.formats import FORMATS, open_writer, read_results
from tracker.formats.posetrack import read_posetrack
from tracker.formats.posetrack_conversion import convert_posetrack
from tracker.runtime import TensorInfo
from tracker.skeletons import BODY_19
from tracker.video.source import open_source
from tracker.weights import load_checkpoint, load_network, read_manifest

Maker: TypeAlias = Callable[[Path], object]
Damager: TypeAlias = Callable[[bytes], Contents]
Reader: TypeAlias = Callable[[Path], None]

_WEIGHTS = Path(__file__).parents[2] / "weights"


@dataclass(frozen=True)
class Target:
    """Files of one kind. file: their name. make: writes a whole one. damaged: what may become of its bytes.

    read: reads a file, whole or damaged, and raises AssertionError for what was read wrongly.
    """

    file: str
    make: Maker
    damaged: Damager
    read: Reader

    @cache  # noqa: B019  targets live as long as the program
    def contents(self) -> Contents:
        """Damaged files of this kind."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / self.file
            path.parent.mkdir(parents=True, exist_ok=True)
            self.make(path)
            return self.damaged(path.read_bytes())


# --- results


def write_results(path: Path, name: str) -> None:
    """The example in that format; of a folder the file of its first frame."""
    with open_writer(path if FORMATS[name].suffix else path.parent, example().header, name) as writer:
        for frame in example().frames:
            writer.write(frame, frame.tracked)


def convert_results(path: Path) -> None:
    """Read results, write them in every format, and read them again."""
    results = read_results(path)
    with tempfile.TemporaryDirectory() as folder:
        for name in READABLE:
            copy = Path(folder, f"{name}{FORMATS[name].suffix}")
            with open_writer(copy, results.header, name) as writer:
                for frame in results.frames:
                    writer.write(frame, frame.tracked)
            with suppress(InputError):  # where the format holds nobody, or nobody within its limits
                read_results(copy)


def convert_folder(path: Path) -> None:
    """As `convert_results`, of the folder that holds the file."""
    convert_results(path.parent)


# --- videos and images


def write_video(path: Path, codec: str = "libx264", pix_fmt: str = "yuv420p", **options: str) -> None:
    """Twelve pictures that move."""
    images = [np.roll(corner_image(64, 48), 3 * number, axis=1) for number in range(12)]
    write_clip(path, images, codec=codec, pix_fmt=pix_fmt, **options)


def write_image(path: Path) -> None:
    """A small picture."""
    cv2.imwrite(str(path), corner_image(64, 48))


def write_oriented_image(path: Path) -> None:
    """A small picture that is to be turned."""
    path.write_bytes(oriented_jpeg(corner_image(64, 48), 6))


def read_image(path: Path) -> None:
    """Read the only picture."""
    _read_frames(path, None)


def read_video(path: Path) -> None:
    """Read from the beginning, and from later on."""
    _read_frames(path, None)
    _read_frames(path, 0.2)


def _read_frames(path: Path, start_s: float | None) -> None:
    with open_source(str(path), start_s=start_s) as source:
        times_s, num_values = [], 0
        for frame in source:
            times_s.append(frame.time_s)
            num_values += frame.image.size
            if num_values > 1e8:  # large pictures are no fault, and take long
                break
        assert all(map(math.isfinite, times_s)), times_s
        assert times_s == sorted(times_s)
        assert source.fps is None or source.fps > 0, source.fps
        assert source.num_frames is None or source.num_frames > 0, source.num_frames
        assert source.warning is None or len(source.warning.splitlines()) == 1, source.warning


# --- networks


def write_safetensors(path: Path) -> None:
    """Two tensors that claim to be a network of ours."""
    import torch
    from safetensors.torch import save_file

    from tests.trained import POSE

    save_file({"a.weight": torch.zeros(2, 3), "b": torch.ones(4, dtype=torch.float16)}, path, POSE)


def write_checkpoint(path: Path, **how: Any) -> None:
    """Two tensors beside other things, as training leaves them."""
    import torch

    state = {"module.a.weight": torch.zeros(2, 3), "module.b": torch.ones(4, dtype=torch.float16)}
    torch.save({"state_dict": state, "epoch": 3, "perf": 0.7}, path, **how)


def write_pose_graph(path: Path) -> None:
    """A network from images to the same heatmaps always."""
    metadata = {"skeleton": "coco17", "color": "rgb", "mean": "[127.5, 127.5, 127.5]", "std": "[1, 1, 1]"}
    heatmaps = np.zeros((1, 17, 2, 1), np.float32)
    write_constant_graph(path, [TensorInfo("image", (1, 3, 64, 32), "float32")], {"heatmaps": heatmaps}, metadata)


def write_detector_graph(path: Path) -> None:
    """A network from images to the same two boxes always."""
    dets = np.array([[[1, 2, 30, 40, 0.9], [5, 2, 20, 50, 0.4]]], np.float32)
    outputs = {"dets": dets, "labels": np.zeros((1, 2), np.int64)}
    write_constant_graph(path, [TensorInfo("image", (1, 3, 64, 96), "float32")], outputs)


def write_settings(path: Path) -> None:
    """What a network file leaves unsaid."""
    stated = ('skeleton = "coco17"', 'color = "bgr"', "mean = [1, 2.5, 3]", "std = [1, 1, 1]", "input_size = [64, 32]")
    path.write_text("\n".join((*stated, 'style = "caffe"')))


def write_manifest(path: Path) -> None:
    """The list of the networks that are shipped."""
    shutil.copy(_WEIGHTS / "manifest.toml", path)


def read_weights(path: Path) -> None:
    """Read a checkpoint, and the network that it claims to be."""
    load_checkpoint(path)
    if path.suffix == ".safetensors":
        with suppress(ModelError):  # it is none
            load_network(path, "pose")


def read_pose_graph(path: Path) -> None:
    """Read and run a pose network."""
    from tracker.pose.networks import load_pose_network

    load_pose_network(path, "cpu").run(np.zeros((1, 64, 32, 3), np.uint8))


def read_detector_graph(path: Path) -> None:
    """Read and run a detector."""
    from tracker.detection import load_detector

    load_detector(path, device="cpu").detect([np.zeros((64, 96, 3), np.uint8)])


def read_networks(path: Path) -> None:
    """Read the list of the networks that are shipped."""
    read_manifest(path)


def read_settings(path: Path) -> None:
    """Read what stands beside a network file."""
    from tracker.pose.settings import settings_beside

    settings_beside(path.with_suffix(".pth"))


# --- annotations

_KEYPOINTS = [value for number in range(17) for value in (20 + 6 * number, 10 + 3 * number, number % 3)]
_TRUTH = {
    "images": [{"id": 1, "file_name": "1.png", "width": 200, "height": 100}, {"id": 2, "file_name": "2.png"}],
    "annotations": [
        {"image_id": 1, "category_id": 1, "bbox": [20, 10, 99, 50.5], "area": 2000, "iscrowd": 0, "score": 0.9}
        | {"keypoints": _KEYPOINTS, "num_keypoints": 12, "extra_keypoints": {"neck": [30, 20, 2]}},
        {"image_id": 1, "category_id": 1, "bbox": [5, 5, 20, 50], "keypoint_scores": [0.5] * 17, "iscrowd": 1},
    ],
    "categories": [{"id": 1, "name": "person"}],
}
_RESULTS = [
    {"image_id": 1, "category_id": 1, "score": 0.8, "bbox": [21, 11, 90, 50], "keypoints": _KEYPOINTS},
    {"image_id": 2, "category_id": 1, "score": 0.3, "bbox": [1, 1, 9, 9], "keypoints": _KEYPOINTS},
]
_POSETRACK = {
    "images": [{"id": 11, "file_name": "a.jpg", "is_labeled": True}, {"id": 10, "file_name": "b.jpg"}],
    "annotations": [{"image_id": 11, "track_id": 0, "bbox": [0, 0, 1, 1], "keypoints": _KEYPOINTS}],
    "categories": [category(KEYPOINTS)],
}
_MPII = [
    {"image": "b.jpg", "center": [101.0, 201.0], "scale": 1.5, "joints": [[5, 6.5]] * 16, "joints_vis": [0, 1] * 8},
    {"image": "a.jpg", "center": [-1.0, -1.0], "scale": -1.0, "joints": [[-1, -1]] * 16, "joints_vis": [0] * 16},
]


def write_json(path: Path, content: Any) -> None:
    """A file of those values."""
    path.write_text(json.dumps(content))


def evaluate_truth(path: Path) -> None:
    """Measure some results by a ground truth."""
    from tracker.datasets.coco import read_ground_truth

    _evaluate(read_ground_truth(path), lambda kind: _RESULTS)


def evaluate_results(path: Path) -> None:
    """Measure results by a ground truth."""
    from tracker.datasets.coco import read_ground_truth, read_results

    with tempfile.TemporaryDirectory() as folder:
        write_json(file := Path(folder, "truth.json"), _TRUTH)
        truth = read_ground_truth(file)
    _evaluate(truth, lambda kind: read_results(path, truth, kind))


def _evaluate(truth: Any, results_of: Callable[[Any], Any]) -> None:
    from tracker.evaluation import coco

    for kind in ("keypoints", "boxes"):
        figures = coco.evaluate_results(truth, results_of(kind), kind)
        assert all(value is None or 0 <= value < 1.001 for value in figures.values()), figures


def measure_posetrack(path: Path) -> None:
    """Read a sequence of PoseTrack, convert it to the other form, and measure it by itself."""
    from tracker.evaluation.posetrack.measure import measure_sequence
    from tracker.evaluation.posetrack.summary import as_json, summarise_all

    sequence = read_posetrack(path)
    with tempfile.TemporaryDirectory() as folder, suppress(InputError):  # names do not tell what the other form states
        convert_posetrack(path, Path(folder, "other.json"), "18" if sequence.version == "17" else "17")
    measured = [measure_sequence(sequence, sequence)]
    json.dumps(as_json(measured, summarise_all(measured)), allow_nan=False)


def read_training_data(path: Path) -> None:
    """Read the folder of training data that the file is in."""
    from tracker.training.datasets import read_dataset, truth_of

    annotations = read_dataset(next(folder for folder in path.parents if folder.name == "data"), BODY_19).train
    for values in (annotations.weights, annotations.box_scores):
        assert np.isfinite(values).all(), values
    for values in (annotations.boxes, annotations.keypoints):
        assert not np.isinf(values).any(), values
    assert len(truth_of(annotations, path).pictures) == len(annotations.paths)


def _results(name: str) -> Target:
    make, suffix = partial(write_results, name=name), FORMATS[name].suffix
    if not suffix:
        return Target(f"{name}/{name}_000000000000_keypoints.json", make, mutations.json_damaged, convert_folder)
    return Target(f"results{suffix}", make, _DAMAGED_RESULTS[suffix], convert_results)


def _video(file: str, *codec: str, **options: str) -> Target:
    return Target(file, lambda path: write_video(path, *codec, **options), mutations.bytes_damaged, read_video)


def _annotations(file: str, content: Any, read: Reader) -> Target:
    return Target(file, partial(write_json, content=content), mutations.json_damaged, read)


_DAMAGED_RESULTS: Mapping[str, Damager] = MappingProxyType(
    {
        ".jsonl": mutations.json_lines_damaged,
        ".csv": mutations.text_damaged,
        ".txt": mutations.text_damaged,
        ".json": mutations.json_damaged,
        ".npz": mutations.arrays_damaged,
        ".parquet": mutations.bytes_damaged,
        ".xml": mutations.text_damaged,
    }
)
TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        # posetrack18 is another name of posetrack.
        **{name: _results(name) for name in sorted({*READABLE} - {"posetrack18"})},
        "mp4": _video("clip.mp4"),
        "fragmented": _video("fragments.mp4", movflags="frag_every_frame+empty_moov"),
        "mkv": _video("clip.mkv", "ffv1"),
        "webm": _video("clip.webm", "libvpx-vp9"),
        "ts": _video("clip.ts", "mpeg2video"),
        "avi": _video("clip.avi", "mpeg4"),
        "gif": _video("clip.gif", "gif", "rgb8"),
        "png": Target("x.png", write_image, mutations.png_damaged, read_image),
        "jpg": Target("x.jpg", write_oriented_image, mutations.bytes_damaged, read_image),
        **{
            suffix: Target(f"x.{suffix}", write_image, mutations.bytes_damaged, read_image)
            for suffix in ("webp", "tif", "bmp", "jp2")
        },
        "safetensors": Target("x.safetensors", write_safetensors, mutations.safetensors_damaged, read_weights),
        "pth": Target("x.pth", write_checkpoint, mutations.zip_damaged, read_weights),
        "old-pth": Target(
            "old.pth",
            partial(write_checkpoint, _use_new_zipfile_serialization=False),
            mutations.bytes_damaged,
            read_weights,
        ),
        "pose-onnx": Target("pose.onnx", write_pose_graph, mutations.bytes_damaged, read_pose_graph),
        "detector-onnx": Target("detector.onnx", write_detector_graph, mutations.bytes_damaged, read_detector_graph),
        "manifest": Target("manifest.toml", write_manifest, mutations.text_damaged, read_networks),
        "settings": Target("x.toml", write_settings, mutations.text_damaged, read_settings),
        "truth": _annotations("truth.json", _TRUTH, evaluate_truth),
        "coco-results": _annotations("results.json", _RESULTS, evaluate_results),
        "posetrack17-truth": _annotations("000342_mpii.json", posetrack_17(), measure_posetrack),
        "posetrack18-truth": _annotations("000342_mpii_test.json", posetrack_18(), measure_posetrack),
        "train-coco": _annotations("coco/data/annotations/person_keypoints_train2017.json", _TRUTH, read_training_data),
        "train-posetrack": _annotations("posetrack/data/annotations/train/0001.json", _POSETRACK, read_training_data),
        "train-mpii": _annotations("mpii/data/annot/train.json", _MPII, read_training_data),
        **{
            name: Target("request.http", make, mutations.bytes_damaged, requests.send_request)
            for name, make in (("picture", requests.write_picture_request), ("clip", requests.write_clip_request))
            if find_spec("fastapi")
        },
        "train-own": _annotations("own/data/train/a.json", _TRUTH, read_training_data),
    }
)
