"""Network files: loaded strictly, refused in one line, verified by their hash; what is shipped."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.trained import BOTTOM_UP, DETECTOR, POSE, write_weights
from tracker.detection.detector import open_network
from tracker.errors import DependencyError, ModelError
from tracker.pose import load_pose_network
from tracker.weights import (
    NETWORKS,
    find_default,
    load_checkpoint,
    load_network,
    load_strictly,
    read_manifest,
    read_metadata,
)


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def refusal(function, *arguments):
    """The one line of the ModelError that a call raises."""
    with pytest.raises(ModelError) as error:
        function(*arguments)
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 400
    return message


def write(path, state):
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize("name", ["a.pth", "a.pt", "a.pth.tar", "a.safetensors"])
def test_a_state_dict_comes_back_as_it_was(tmp_path, name):
    state = small_network().state_dict()
    loaded = load_checkpoint(write(tmp_path / name, dict(state)))
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


def test_files_of_old_versions_of_torch_are_read(tmp_path):
    state = small_network().state_dict()
    torch.save(state, tmp_path / "old.pth.tar", _use_new_zipfile_serialization=False)
    assert load_checkpoint(tmp_path / "old.pth.tar").keys() == state.keys()


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda state: {"state_dict": state, "epoch": 140, "perf": 0.7}, id="of a training run"),
        pytest.param(lambda state: {f"module.{k}": v for k, v in state.items()}, id="of DataParallel"),
        pytest.param(lambda state: {"state_dict": {f"module.{k}": v for k, v in state.items()}}, id="of both"),
    ],
)
def test_wrappings_are_taken_off(tmp_path, wrap):
    state = small_network().state_dict()
    loaded = load_checkpoint(write(tmp_path / "a.pth", wrap(state)))
    assert loaded.keys() == state.keys()


class RunsCode:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def test_code_in_a_file_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, new_format in (("new.pth", True), ("old.pth", False)):
        torch.save({"a": RunsCode()}, tmp_path / name, _use_new_zipfile_serialization=new_format)
        message = refusal(load_checkpoint, tmp_path / name)
        assert "mkdir" in message
        assert "could run code" in message
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(RunsCode()))
    refusal(load_checkpoint, tmp_path / "plain.pth")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        pytest.param("a.pth", b"", "is empty", id="0 bytes"),
        pytest.param("a.pth", b"<html>Not found</html>", "cannot be read", id="a web page"),
        pytest.param("a.safetensors", b"hello, this is text", "cannot be read", id="text as safetensors"),
        pytest.param(
            "a.pth",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            "git lfs pull",
            id="git-LFS pointer",
        ),
        pytest.param("a-00000000_20200709.pth", b"x", "begin with 00000000", id="hash in the name differs"),
    ],
)
def test_other_content_is_refused_in_one_line(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    assert words in refusal(load_checkpoint, tmp_path / name)


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.99])
def test_truncated_files_are_refused_in_one_line(tmp_path, name, share):
    path = write(tmp_path / name, dict(small_network().state_dict()))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert "cannot be read" in refusal(load_checkpoint, path)


def test_truncated_files_of_old_versions_are_refused_in_one_line(tmp_path):
    path = tmp_path / "old.pth"
    torch.save(small_network().state_dict(), path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    for length in range(1, len(whole), len(whole) // 25):
        path.write_bytes(whole[:length])
        # Cut in the middle of a name, it asks for something that is not allowed.
        assert re.search("cannot be read|could run code", refusal(load_checkpoint, path))


@pytest.mark.parametrize("content", [[torch.zeros(1)], {}, {"a": 1}, {"state_dict": {"a": "b"}}, torch.zeros(2)])
def test_what_is_no_state_dict_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "a.pth")
    assert "no state dict" in refusal(load_checkpoint, tmp_path / "a.pth")


def test_missing_files_and_folders_are_refused(tmp_path):
    assert "there is no network file" in refusal(load_checkpoint, tmp_path / "none.pth")
    assert "there is no network file" in refusal(load_checkpoint, tmp_path)


def test_the_hash_in_a_name_is_verified(tmp_path):
    path = write(tmp_path / "a.pth", small_network().state_dict())
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    right = path.rename(tmp_path / f"res50_coco_256x192-{digits}_20200709.pth")
    assert load_checkpoint(right)
    content = bytearray(right.read_bytes())
    content[-1] ^= 1
    right.write_bytes(content)
    assert "is damaged" in refusal(load_checkpoint, right)


def test_loading_is_strict_and_names_the_first_faults(tmp_path):
    state = small_network().state_dict()
    path = tmp_path / "a.pth"
    for key in ("1.weight", "1.bias", "1.running_mean", "1.running_var"):
        state[f"x{key}"] = state.pop(key)
    state["0.weight"] = torch.zeros(4, 3, 1, 1)
    message = refusal(load_strictly, small_network(), state, path)
    assert str(path) in message
    assert "missing 1.bias, 1.running_mean, 1.running_var and 1 more" in message
    assert "unexpected x1.bias" in message
    assert "0.weight is (4, 3, 1, 1), not (4, 3, 3, 3)" in message


def test_a_refused_state_dict_changes_nothing(tmp_path):
    model = small_network()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = {key: torch.zeros_like(value) for key, value in before.items()} | {"more": torch.zeros(1)}
    refusal(load_strictly, model, state, tmp_path)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_counters_may_be_absent_as_in_the_oldest_checkpoints(tmp_path):
    model, state = small_network(), small_network().state_dict()
    del state["1.num_batches_tracked"]
    state["1.bias"] += 1
    load_strictly(model, state, tmp_path)
    assert torch.equal(model[1].bias, state["1.bias"])


NO_FURTHER = POSE | {"arguments": '{"num_keypoints": 17, "further": 0}', "skeleton": "coco17"}


@pytest.mark.parametrize(
    "stated", [POSE, NO_FURTHER, DETECTOR, BOTTOM_UP], ids=["pose", "no further keypoints", "detector", "bottom-up"]
)
def test_our_networks_are_built_as_their_files_state(tmp_path, stated):
    path = write_weights(tmp_path / "a.safetensors", stated)
    model = load_network(path, NETWORKS[stated["network"]])
    assert type(model).__name__ == stated["network"]
    assert not model.training
    state = load_checkpoint(path)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_weights_in_half_precision_are_computed_with_in_single(tmp_path):
    path = write_weights(tmp_path / "a.safetensors", DETECTOR)
    save_file({name: value.half() for name, value in load_checkpoint(path).items()}, path, DETECTOR)
    assert {value.dtype for value in load_network(path, "detector").parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("stated", "kind", "words"),
    [
        pytest.param(DETECTOR, "pose", "states RTMDetNano in its metadata, but must be PoseLiteHRNet", id="kind"),
        pytest.param({}, "detector", "states no network in its metadata", id="states nothing"),
        pytest.param({"network": "YOLO"}, "detector", "states YOLO in its metadata", id="unknown network"),
        pytest.param(DETECTOR | {"arguments": "{"}, "detector", "makes no network", id="no JSON"),
        pytest.param(DETECTOR | {"arguments": '{"depth": 3}'}, "detector", "makes no network", id="unknown argument"),
        pytest.param(POSE | {"arguments": '{"num_keypoints": 9600}'}, "pose", "from 1 to 1024", id="two zeros more"),
        pytest.param(DETECTOR | {"arguments": "[" * 9999}, "detector", "makes no network", id="too deep"),
        pytest.param(POSE | {"arguments": '{"num_keypoints": 9}'}, "pose", "does not fit", id="other weights"),
        pytest.param(BOTTOM_UP, "pose", "states LitePose in its metadata, but must be PoseLiteHRNet", id="bottom-up"),
        pytest.param(BOTTOM_UP, "pose", "or PoseResNet; name another file, or take --pose bottom-up", id="its option"),
        pytest.param(
            POSE,
            "bottom-up",
            "must be LitePose or BottomUpMobileNet; name another file, or take --pose top-down",
            id="top-down",
        ),
        pytest.param(
            BOTTOM_UP | {"arguments": '{"num_keypoints": 2, "stem": 8, "channels": [8, 9600]}'},
            "bottom-up",
            "channels must be from 1 to 1024",
            id="too many in a list",
        ),
    ],
)
def test_files_that_state_no_such_network_are_refused(tmp_path, stated, kind, words):
    path = write_weights(tmp_path / "a.safetensors", DETECTOR)
    save_file(load_checkpoint(path), path, stated or None)
    assert words in refusal(load_network, path, kind)


def test_metadata_is_read_from_safetensors_alone(tmp_path):
    assert read_metadata(write(tmp_path / "a.safetensors", small_network().state_dict())) == {}
    assert read_metadata(write(tmp_path / "a.pth", small_network().state_dict())) == {}
    (tmp_path / "b.safetensors").write_text("text")
    assert "cannot be read" in refusal(read_metadata, tmp_path / "b.safetensors")
    assert "there is no network file" in refusal(read_metadata, tmp_path / "c.safetensors")


ENTRY = """
[[network]]
kind = "pose"
network = "PoseLiteHRNet"
arguments = { num_keypoints = 19 }
skeleton = "body19"
color = "rgb"
mean = [127.5, 127.5, 127.5]
std = [127.5, 127.5, 127.5]
input_size = [256, 192]
start = "weights of others, Apache-2.0"
licence = "for research"
data = [{ name = "pictures", licence = "CC BY 4.0" }]
accuracy = [{ measure = "OKS AP", value = 0.5, command = "evaluate" }]
onnx = { file = "a.onnx", bytes = 3, sha256 = "ONNX" }
safetensors = { file = "a.safetensors", bytes = 3, sha256 = "SAFE" }
"""
AS_DETECTOR = (('"pose"', '"detector"'), ("PoseLiteHRNet", "RTMDetNano"), ('skeleton = "body19"', ""))


def entry(folder, name="a", changes=()):
    """An entry of the manifest, and its two files."""
    text = ENTRY.replace('"a.', f'"{name}.')
    for suffix, placeholder in ((".onnx", "ONNX"), (".safetensors", "SAFE")):
        content = name.encode() * 3
        (folder / f"{name}{suffix}").write_bytes(content)
        text = text.replace(placeholder, hashlib.sha256(content).hexdigest())
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


def manifest_of(folder, *entries):
    (folder / "manifest.toml").write_text("\n".join(entries))
    return folder / "manifest.toml"


def test_the_first_of_a_kind_is_the_default(tmp_path):
    entries = entry(tmp_path, "a", AS_DETECTOR), entry(tmp_path, "b"), entry(tmp_path, "c")
    manifest = manifest_of(tmp_path, *entries)
    assert [network.kind for network in read_manifest(manifest)] == ["detector", "pose", "pose"]
    assert find_default("pose", "cpu", manifest) == tmp_path / "b.onnx"
    assert find_default("detector", "cpu", manifest) == tmp_path / "a.onnx"


@pytest.mark.parametrize("on_cuda", [True, False], ids=["CUDA: torch", "CPU: ONNX Runtime"])
def test_the_device_decides_on_the_engine(tmp_path, monkeypatch, on_cuda):
    asked = []
    monkeypatch.setattr("tracker.weights.torch_runs_on_cuda", lambda device: asked.append(device) or on_cuda)
    found = find_default("pose", "cuda:1", manifest_of(tmp_path, entry(tmp_path)))
    assert found.name == ("a.safetensors" if on_cuda else "a.onnx")
    assert asked == ["cuda:1"]


@pytest.mark.parametrize(
    ("kind", "option"),
    [
        ("pose", "--pose-model FILE"),
        ("detector", "--detector FILE"),
        ("bottom-up", "--pose-model FILE: one of `train litepose`"),
    ],
)
def test_without_a_default_the_line_says_how_to_name_one(tmp_path, kind, option):
    assert option in refusal(find_default, kind, "cpu", manifest_of(tmp_path))
    assert "git checkout weights" in refusal(find_default, kind, "cpu", tmp_path / "none.toml")


def test_shipped_files_are_verified(tmp_path):
    manifest = manifest_of(tmp_path, entry(tmp_path))
    (tmp_path / "a.onnx").write_text("b")
    assert "sha256 differs" in refusal(find_default, "pose", "cpu", manifest)
    (tmp_path / "a.onnx").write_text("version https://git-lfs.github.com/spec/v1\n")
    assert "git lfs pull" in refusal(find_default, "pose", "cpu", manifest)
    (tmp_path / "a.onnx").unlink()
    assert "a.onnx, which is included, is missing; install" in refusal(find_default, "pose", "cpu", manifest)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("[[network]]", "[network]", id="a table for a list"),
        pytest.param('licence = "for research"', "", id="no licence"),
        pytest.param('licence = "for research"', "licence = 1", id="a licence without words"),
        pytest.param('kind = "pose"', 'kind = "flow"', id="unknown kind"),
        pytest.param("mean = [127.5,", "mean = " + "[" * 9999, id="too deep"),
        pytest.param("bytes = 3", 'bytes = "3"', id="a size in words"),
        pytest.param("sha256 = ", "sha = ", id="no hash"),
    ],
)
def test_a_malformed_manifest_is_one_line(tmp_path, old, new):
    message = refusal(read_manifest, manifest_of(tmp_path, entry(tmp_path, changes=[(old, new)])))
    assert "is malformed" in message
    assert "install the program again" in message


class _Foreign:
    """Pickled as an Ultralytics network is: by the name of a class."""

    def __reduce__(self):
        return (eval, ("__import__('pathlib').Path('ran').touch()",))


def test_a_checkpoint_of_ultralytics_says_how_its_owner_exports_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"epoch": -1, "model": _Foreign(), "note": "ultralytics.nn.tasks"}, "yolo11n-pose.pt")
    for load in (load_checkpoint, open_network, load_pose_network):
        message = refusal(load, Path("yolo11n-pose.pt"))
        assert message.startswith("yolo11n-pose.pt is a checkpoint of Ultralytics, which runs code when it is loaded")
        assert message.endswith("pip install ultralytics; yolo export model=yolo11n-pose.pt format=onnx")
    assert not Path("ran").exists()
    torch.save({"model": torch.zeros(1)}, "yolo11n.pt")
    assert "is no detector by its name" in refusal(open_network, Path("yolo11n.pt"))
    assert "is no detector by its name" in refusal(open_network, Path("missing.pt"))


@pytest.mark.parametrize("name", ["pose_resnet_50_256x192.pth.tar", "ours.safetensors"])
@pytest.mark.parametrize("fault", [ModuleNotFoundError("No module named 'torch'"), OSError("[WinError 126] c10.dll")])
def test_without_a_working_torch_its_files_say_what_to_install(tmp_path, monkeypatch, name, fault):
    (tmp_path / name).write_bytes(b"weights")
    if name.endswith(".safetensors"):
        save_file({"a": torch.zeros(1)}, tmp_path / name, {"network": "PoseLiteHRNet"})
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(sys, "meta_path", [Refusing(fault), *sys.meta_path])
    with pytest.raises(DependencyError, match=r"which does not load here.*pip install --force-reinstall torch"):
        load_pose_network(tmp_path / name, "cpu")


class Refusing:
    """Finds torch, which does not load."""

    def __init__(self, fault):
        self._fault = fault

    def find_spec(self, name, *_):
        if name == "torch":
            raise self._fault
