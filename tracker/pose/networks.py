"""Pose networks from files: what they are, their input, and their outputs by name, from torch or ONNX Runtime."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from tracker.engines import GraphNetwork, open_onnx, refuse_engine
from tracker.errors import ModelError
from tracker.nets import IMAGENET_MEAN, IMAGENET_STD
from tracker.nets.build import NETWORKS
from tracker.pose.bottom_up import TAGS
from tracker.pose.checkpoints import CHECKPOINT_SUFFIXES, load_published
from tracker.pose.family import Outputs, PoseFamily, Shapes, TopDownFamily, WholePictureFamily, join_batches
from tracker.pose.heatmap_family import HEATMAPS, heatmap_family
from tracker.pose.rtmo import RTMO
from tracker.pose.settings import (
    parse_settings,
    settings_beside,
    settings_path,
    skeleton_by_number,
    stated_settings,
    with_crop,
)
from tracker.pose.simcc_family import SIMCC
from tracker.pose.yolo_pose import YOLO_POSE, refuse_other_tasks, stated_count
from tracker.runtime import TensorInfo, TorchNetwork, explained_faults, num_cores
from tracker.skeletons import Skeleton
from tracker.types import FloatArray, Image
from tracker.weights import load_network, read_metadata

if TYPE_CHECKING:
    from torch import nn

# A further family is a file and a line here. Of those that fit a network alike, the first is taken.
FAMILIES: tuple[TopDownFamily | WholePictureFamily, ...] = (TAGS, RTMO, YOLO_POSE, HEATMAPS, SIMCC)

# Crops at once on a CPU: more of them leave its caches, and cost a sixth more each in a crowd of twelve.
_CPU_BATCH = 4
# Batches that are run at a time on a CPU: networks have half of its cores, unless told otherwise.
_AT_ONCE = 2

_Triple: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True)
class Normalization:
    """How pixels become network input: (value − mean) / std of 0–255 values, channels ordered as `color`."""

    color: Literal["rgb", "bgr"] = "rgb"
    mean: _Triple = IMAGENET_MEAN
    std: _Triple = IMAGENET_STD

    def apply(self, crops: Image) -> FloatArray:
        """Network input (N, 3, h, w) of crops (N, h, w, 3) uint8 BGR."""
        ordered = crops[..., ::-1] if self.color == "rgb" else crops
        # Planes first: arithmetic on interleaved channels is ten times slower.
        planes = ordered.transpose(0, 3, 1, 2).astype(np.float32, order="C")
        planes -= np.array(self.mean, np.float32)[:, None, None]
        planes /= np.array(self.std, np.float32)[:, None, None]
        return planes


class TorchPoseNetwork:
    """A `PoseNetwork` run by torch: a module from normalised images (N, 3, H, W) to maps.

    Of a module with `tag_outputs` each output is heatmaps, followed by tags where it says so; the outputs are called
    `heatmaps_0`, `tags_0`, `heatmaps_1` and so on. Other modules give `heatmaps`. It runs in half precision on CUDA and
    in single precision on the CPU. device, name, engine, note: as for `TorchNetwork`.
    """

    def __init__(
        self,
        model: nn.Module,
        skeleton: Skeleton,
        input_size_hw: tuple[int, int],
        *,
        normalization: Normalization | None = None,
        device: str = "auto",
        name: str = "",
    ) -> None:
        import torch

        normalization = normalization or Normalization()
        self._network = TorchNetwork(model, device, name)
        self._mean = torch.tensor(normalization.mean, device=self._network.torch_device)
        self._std = torch.tensor(normalization.std, device=self._network.torch_device)
        self._swaps_channels = normalization.color == "rgb"
        self._output_names = names_of_outputs(model)
        self.family = _family_of(dict.fromkeys(self._output_names, (None,) * 4), None) or HEATMAPS
        self.name = self._network.name
        self.note = self._network.note
        self.engine = self._network.engine
        self.skeleton = skeleton
        self.input_size_hw = input_size_hw
        self.has_open_size = True
        self.metadata: Mapping[str, str] = {}

    def run(self, images: Image) -> Outputs:
        """As `PoseNetwork.run`."""
        import torch

        with explained_faults(self.name, self.engine, RuntimeError), torch.inference_mode():
            # Pixels travel as bytes and are normalised on the device; permuted, they are channels last.
            pixels = torch.from_numpy(np.ascontiguousarray(images)).to(self._network.torch_device)
            ordered = pixels.flip(-1) if self._swaps_channels else pixels
            maps = self._network.run(((ordered - self._mean) / self._std).permute(0, 3, 1, 2))
        split = self.skeleton.num_keypoints
        parts = [part for output in maps for part in (output[:, :split], output[:, split:]) if part.shape[1]]
        return dict(zip(self._output_names, parts, strict=True))


class OnnxPoseNetwork:
    """A `PoseNetwork` run by ONNX Runtime: a graph with one image [1 or ?, 3, H, W] in, and a family's outputs.

    Skeleton, colour order, mean, std and an input_size that the graph leaves open come from a .toml beside the graph,
    or its custom metadata, where lists are written as JSON, or are those of its family. Raises ModelError, with what
    was found, where they are not known or the graph is another one.
    """

    def __init__(self, path: Path, device: str = "auto", num_threads: int = 0, engine: str = "auto") -> None:
        self._network = open_onnx(path, device, num_threads, engine)
        # Before somebody describes a detector as a pose network.
        refuse_other_tasks(self._network.metadata, path)
        family = _family_of_graph(self._network, stated_count(self._network.metadata))
        self.metadata: Mapping[str, str] = self._network.metadata
        told = parse_settings(family.told(self.metadata), f"the metadata of {path}")
        settings = stated_settings(self.metadata, path, {**family.usual, **told})
        self.name = path.name
        self.engine = self._network.engine
        batch, _, *size_hw = self._network.inputs[0].shape
        self.has_open_size = None in size_hw
        self.note = "\n".join(filter(None, [self._network.note, *_without_use(path, size_hw)])) or None
        self.input_size_hw = _input_size_hw(settings if self.has_open_size else {"input_size": size_hw}, path)
        on_cpu = self.engine.endswith("CPU")
        self._batch = 1 if batch == 1 else _CPU_BATCH if on_cpu else sys.maxsize
        self._at_once = _AT_ONCE if on_cpu and not num_threads and num_cores() > 1 else 1
        self._normalization = normalization_of(settings)
        self.skeleton: Skeleton = settings.get("skeleton") or self._skeleton_by_number(family, path)
        settings = with_crop(settings, self.skeleton)
        self.settings: Mapping[str, Any] = settings | {"skeleton": self.skeleton, "input_size": self.input_size_hw}
        counts = self._counts(family, self._shapes)
        if not counts & {None, self.skeleton.num_keypoints}:
            raise _unsupported(self._network, self.skeleton.num_keypoints)
        self.family = _with_settings(_family_of_graph(self._network, self.skeleton.num_keypoints), settings, path)

    @property
    def _shapes(self) -> Shapes:
        return {info.name: info.shape for info in self._network.outputs}

    def _skeleton_by_number(self, family: PoseFamily, path: Path) -> Skeleton:
        counts = self._counts(family, self._shapes)
        if None in counts:  # as MMDeploy leaves it in RTMPose's
            outputs = self.run(np.zeros((1, *self.input_size_hw, 3), np.uint8))
            counts = self._counts(family, {name: values.shape for name, values in outputs.items()})
        known = {count or 0 for count in counts}
        is_telling = len(known) == 1 and known <= set(family.numbers or known)
        if skeleton := is_telling and skeleton_by_number(max(known), path):
            return skeleton
        raise _undescribed(path, f"has {' or '.join(map(str, sorted(known)))} keypoints")

    def _counts(self, family: PoseFamily, shapes: Shapes) -> set[int | None]:
        return family.counts({name: shapes[name] for name in family.pick(shapes, None)}, self.metadata)

    def run(self, images: Image) -> Outputs:
        """As `PoseNetwork.run`."""
        named = zip(self._network.outputs, zip(*self._run_each(self.prepare(images)), strict=True), strict=True)
        return {info.name: join_batches(part) for info, part in named}

    def prepare(self, images: Image) -> list[FloatArray]:
        """What the graph is fed for images (N, H, W, 3) uint8 BGR, one after the other: batches (n, 3, H, W)."""
        inputs = self._normalization.apply(images)
        size = min(self._batch, -(-len(inputs) // self._at_once))
        return [inputs[start : start + size] for start in range(0, len(inputs), size)]

    def _run_each(self, batches: Sequence[FloatArray]) -> Sequence[Sequence[FloatArray]]:
        """The graph's outputs for each batch (n, 3, H, W), in order; some of them are run at a time."""
        if self._at_once == 1 or len(batches) == 1:
            return [self._network.run(batch) for batch in batches]
        # Threads of this call alone take 0.1 ms, and none is left when the network goes.
        with ThreadPoolExecutor(self._at_once) as threads:
            return [*threads.map(self._network.run, batches)]


