"""Network files: which one to take, whether it is whole, and its weights under the names of our modules."""

from __future__ import annotations

import hashlib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from tracker.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor, nn

Kind: TypeAlias = Literal["pose", "detector"]

MANIFEST = Path(__file__).parents[1] / "weights" / "manifest.toml"
_OPTIONS: dict[Kind, str] = {"pose": "--pose-model FILE", "detector": "--detector FILE"}

# MMPose puts the first eight digits of a file's sha256 into its name, as in
# res50_coco_256x192-ec54d7f3_20200709.pth.
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8})_\d{8}\.pth$")


@dataclass(frozen=True)
class ShippedWeights:
    """A network file that comes with the program, and the sha256 of its content in hex digits."""

    path: Path
    kind: Kind
    sha256: str


def read_manifest(manifest: Path = MANIFEST) -> tuple[ShippedWeights, ...]:
    """The network files that are shipped, none without a manifest; ModelError for a malformed manifest."""
    if not manifest.is_file():
        return ()
    try:
        entries = tomllib.loads(manifest.read_text(encoding="utf-8")).get("weights", [])
        return tuple(
            ShippedWeights(manifest.parent / entry["file"], entry["kind"], entry["sha256"]) for entry in entries
        )
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{manifest} is malformed ({error!r}); install the program again") from error


def find_default(kind: Kind, manifest: Path = MANIFEST) -> Path:
    """The first shipped network of a kind, its content verified.

    Raises ModelError when none is shipped, or when the file is missing or is not the one that was shipped.
    """
    for weights in read_manifest(manifest):
        if weights.kind == kind:
            _check_file(weights.path)
            if _sha256(weights.path) != weights.sha256.lower():
                raise ModelError(f"{weights.path} is damaged (its sha256 differs); install the program again")
            return weights.path
    raise ModelError(f"no default {kind} network is shipped yet; name one with {_OPTIONS[kind]}")


def load_checkpoint(path: Path) -> dict[str, Tensor]:
    """The state dict in a .pth, .pth.tar, .pt or .safetensors file, on the CPU.

    It is taken out of a training run's checkpoint (`state_dict` beside other things), and DataParallel's
    `module.` off its names. No code in the file is run. Raises ModelError for a file that is missing, damaged
    or of another kind, or whose content does not fit the hash in its name.
    """
    _check_file(path)
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    return _state_dict(content, path)


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
    faults = [
        _first("missing", missing),
        _first("unexpected", unexpected),
        _first("of another shape", shapes),
    ]
    if any(faults):
        raise ModelError(
            f"{path} does not fit {type(model).__name__}: {'; '.join(filter(None, faults))}; "
            "name a checkpoint of this network"
        )
    model.load_state_dict(dict(state))


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
    if named and not _sha256(path).startswith(named[1]):
        raise ModelError(f"{path} is damaged (its sha256 does not begin with {named[1]}); download it again")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


def _first(what: str, names: Iterable[str], count: int = 3) -> str:
    """The first names in alphabetical order, or nothing if there are none."""
    names = sorted(names)
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return f"{what} {', '.join(names[:count])}{more}" if names else ""
