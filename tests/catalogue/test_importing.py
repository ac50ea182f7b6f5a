"""Published checkpoints become files that state what they are and give the same poses."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.trained import POSE, write_weights
from tracker.catalogue import importing
from tracker.catalogue.entries import read_catalogue
from tracker.catalogue.importing import import_checkpoint
from tracker.errors import ModelError, OutputError
from tracker.nets.litepose import LITEPOSE_SIZES, LitePose
from tracker.nets.pose_resnet import PoseResNet
from tracker.pose import load_pose_network


@pytest.mark.parametrize(
    ("file", "network", "found"),
    [
        ("resnet_18_caffe_256x256.pth.tar", lambda: PoseResNet(18, 16, "caffe"), "PoseResNet, mpii16, 256×256 px, bgr"),
        ("xs.pt", lambda: LitePose(14, LITEPOSE_SIZES["XS"]), "LitePose, crowdpose14, 256×256 px, rgb"),
    ],
)
def test_a_checkpoint_comes_to_state_what_it_is_and_gives_the_same(tmp_path, monkeypatch, file, network, found):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    torch.save({"state_dict": {f"module.{k}": v for k, v in network().state_dict().items()}}, file)
    output, what = import_checkpoint(Path(file))
    assert (str(output), what) == (re.sub(r"\.(pth\.tar|pth|pt)$", ".safetensors", file), found)
    Path("other.safetensors").write_bytes(output.read_bytes())  # its name tells nothing
    before, after = (load_pose_network(Path(name), "cpu") for name in (file, "other.safetensors"))
    assert (after.skeleton, after.input_size_hw) == (before.skeleton, before.input_size_hw)
    images = np.random.default_rng(0).integers(0, 256, (1, *before.input_size_hw, 3), np.uint8)
    for given, expected in zip(after.run(images).values(), before.run(images).values(), strict=True):
        np.testing.assert_array_equal(given, expected)
    with pytest.raises(OutputError, match="exists; move it away or pass --overwrite"):
        import_checkpoint(Path(file))
    import_checkpoint(Path(file), output, overwrite=True)
    with pytest.raises(ModelError, match="states already what it is"):
        import_checkpoint(output, Path("again.safetensors"))


class RunsCode:
    def __reduce__(self):
        return Path.touch, (Path("owned"),)


def test_what_is_no_checkpoint_of_ours_is_refused_and_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {"a": torch.ones(1)}, "hook": RunsCode()}, "code.pth")
    torch.save({"head.cls_x.weight": torch.ones(1)}, "rtmpose.pth")
    torch.save(PoseResNet(18, 5).state_dict(), "five.pth")
    for name, message in (
        ("code.pth", "loading that could run code, so it is refused"),
        ("rtmpose.pth", "holds no PoseResNet or LitePose"),
        ("five.pth", "five.pth leaves its skeleton, input_size open; write them into five.toml"),
        ("net.zip", "is no checkpoint of torch; for what the catalogue has, run: python -m tracker weights fetch NAME"),
        ("none.pth", "there is no network file none.pth"),
    ):
        with pytest.raises(ModelError, match=re.escape(message)):
            import_checkpoint(Path(name))
    assert {path.suffix for path in tmp_path.iterdir()} == {".pth"}


def test_a_checkpoint_of_the_catalogue_is_known_by_its_content(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"head.cls_x.weight": torch.ones(1)}, "a.pth")
    digits = hashlib.sha256(Path("a.pth").read_bytes()).hexdigest()[:8]
    entry = read_catalogue()["rtmpose-m"]
    renamed = replace(entry, file=entry.file.replace("e48f03d0", digits))
    monkeypatch.setattr(importing, "read_catalogue", lambda: {"rtmpose-m": renamed})
    with pytest.raises(ModelError, match=r"a.pth is rtmpose-m, which runs as ONNX alone; run: .* fetch rtmpose-m"):
        import_checkpoint(Path("a.pth"))


def test_a_file_of_ours_stays_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="states already what it is"):
        import_checkpoint(write_weights(Path("ours.safetensors"), POSE), Path("b.safetensors"))
