"""What a network file leaves unsaid, from a .toml beside it or from its name."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tracker.errors import ModelError
from tracker.fields import Parse, from_text, numbers, one_of, read_fields, text
from tracker.nets import IMAGENET_MEAN, IMAGENET_STD
from tracker.skeletons import AP10K_17, SKELETONS, USUAL_SKELETONS, Skeleton, skeleton_of

# What networks of a family were trained with, which its name states.
PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {"vitpose": {"color": "rgb", "mean": IMAGENET_MEAN, "std": IMAGENET_STD}}
)
# ViTPose's authors trained networks of these skeletons so, and all others with the crop of Simple Baselines.
_VITPOSE_UDP = ("coco17", "mpii16")
_UDP = {"crop": "udp", "dark_kernel": 11}


def settings_path(path: Path) -> Path:
    """The .toml beside a network file.

    >>> settings_path(Path("pose_resnet_50_256x192.pth.tar")).name
    'pose_resnet_50_256x192.toml'
    """
    return path.with_name(path.name.removesuffix(".tar")).with_suffix(".toml")


def settings_beside(path: Path) -> dict[str, Any]:
    """What the .toml beside a network file states, nothing without one; ModelError if it makes no sense."""
    file = settings_path(path)
    if not file.is_file():
        return {}
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{file} is no TOML ({error}); correct it") from error
    return parse_settings(content, str(file))


def parse_settings(stated: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Settings by name, as values of the program; lists may also come as JSON text.

    skeleton: its name, its keypoints or its table, as `skeleton_of` has them. color: rgb or bgr. mean, std: three
    numbers, of 0–255 values. input_size: height and width in pixels, multiples of 32. style: pytorch or caffe. crop:
    udp or simple-baselines. dark_kernel: heatmaps are decoded by DARK, with a Gaussian of this odd width. family: one
    of PRESETS, whose settings stand for those that are not stated; `with_crop` adds to them. licence: of the weights,
    in words. Raises ModelError, naming `source`, for any other.
    """
    settings = read_fields(stated, SETTINGS, source)
    return {**PRESETS.get(settings.get("family", ""), {}), **settings}


def settings_as_text(settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings as a file's metadata states them, from which `parse_settings` makes the same.

    >>> settings_as_text({"color": "rgb", "input_size": (256, 192)})
    {'color': 'rgb', 'input_size': '[256, 192]'}
    """
    return {name: _as_text(value) for name, value in settings.items()}


def stated_settings(
    metadata: Mapping[str, str], path: Path, usual: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """The settings in a file's metadata or its .toml, among them the four that no network can do without.

    usual: those of the family that its outputs tell. A file that states no colour may be named after a family. Of a
    family's networks the number of keypoints tells the skeleton, as of `skeleton_by_number`.
    """
    stated = {key: value for key, value in metadata.items() if key in SETTINGS}
    settings = parse_settings(stated, f"the metadata of {path}") | settings_beside(path)
    named = [{"family": name} for name in PRESETS if name in path.name.lower() and "color" not in settings]
    settings = {**usual, **parse_settings(named[0] if named else {}, path.name), **settings}
    needed = ("color", "mean", "std") if usual or "family" in settings else ("skeleton", "color", "mean", "std")
    if unknown := [key for key in needed if key not in settings]:
        raise ModelError(
            f"{path} does not state its {', '.join(unknown)}; write them into {settings_path(path)}, "
            'such as skeleton = "coco17", color = "rgb", mean = [123.675, 116.28, 103.53]; or its family, '
            f"{' or '.join(PRESETS)}"
        )
    return settings


def with_crop(settings: Mapping[str, Any], skeleton: Skeleton) -> dict[str, Any]:
    """The settings with those of the crop and of decoding that the family had for this skeleton, if not stated."""
    is_udp = settings.get("family") == "vitpose" and skeleton.name in _VITPOSE_UDP
    return {**(_UDP if is_udp else {}), **settings}


def skeleton_by_number(num_keypoints: int, path: Path) -> Skeleton | None:
    """The skeleton that most likely has so many keypoints; of 17, animals' where the file's name says so.

    None is known of 14 that are AI Challenger's by the name, in another order than CrowdPose's.

    >>> skeleton_by_number(17, Path("vitpose-b-ap10k.onnx")).name
    'ap10k17'
    """
    if num_keypoints == 14 and "aic" in path.name.lower() and "crowdpose" not in path.name.lower():
        return None
    if num_keypoints == AP10K_17.num_keypoints and re.search("ap.?10k|apt.?36k", path.name, re.IGNORECASE):
        return AP10K_17
    return USUAL_SKELETONS.get(num_keypoints)


def _as_text(value: Any) -> str:
    if isinstance(value, Skeleton):
        return value.name if SKELETONS.get(value.name) is value else json.dumps(value.as_json())
    return value if isinstance(value, str) else json.dumps(value)


def _size_hw(value: Any) -> tuple[int, int]:
    height, width = from_text(value)
    if not all(isinstance(side, int) and side > 0 and side % 32 == 0 for side in (height, width)):
        raise ValueError("it must be height and width, multiples of 32")
    return height, width


# In cells, about as wide as a heatmap.
_LARGEST_KERNEL = 63


def _odd(value: Any) -> int:
    number = int(value)
    if number != float(value) or not 3 <= number <= _LARGEST_KERNEL or number % 2 == 0:
        raise ValueError(f"it must be an odd number from 3 to {_LARGEST_KERNEL}")
    return number


SETTINGS: Mapping[str, Parse] = MappingProxyType(
    {
        "skeleton": skeleton_of,
        "color": one_of("rgb", "bgr"),
        "mean": numbers(3),
        "std": numbers(3, above=0),
        "input_size": _size_hw,
        "style": one_of("pytorch", "caffe"),
        "crop": one_of("udp", "simple-baselines"),
        "dark_kernel": _odd,
        "family": one_of(*PRESETS),
        "licence": text,
    }
)


def size_in_name(path: Path) -> tuple[int, int] | None:
    """Height and width in a file name, multiples of 32 as the network needs them.

    >>> size_in_name(Path("pose_resnet_50_384x288.pth.tar"))
    (384, 288)
    """
    for height, width in re.findall(r"(\d{2,4})x(\d{2,4})", path.name):
        if int(height) % 32 == int(width) % 32 == 0:
            return int(height), int(width)
    return None
