"""Parameters and MACs: counted by hand, as published, of names and of files."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tests.nets.published import litepose_config
from tests.trained import BOTTOM_UP, DETECTOR, POSE, write_weights
from tests.vectors import files, read_json
from tracker.evaluation.profile import Cost, measure, named_network, profile
from tracker.nets.litepose import LITEPOSE_SIZES, LitePose, LitePoseConfig
from tracker.nets.pose_resnet import PoseResNet

NUM_KEYPOINTS = {"coco": 17, "crowdpose": 14, "coco17": 17, "mpii16": 16}
SMALL = LitePoseConfig(8, (8, 8, 16), (16, 8), num_blocks=(2, 1, 2), expansion=2, kernel=5)


def test_a_layer_that_runs_twice_costs_twice_but_has_its_parameters_once():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1, bias=False)

        def forward(self, x):
            return self.conv(self.conv(x))

    assert measure(Twice(), (2, 2)) == {"conv": Cost(9, 72, 72, 72)}


def test_measuring_changes_nothing():
    model = LitePose(2, SMALL).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    parts = measure(model, (32, 32))
    assert list(parts)[:4] == ["first", "stage.0", "stage.1", "stage.2"]
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.vectors_litepose
@pytest.mark.parametrize("path", files("LP-1_macs_params.json"))
def test_costs_of_litepose_are_the_published_ones(path):
    for name, published in read_json(path).items():
        arch, dataset = name.rsplit("_", 1)
        with torch.device("meta"):
            model = LitePose(NUM_KEYPOINTS[dataset], litepose_config(path, arch))
        side = published["img_size"]
        total = sum(measure(model, (side, side)).values(), Cost())
        assert total == Cost(
            published["params_total"],
            published["macs_total"],
            published["conv_plus_deconv_at_output_positions"],
            published["ptflops069_macs"],
        ), name


@pytest.mark.vectors_sb
@pytest.mark.parametrize("path", files("SB-6_macs_params.json"))
def test_costs_of_pose_resnets_are_the_published_ones(path):
    for name, published in read_json(path).items():
        depth, dataset, height, width = re.fullmatch(r"R(\d+)_(\w+)_(\d+)x(\d+)", name).groups()
        total = profile(f"PoseResNet{depth}", (int(height), int(width)), NUM_KEYPOINTS[dataset]).total
        wanted = [published[key] for key in ("params_total", "macs_total", "conv_plus_deconv_at_output_positions")]
        assert [total.parameters, total.macs, total.macs_at_outputs] == wanted, name


# Votes, 20 people with 17 keypoints by three terms in 96² cells; and what deconvolutions do with repeated borders.
OUTSIDE_LAYERS = {
    "BottomUpMobileNet": 20 * 17 * 3 * 96**2
    + sum(16 * channels * ((side + 2) ** 2 - side**2) for channels, side in ((64, 12), (32, 24), (24, 48)))
}


@pytest.mark.parametrize("name", ["PoseResNet18", "PoseLiteHRNet", "BottomUpMobileNet", "RTMDetNano", "LitePose-XS"])
def test_macs_are_half_of_what_torch_counts_as_operations(name):
    model, size_hw = named_network(name)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(torch.empty(1, 3, *size_hw, device="meta"))
    counted = profile(name)
    assert counted.size_hw == size_hw
    assert counted.total.macs == sum(cost.macs for cost in counted.stages.values())
    assert 2 * (counted.total.macs + OUTSIDE_LAYERS.get(name, 0)) == counter.get_total_flops()
    assert counted.total.parameters == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("stated", "size_hw"),
    [
        pytest.param(POSE, (64, 32), id="pose: the stated size"),
        pytest.param(DETECTOR, (416, 416), id="detector: the usual size"),
        pytest.param(BOTTOM_UP, (64, 64), id="bottom-up"),
    ],
)
def test_files_of_ours(tmp_path, stated, size_hw):
    path = write_weights(tmp_path / "a.safetensors", stated)
    counted = profile(str(path))
    assert (counted.network, counted.size_hw) == (str(path), size_hw)
    assert counted.total.parameters > 0 < counted.total.macs
    assert profile(str(path), (96, 64)).size_hw == (96, 64)


@pytest.mark.parametrize(
    ("name", "network", "size_hw"),
    [
        pytest.param("a.pth", lambda: LitePose(14, SMALL), (512, 512), id="LitePose"),
        pytest.param("xs.pth.tar", lambda: LitePose(14, LITEPOSE_SIZES["XS"]), (256, 256), id="a released one"),
        pytest.param("r18_384x288.pth", lambda: PoseResNet(18, 17), (384, 288), id="PoseResNet, the size in its name"),
    ],
)
def test_published_checkpoints(tmp_path, name, network, size_hw):
    model = network()
    torch.save(model.state_dict(), tmp_path / name)
    counted = profile(str(tmp_path / name))
    assert counted.size_hw == size_hw
    assert counted.total.parameters == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda path: torch.save(LitePose(14, SMALL).state_dict(), path), id="LitePose"),
        pytest.param(lambda path: torch.save(PoseResNet(18, 17).state_dict(), path), id="PoseResNet"),
    ],
)
def test_the_size_that_stands_beside_a_file_is_the_one_it_is_used_with(tmp_path, write):
    write(tmp_path / "a_384x288.pth")
    (tmp_path / "a_384x288.toml").write_text("input_size = [96, 64]")
    assert profile(str(tmp_path / "a_384x288.pth")).size_hw == (96, 64)