def load_pose_network(
    path: Path, device: str = "auto", num_threads: int = 0, engine: str = "auto"
) -> OnnxPoseNetwork | TorchPoseNetwork:
    """The pose network in an .onnx file, a .safetensors file of ours, or a checkpoint of a PoseResNet or LitePose.

    device, num_threads, engine: as for `open_onnx`; torch, which runs checkpoints, keeps its own number.
    Files of ours state in their metadata what they are. What a checkpoint (.pth, .pth.tar, .pt, .safetensors)
    leaves open is taken from a .toml beside it (`skeleton`, `input_size` as height and width, `style`, `color`,
    `mean`, `std`, `crop`, `dark_kernel`). Otherwise it is as published: the skeleton that so many keypoints mostly are,
    ImageNet's mean and std; a PoseResNet's size and style are those in its name (`256x192`, height first; `caffe`), or
    256×192 (COCO) and 256×256 (MPII), its channels as OpenCV reads them (BGR), but RGB for MMPose's checkpoints; a
    LitePose's size is what the released network of these widths was trained on, its channels are RGB. Raises ModelError
    for a file that is missing, damaged, of another kind or not described.
    """
    if path.name.endswith(".onnx"):
        return OnnxPoseNetwork(path, device, num_threads, engine)
    model, settings = load_pose_module(path, engine)
    return torch_pose_network(model, settings, path, device)


