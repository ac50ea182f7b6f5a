"""Network files: which one to take, whether it is whole, and its weights under the names of our modules."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import tomllib
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.errors import DependencyError, ModelError
from tracker.nets.build import NETWORKS, Kind, build_network
from tracker.outputs import listed
from tracker.runtime import torch_runs_on_cuda

if TYPE_CHECKING:
    from torch import Tensor, nn

# An installed wheel has the folder `weights` as a subpackage of this name.
_INSTALLED = Path(__file__).with_name("default_weights")
MANIFEST = (_INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[1] / "weights") / "manifest.toml"
_OPTIONS: dict[Kind, str] = {
    "pose": "--pose-model FILE",
    "detector": "--detector FILE",
    "bottom-up": "--pose-model FILE: one of `train litepose`",
}

# How poses are estimated with the networks of a kind.
_POSE_METHODS: dict[Kind, str] = {"pose": "top-down", "bottom-up": "bottom-up"}
# MMPose puts the first eight digits of a file's sha256 into its name, as in
# res50_coco_256x192-ec54d7f3_20200709.pth.
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8})_\d{8}\.pth$")

# Bytes of a checkpoint's pickle within which it names the class of the network.
_PICKLE_START = 1 << 16

# Numbers of channels, keypoints and layers; one digit more, by mistake or damage, would take gigabytes.
_LARGEST_ARGUMENT = 1024
# Arguments that may be 0.
_MAY_BE_ABSENT = ("further",)


@dataclass(frozen=True)
class ShippedFile:
    """A file beside the manifest: its name, size in bytes, and the sha256 of its content in hex digits."""

    file: str
    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        if [type(value) for value in vars(self).values()] != [str, int, str]:
            raise ValueError(f"file = {self.file!r}, bytes = {self.bytes!r}, sha256 = {self.sha256!r}")


@dataclass(frozen=True)
class ShippedNetwork:
    """A network that comes with the program, as two files with the same weights.

    licence: of the weights. stated: what else the manifest says, for people; tests hold it to what the files state.
    """

    kind: Kind
    licence: str
    onnx: ShippedFile
    safetensors: ShippedFile
    stated: Mapping[str, Any]

    def __post_init__(self) -> None:
        if self.kind not in NETWORKS.values() or not isinstance(self.licence, str):
            raise ValueError(f"kind = {self.kind!r}, licence = {self.licence!r}")


def read_manifest(manifest: Path = MANIFEST) -> tuple[ShippedNetwork, ...]:
    """The networks that are shipped, none without a manifest; ModelError for a malformed manifest."""
    if not manifest.is_file():
        return ()
    try:
        content = tomllib.loads(manifest.read_text(encoding="utf-8"))
        networks = content.pop("network", [])
        if content:
            raise ValueError(f"unknown: {', '.join(content)}")
        return tuple(_shipped_network(**entry) for entry in networks)
    except (ValueError, TypeError, RecursionError) as error:
        raise ModelError(f"{manifest} is malformed ({error}); install the program again") from error


# How files come back that are included.
_RESTORE = "install the program again, or run in a checkout: git checkout weights"


def find_default(kind: Kind, device: str = "auto", manifest: Path = MANIFEST, engine: str = "auto") -> Path:
    """The file of the first shipped network of a kind that suits the device, its content verified.

    device: auto, cpu, cuda or cuda:N; torch runs on CUDA, ONNX Runtime elsewhere, unless the engine says otherwise.
    Raises ModelError when none is shipped, or when the file is missing or is not the one that was shipped.
    """
    is_torchs = engine == "torch" or (engine == "auto" and torch_runs_on_cuda(device))
    for network in read_manifest(manifest):
        if network.kind == kind:
            shipped = network.safetensors if is_torchs else network.onnx
            path = manifest.parent / shipped.file
            if not path.exists():
                raise ModelError(f"{path}, which is included, is missing; {_RESTORE}")
            _check_file(path)
            if sha256_of(path) != shipped.sha256:
                raise ModelError(f"{path} is damaged (its sha256 differs); {_RESTORE}")
            return path
    if not manifest.exists():
        raise ModelError(f"no networks are in {manifest.parent}; {_RESTORE}")
    raise ModelError(f"no default {kind} network is shipped yet; name one with {_OPTIONS[kind]}")


def read_metadata(path: Path) -> dict[str, str]:
    """What a .safetensors file states of itself, nothing for files of other kinds; ModelError for a damaged one."""
    if path.suffix != ".safetensors":
        return {}
    from safetensors import SafetensorError, safe_open

    _check_file(path)
    try:
        with safe_open(path, framework="np") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error


def load_network(path: Path, kind: Kind) -> nn.Module:
    """Our own network in a .safetensors file, built as its metadata says (network, arguments), in inference mode.

    Raises ModelError as `load_checkpoint` and `load_strictly` do, and for a file that states none of that kind.
    """
    metadata = read_metadata(path)
    name = metadata.get("network", "no network")
    stated = NETWORKS.get(name)
    if stated != kind:
        known = " or ".join(network for network in NETWORKS if NETWORKS[network] == kind)
        remedy = "name another file"
        if kind in _POSE_METHODS and stated in _POSE_METHODS:
            remedy += f", or take --pose {_POSE_METHODS[stated]}"
        raise ModelError(f"{path} states {name} in its metadata, but must be {known}; {remedy}")
    _need_torch(path)
    arguments = metadata.get("arguments", "{}")
    try:
        model = _build(name, json.loads(arguments))
    except (TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:100]
        raise ModelError(f"{path} states {name} with {arguments[:100]!r}, which makes no network ({reason})") from error
    load_strictly(model, load_checkpoint(path), path)
    return model.eval()


def load_checkpoint(path: Path) -> dict[str, Tensor]:
    """The state dict in a .pth, .pth.tar, .pt or .safetensors file, on the CPU.

    It is taken out of a training run's checkpoint (`state_dict` beside other things), and DataParallel's
    `module.` off its names. No code in the file is run. Raises ModelError for a file that is missing, damaged
    or of another kind, or whose content does not fit the hash in its name, DependencyError without a working torch.
    """
    _check_file(path)
    _need_torch(path)
    refuse_ultralytics(path)
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    return _state_dict(content, path)


def refuse_ultralytics(path: Path) -> None:
    """Raise ModelError, with how its owner exports it, for a checkpoint of Ultralytics; nothing in it is run."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            with contextlib.ExitStack() as stack:
                starts = [stack.enter_context(archive.open(name)).read(_PICKLE_START) for name in names]
    except (OSError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        return
    if any(b"ultralytics." in start for start in starts):
        raise ModelError(
            f"{path} is a checkpoint of Ultralytics, which runs code when it is loaded, so it is refused; "
            f"export it where you trust it: pip install ultralytics; yolo export model={path.name} format=onnx"
        )


def load_strictly(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Put a state dict into a model; ModelError with the first wrong names or shapes if they differ."""
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in state.items()}
    # The counter is absent from checkpoints of torch before 0.4.1, and changes nothing.
    missing = [name for name in wanted.keys() - found.keys() if not name.endswith("num_batches_tracked")]
    unexpected = found.keys() - wanted.keys()
    shapes = [
        f"{name} is {found[name]}, not {wanted[name]}"
        for name in wanted.keys() & found.keys()
        if found[name] != wanted[name]
    ]
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    faults = [f"{what} {listed(sorted(names), most=3)}" for what, names in kinds.items() if names]
    if faults:
        raise ModelError(
            f"{path} does not fit {type(model).__name__}: {'; '.join(faults)}; name a checkpoint of this network"
        )
    model.load_state_dict(dict(state))


def _build(name: str, arguments: Any) -> nn.Module:
    for argument, value in dict(arguments).items():
        numbers, least = value if isinstance(value, list) else [value], int(argument not in _MAY_BE_ABSENT)
        if any(type(number) is int and not least <= number <= _LARGEST_ARGUMENT for number in (*numbers, len(numbers))):
            raise ValueError(f"{argument} must be from {least} to {_LARGEST_ARGUMENT}")
    return build_network(name, arguments)


def _shipped_network(*, kind: Any, licence: Any, onnx: Any, safetensors: Any, **stated: Any) -> ShippedNetwork:
    return ShippedNetwork(kind, licence, ShippedFile(**onnx), ShippedFile(**safetensors), stated)


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise ModelError(f"there is no network file {path}; check the name")
    try:
        with path.open("rb") as file:
            start = file.read(32)
    except OSError as error:
        raise ModelError(f"{path} cannot be opened ({error.strerror}); check its permissions") from error
    if not start:
        raise ModelError(f"{path} is empty; get the file again")
    if start.startswith(b"version https://git-lfs"):
        raise ModelError(f"{path} is a git-LFS pointer, not the network itself; run: git lfs pull")
    named = _HASH_IN_NAME.search(path.name)
    if named and not sha256_of(path).startswith(named[1]):
        raise ModelError(f"{path} is damaged (its sha256 does not begin with {named[1]}); download it again")


def sha256_of(path: Path) -> str:
    """The sha256 of a file's content in hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _need_torch(path: Path) -> None:
    try:
        import torch  # noqa: F401
    except (ImportError, OSError) as error:  # the latter on Windows, where a library of its own is missing
        reason = " ".join(str(error).split())[:100]
        raise DependencyError(
            f"{path} runs on torch, which does not load here ({reason}); run: pip install --force-reinstall torch; or, "
            "where torch works, make a file that needs none: python -m tracker export"
        ) from error


def _read_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error


def _read_pickle(path: Path) -> Any:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own lines on old pickles come before ours
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise almost anything
        forbidden = re.search(r"(?i)unsupported (?:global: )?GLOBAL ([\w.]+)", str(error))
        if forbidden:
            raise ModelError(
                f"{path} holds {forbidden[1]} besides tensors, and loading that could run code, so it is "
                "refused; save the state_dict alone, as .safetensors at best"
            ) from error
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ModelError:
    text = " ".join(str(error).split())
    # torch puts its advice to trust the file before the reason.
    reason = re.sub(r"^Weights only load failed.*?(WeightsUnpickler error: |$)", "", text)[:100]
    return ModelError(
        f"{path} cannot be read as network weights ({reason or type(error).__name__}); "
        "it is damaged or of another kind: get it again"
    )


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    import torch

    if isinstance(content, dict) and "state_dict" in content:
        content = content["state_dict"]
    named = content if isinstance(content, dict) else {}
    if not named or not all(isinstance(value, torch.Tensor) for value in named.values()):
        raise ModelError(f"{path} holds no state dict, a table of named tensors; save model.state_dict()")
    return {str(name).removeprefix("module."): value for name, value in named.items()}
