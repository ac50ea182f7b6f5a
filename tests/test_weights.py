"""Network files: loaded strictly, refused in one line, verified by their hash; what is shipped."""

from __future__ import annotations

import hashlib
import os
import pickle
import re

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tracker.errors import ModelError
from tracker.weights import MANIFEST, find_default, load_checkpoint, load_strictly, read_manifest


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
        pytest.param("a.pt", bytes(range(256)) * 9, "cannot be read", id="noise"),
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


def manifest_of(folder, *entries):
    text = "\n".join(
        "[[weights]]\n" + "\n".join(f'{key} = "{value}"' for key, value in entry.items()) for entry in entries
    )
    (folder / "manifest.toml").write_text(text)
    return folder / "manifest.toml"


def entry_for(path, kind, **changes):
    return {
        "file": path.name,
        "kind": kind,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    } | changes


def test_the_first_of_a_kind_is_the_default(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
    manifest = manifest_of(
        tmp_path,
        entry_for(tmp_path / "a", "detector"),
        entry_for(tmp_path / "b", "pose", trained_on="pictures"),
        entry_for(tmp_path / "c", "pose"),
    )
    assert [weights.kind for weights in read_manifest(manifest)] == ["detector", "pose", "pose"]
    assert find_default("pose", manifest) == tmp_path / "b"
    assert find_default("detector", manifest) == tmp_path / "a"


@pytest.mark.parametrize(("kind", "option"), [("pose", "--pose-model FILE"), ("detector", "--detector FILE")])
def test_without_a_default_the_line_says_how_to_name_one(tmp_path, kind, option):
    assert option in refusal(find_default, kind, manifest_of(tmp_path))
    assert option in refusal(find_default, kind, tmp_path / "none.toml")


def test_shipped_files_are_verified(tmp_path):
    (tmp_path / "a").write_text("a")
    manifest = manifest_of(tmp_path, entry_for(tmp_path / "a", "pose"))
    (tmp_path / "a").write_text("b")
    assert "sha256 differs" in refusal(find_default, "pose", manifest)
    (tmp_path / "a").write_text("version https://git-lfs.github.com/spec/v1\n")
    assert "git lfs pull" in refusal(find_default, "pose", manifest)
    (tmp_path / "a").unlink()
    assert "there is no network file" in refusal(find_default, "pose", manifest)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("weights = [", id="no TOML"),
        pytest.param("[[weights]]\nfile = 'a'", id="no hash"),
        pytest.param("weights = 3", id="no table"),
        pytest.param("[[weights]]\nfile = 1\nkind = 'pose'\nsha256 = ''", id="a name that is no text"),
    ],
)
def test_a_malformed_manifest_is_one_line(tmp_path, text):
    (tmp_path / "manifest.toml").write_text(text)
    assert "is malformed" in refusal(read_manifest, tmp_path / "manifest.toml")


def test_the_shipped_manifest_is_in_order():
    assert MANIFEST.is_file()
    for weights in read_manifest():
        assert hashlib.sha256(weights.path.read_bytes()).hexdigest() == weights.sha256