def load_pose_module(path: Path, engine: str = "auto") -> tuple[nn.Module, dict[str, Any]]:
    """The module, in inference mode, and the settings of a file that torch runs; as `load_pose_network`."""
    if not path.name.endswith(CHECKPOINT_SUFFIXES):
        supported = ", ".join((".onnx", *CHECKPOINT_SUFFIXES))
        raise ModelError(f"{path} is no pose network by its name; supported are files ending in {supported}")
    refuse_engine(path, engine)
    metadata = read_metadata(path)
    model, settings = _load_ours(path, metadata) if "network" in metadata else load_published(path)
    skeleton = settings.get("skeleton")
    if skeleton is None or skeleton.num_keypoints != model.num_keypoints:
        raise _undescribed(path, f"has {model.num_keypoints} keypoints")
    return model, settings | {"input_size": _input_size_hw(settings, path)}


def torch_pose_network(model: nn.Module, settings: Mapping[str, Any], path: Path, device: str) -> TorchPoseNetwork:
    """The network of a module with all its settings; path: of its file."""
    normalization, size_hw = normalization_of(settings), settings["input_size"]
    network = TorchPoseNetwork(
        model, settings["skeleton"], size_hw, normalization=normalization, device=device, name=path.name
    )
    network.family = _with_settings(network.family, settings, path)
    return network


