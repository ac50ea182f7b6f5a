"""PoseResNet against the published network: names, shapes, outputs, costs, initial weights."""

from __future__ import annotations

import functools
import re

import numpy as np
import pytest
import torch
from torch import nn

from tests.nets.published import fill_weights, random_images
from tests.vectors import cases, files, read_json
from tracker.nets.pose_resnet import PoseResNet
from tracker.nets.resnet import Bottleneck

NUM_KEYPOINTS = {"coco17": 17, "mpii16": 16}


def settings_of(net_name):
    """Depth, keypoints, (height, width) and style in names such as R50_coco17_256x192_caffe."""
    depth, dataset, height, width, style = re.fullmatch(r"R(\d+)_(\w+?)_(\d+)x(\d+)(?:_(\w+))?", net_name).groups()
    return int(depth), NUM_KEYPOINTS[dataset], (int(height), int(width)), style or "pytorch"


@functools.cache
def shapes_alone(depth, num_keypoints, style="pytorch"):
    """A network without memory for its weights."""
    with torch.device("meta"):
        return PoseResNet(depth, num_keypoints, style).eval()


@pytest.mark.vectors_sb
@pytest.mark.parametrize("case", cases("SB-6_R*.npz"))
def test_outputs_are_the_published_ones(case):
    name = case.path.stem.removeprefix("SB-6_")
    facts = read_json(case.path.with_name("SB-6_networks.json"))["nets"][name]
    depth, num_keypoints, size_hw, style = settings_of(name)
    model = PoseResNet(depth, num_keypoints, style).eval()
    assert fill_weights(model, facts["salt"]) == facts["fill_digest"]

    stages = {}
    for stage in facts["stage_mean_f64"]:
        model.get_submodule(stage).register_forward_hook(
            lambda _module, _inputs, output, stage=stage: stages.update({stage: output.double()})
        )
    with torch.inference_mode():
        output = model(random_images(int(case["input_seed"]), size_hw)).numpy()

    tolerance = max(20 * facts["f32_vs_f64_maxabs"], 1e-4 * facts["out_std"])
    assert output.shape == tuple(facts["out_shape"])
    samples = case.matching(r"output(_strided_(\d+)_\d+)?")
    assert samples
    for key, step in samples:
        sampled = output[:, :, :: int(step or 1), :: int(step or 1)]
        np.testing.assert_allclose(sampled, case[f"output{key or ''}"], rtol=0, atol=tolerance)
    for stage, values in stages.items():
        assert values.mean() == pytest.approx(facts["stage_mean_f64"][stage], rel=1e-4)
        assert values.std() == pytest.approx(facts["stage_std_f64"][stage], rel=1e-4)


@pytest.mark.vectors_sb
@pytest.mark.parametrize("path", files("SB-6_state_dict_keys.json"))
def test_names_and_shapes_are_the_published_ones(path):
    for network, published in read_json(path).items():
        model = shapes_alone(int(network.removeprefix("R")), 17)
        ours = sorted([name, list(value.shape)] for name, value in model.state_dict().items())
        assert ours == published, network


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_caffe_style_strides_on_the_first_convolution_of_bottlenecks(depth):
    caffe = shapes_alone(depth, 17, "caffe")
    assert caffe.out_channels == 2048
    for stage, stride in ((caffe.layer1, 1), (caffe.layer2, 2), (caffe.layer3, 2), (caffe.layer4, 2)):
        first, *rest = stage
        assert isinstance(first, Bottleneck)
        assert (first.conv1.stride, first.conv2.stride) == ((stride, stride), (1, 1))
        assert all(block.conv1.stride == block.conv2.stride == (1, 1) for block in rest)


def test_the_head_starts_as_published():
    torch.manual_seed(0)
    model = PoseResNet(18, 17)
    for module in (*model.deconv_layers, model.final_layer):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            assert module.weight.std().item() == pytest.approx(1e-3, rel=0.05)
            assert module.weight.mean().item() == pytest.approx(0, abs=1e-4)
    assert not model.final_layer.bias.any()


@pytest.mark.parametrize("depth", [0, 17, 51])
def test_other_depths_are_refused(depth):
    with pytest.raises(ValueError, match=f"18, 34, 50, 101, 152.* got {depth}"):
        PoseResNet(depth, 17)
