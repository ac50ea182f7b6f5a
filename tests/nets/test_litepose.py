"""LitePose against the published networks: names, shapes, outputs; free configurations; what is read off weights."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.nets.published import fill_weights, litepose_config, random_images
from tests.vectors import cases, files, read_json
from tracker.nets.litepose import (
    LITEPOSE_INPUT_SIZES,
    LITEPOSE_SIZES,
    LitePose,
    LitePoseConfig,
    architecture_of,
)

NUM_KEYPOINTS = {"coco": 17, "crowdpose": 14}
SMALL = LitePoseConfig(8, (8, 8, 16), (16, 8), num_blocks=(2, 1, 2), expansion=2, kernel=5)


@functools.cache
def shapes_alone(num_keypoints, config):
    """A network without memory for its weights."""
    with torch.device("meta"):
        return LitePose(num_keypoints, config).eval()


@pytest.mark.vectors_litepose
@pytest.mark.parametrize("case", cases("LP-1_*.npz"))
def test_outputs_are_the_published_ones(case):
    facts = read_json(case.path.with_name("LP-1_networks.json"))["nets"][case.path.stem.removeprefix("LP-1_")]
    model = LitePose(NUM_KEYPOINTS[facts["dataset"]], litepose_config(case.path, facts["arch"])).eval()
    assert fill_weights(model, facts["salt"]) == facts["fill_digest"]
    stages = {f"stage{i}": stage for i, stage in enumerate(model.stage)}
    stages |= {f"deconv{i}": layers for i, layers in enumerate(model.deconv_bnrelu)}
    seen = {}
    for name, module in stages.items():
        module.register_forward_hook(lambda _m, _i, out, name=name: seen.update({name: out.double()}))
    with torch.inference_mode():
        outputs = model(random_images(facts["input_seed"], (facts["h"], facts["w"])))

    for i, (output, wanted) in enumerate(zip(outputs, facts["outputs"], strict=True)):
        assert list(output.shape) == wanted["shape"]
        tolerance = max(20 * wanted["f32_vs_f64_maxabs"], 1e-4 * wanted["std"])
        ((step,),) = case.matching(rf"output{i}_stride(\d+)")
        sampled = output[:, :, :: int(step), :: int(step)].numpy()
        np.testing.assert_allclose(sampled, case[f"output{i}_stride{step}"], rtol=0, atol=tolerance)
        assert output.double().mean() == pytest.approx(wanted["mean"], abs=tolerance)
    assert seen.keys() == facts["stage_mean_std_f64"].keys()
    for name, (mean, std) in facts["stage_mean_std_f64"].items():
        assert seen[name].mean() == pytest.approx(mean, abs=1e-4 * std)
        assert seen[name].std() == pytest.approx(std, rel=1e-4)


@pytest.mark.vectors_litepose
@pytest.mark.parametrize("path", files("LP-1_state_dict_keys.json"))
def test_names_and_shapes_are_the_published_ones(path):
    for network, published in read_json(path).items():
        arch, dataset = network.rsplit("_", 1)
        config = litepose_config(path, arch)
        state = shapes_alone(NUM_KEYPOINTS[dataset], config).state_dict()
        assert sorted([name, list(value.shape)] for name, value in state.items()) == published, network
        assert architecture_of(state) == (NUM_KEYPOINTS[dataset], config)


@pytest.mark.vectors_litepose
@pytest.mark.parametrize("path", files("LP-1_archs.json"))
def test_the_released_sizes_are_the_published_ones(path):
    released = {name.removeprefix("search-") for name in read_json(path) if name.startswith("search-")}
    for size in released:
        assert LITEPOSE_SIZES[size] == litepose_config(path, f"search-{size}")
        assert LITEPOSE_INPUT_SIZES[size] == read_json(path)[f"search-{size}"]["img_size"]


@pytest.mark.parametrize(
    ("changes", "shapes", "has_tags"),
    [
        pytest.param({}, [(6, 8, 16), (3, 16, 32)], (True, False), id="tags at the coarse scale"),
        pytest.param({"num_outputs": 1}, [(6, 16, 32)], (True,), id="one output"),
        pytest.param({"tags_at_each_scale": True}, [(6, 8, 16), (6, 16, 32)], (True, True), id="tags at each scale"),
        pytest.param({"deconvolutions": (4,), "num_outputs": 1}, [(6, 8, 16)], (True,), id="one deconvolution"),
        pytest.param(
            {"channels": (8, 8, 16, 24), "num_blocks": (1, 1, 1, 1), "deconvolutions": (8, 8, 4), "num_outputs": 3},
            [(6, 4, 8), (3, 8, 16), (3, 16, 32)],
            (True, False, False),
            id="an output at every deconvolution",
        ),
        pytest.param({"expansion": 1, "kernel": 3}, [(6, 8, 16), (3, 16, 32)], (True, False), id="small blocks"),
    ],
)
def test_free_configurations(changes, shapes, has_tags):
    config = replace(SMALL, **changes)
    model = shapes_alone(3, config)
    assert (model.num_keypoints, model.num_outputs, model.tag_outputs) == (3, len(shapes), has_tags)
    outputs = model(torch.empty(2, 3, 32, 64, device="meta"))
    assert [output.shape for output in outputs] == [(2, *shape) for shape in shapes]
    found_keypoints, found = architecture_of(model.state_dict())
    # Nothing tells apart what is the same with one output.
    assert (found_keypoints, replace(found, tags_at_each_scale=config.tags_at_each_scale)) == (3, config)
    assert LitePose(found_keypoints, found).tag_outputs == has_tags


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"kernel": 4}, id="an even kernel"),
        pytest.param({"stem": 0}, id="no channels"),
        pytest.param({"num_blocks": (1, 1)}, id="too few numbers of blocks"),
        pytest.param({"num_blocks": (1, 0, 1)}, id="a stage without blocks"),
        pytest.param({"deconvolutions": (8, 8, 8), "num_outputs": 1}, id="finer than the stem"),
        pytest.param({"num_outputs": 3}, id="more outputs than deconvolutions"),
        pytest.param({"num_outputs": 0}, id="no output"),
        pytest.param({"channels": (), "num_blocks": ()}, id="no stages"),
    ],
)
def test_configurations_of_no_network_are_refused(changes):
    with pytest.raises(ValueError, match="not LitePoseConfig"):
        replace(SMALL, **changes)


def state_of(**changes):
    return {**shapes_alone(2, SMALL).state_dict(), **changes}


@pytest.mark.parametrize(
    "state",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"conv1.weight": torch.empty(3, 3)}, id="another network"),
        pytest.param({k: v for k, v in state_of().items() if not k.startswith("first")}, id="no stem"),
        pytest.param({k: v for k, v in state_of().items() if "final" not in k}, id="no heads"),
        pytest.param(state_of(**{"stage.0.0.inv.0.weight": torch.empty(6)}), id="another shape"),
        pytest.param(state_of(**{"stage.0.0.inv.0.weight": torch.empty(6, 0)}), id="no channels"),
    ],
)
def test_weights_of_other_networks_are_told(state):
    with pytest.raises(ValueError):
        architecture_of(state)