def _load_ours(path: Path, metadata: Mapping[str, str]) -> tuple[nn.Module, dict[str, Any]]:
    known = {name: kind for name, kind in NETWORKS.items() if kind != "detector"}
    if metadata["network"] not in known:
        raise ModelError(
            f"{path} states {metadata['network']} in its metadata, but must be {' or '.join(known)}; name another file"
        )
    return load_network(path, known[metadata["network"]]), stated_settings(metadata, path)


def _family_of(shapes: Shapes, num_keypoints: int | None) -> TopDownFamily | WholePictureFamily | None:
    return next((family for family in FAMILIES if family.pick(shapes, num_keypoints)), None)


def _family_of_graph(network: GraphNetwork, num_keypoints: int | None) -> TopDownFamily | WholePictureFamily:
    family = _family_of({info.name: info.shape for info in network.outputs}, num_keypoints)
    if family is not None and len(network.inputs) == 1 and _is_image(network.inputs[0]):
        return family
    raise _unsupported(network, num_keypoints)


def _unsupported(network: GraphNetwork, num_keypoints: int | None) -> ModelError:
    inputs, outputs = (", ".join(map(str, infos)) for infos in (network.inputs, network.outputs))
    return ModelError(
        f"{network.path} takes {inputs} and gives {outputs}; supported is one image [1 or ?, 3, H, W] in, and out "
        f"{', or '.join(family.signature for family in FAMILIES)}, of {num_keypoints or 'K'} keypoints: export it so"
    )


def _with_settings(
    family: TopDownFamily | WholePictureFamily, settings: Mapping[str, Any], path: Path
) -> TopDownFamily | WholePictureFamily:
    """The family with the crop and the decoding that are stated, which only heatmaps of crops have."""
    stated = [key for key in ("crop", "dark_kernel") if key in settings]
    if not stated:
        return family
    if family is HEATMAPS:
        return heatmap_family(udp=settings.get("crop") == "udp", dark_kernel=settings.get("dark_kernel"))
    raise ModelError(
        f"{path} states its {' and '.join(stated)}, but gives {family.signature}, which have none; leave that out"
    )


def _is_image(info: TensorInfo) -> bool:
    match info.shape:
        case (1 | None, 3, _, _):
            return info.dtype.startswith("float")
    return False


def names_of_outputs(model: nn.Module) -> list[str]:
    """How the outputs of one of our modules are called: heatmaps, and the tags of a bottom-up network."""
    tag_outputs = getattr(model, "tag_outputs", None)
    if tag_outputs is None:
        return ["heatmaps"]
    return [f"{maps}_{i}" for i, tagged in enumerate(tag_outputs) for maps in ("heatmaps", "tags")[: 1 + tagged]]


def normalization_of(settings: Mapping[str, Any]) -> Normalization:
    """The normalisation that settings state, ImageNet's in RGB where they state none."""
    return Normalization(**{key: settings[key] for key in ("color", "mean", "std") if key in settings})


def _input_size_hw(settings: Mapping[str, Any], path: Path) -> tuple[int, int]:
    if "input_size" not in settings:
        raise _undescribed(path, "does not tell its input_size")
    height, width = settings["input_size"]
    return height, width


def _without_use(path: Path, size_hw: Sequence[int | None]) -> Iterator[str]:
    """What the .toml beside a graph says though the graph has it: a line each."""
    beside, name = settings_beside(path), settings_path(path).name
    if "style" in beside:
        yield f"style in {name} is not used: {path.name} is a graph, which has it"
    if None not in size_hw and beside.get("input_size", tuple(size_hw)) != tuple(size_hw):
        yield f"input_size in {name} is not used: {path.name} takes {'x'.join(map(str, size_hw))} alone"


def _undescribed(path: Path, what: str) -> ModelError:
    return ModelError(
        f"{path} {what} and is not described; write the skeleton of so many keypoints and the input_size into "
        f'{settings_path(path)}, such as skeleton = "coco17", or a list of names, and input_size = [256, 192]'
    )
