"""The training loop on a network of a few weights."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tracker.errors import InputError
from tracker.nets.pose_lite_hrnet import PoseLiteHRNet
from tracker.training import curves
from tracker.training.loop import TrainingRun, _parameter_groups, freeze, learning_rate_factor
from tracker.training.recipes import LoopConfig
from tracker.weights import load_checkpoint, read_metadata

CONFIG = LoopConfig(12, 1e-2, warmup=2, ema=0.9)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than all else here."""
    monkeypatch.setattr(curves, "draw", lambda *_: None)


class Trunk(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3)
        self.stages = nn.ModuleList([nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)])


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.final_layer = nn.Conv2d(4, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.trunk.stem(x)
        for stage in self.trunk.stages:
            x = torch.relu(stage(x))
        return self.final_layer(x)


class Pictures:
    """Noise whose brightness is to be told; the loss has noise of its own, as augmentation has."""

    def __init__(self, at_step: dict[int, Callable[[], object]] | None = None, size: int = 6) -> None:
        self.at_step = at_step or {}
        self.size = size
        self.calls = 0
        self.validated: list[int] = []

    def make_batch(self, step: int) -> Tensor:
        return torch.rand(self.size, 1, 5, 5, generator=torch.Generator().manual_seed(step))

    def loss(self, model: nn.Module, batch: Tensor, generator: torch.Generator) -> Tensor:
        self.calls += 1
        self.at_step.pop(self.calls, lambda: None)()
        noise = 0.1 * torch.randn(batch.shape, generator=generator)
        return (model(batch + noise) - batch.mean(dim=(1, 2, 3), keepdim=True)).square().mean()

    def validate(self, model: nn.Module) -> dict[str, float]:
        assert not model.training
        self.at_step.pop(-len(self.validated) - 1, lambda: None)()
        self.validated.append(1)
        return {"weight": float(sum(p.double().sum() for p in model.state_dict().values()))}


def start(folder: Path, task: Any = None, config: LoopConfig = CONFIG, **options: Any) -> TrainingRun:
    torch.manual_seed(0)
    return TrainingRun(Network(), task or Pictures(), config, folder, CPU, **options)


def train(run: TrainingRun, save_every_s: float = 1e9) -> None:
    run.train(log_every=5, validate_every=4, save_every_s=save_every_s)


def state_of(run: TrainingRun) -> dict[str, Any]:
    """Everything a checkpoint holds, and the log without its times."""
    log = [json.loads(line) for line in (run.checkpoint_path.parent / "log.jsonl").read_text().splitlines()]
    state = torch.load(run.checkpoint_path, weights_only=True)
    return {"log": [{k: v for k, v in line.items() if k != "steps_per_s"} for line in log], **state}


def assert_same(found: Any, expected: Any) -> None:
    """Equal bit for bit, whatever the nesting."""
    if isinstance(expected, Tensor):
        assert torch.equal(found, expected)
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_same(found[key], expected[key])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    else:
        assert found == expected


@pytest.fixture
def uninterrupted(tmp_path: Path) -> dict[str, Any]:
    run = start(tmp_path / "whole")
    train(run)
    return state_of(run)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("when", "step"),
    [
        pytest.param(7, 7, id="in a step"),
        pytest.param(5, 5, id="in a step that is logged"),
        pytest.param(12, 12, id="in the last step"),
        pytest.param(-1, 4, id="in the first validation"),
        pytest.param(-3, 12, id="in the last validation"),
    ],
)
def test_an_interrupted_run_goes_on_as_if_it_had_not_been(
    tmp_path: Path, uninterrupted: dict[str, Any], when: int, step: int, number: signal.Signals
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(number, interrupt)
    try:
        run = start(tmp_path, Pictures({when: lambda: signal.raise_signal(number)}))
        with pytest.raises(KeyboardInterrupt):
            train(run)
        assert signal.getsignal(number) is interrupt
    finally:
        signal.signal(number, before)
    assert run.step == step
    resumed = start(tmp_path)
    assert resumed.step == step
    train(resumed)
    assert_same(state_of(resumed), uninterrupted)


def test_a_crashed_run_goes_on_from_its_last_checkpoint(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    def crash() -> None:
        raise RuntimeError("out of memory")

    run = start(tmp_path, Pictures({9: crash}))
    with pytest.raises(RuntimeError, match="out of memory"):
        train(run, save_every_s=0)
    with run.checkpoint_path.with_name("log.jsonl").open("a") as log:
        log.write('{"step": 11, "loss": 1}\n{"step": 1')
    resumed = start(tmp_path)
    assert resumed.step == 8
    train(resumed)
    assert_same(state_of(resumed), uninterrupted)


def test_a_checkpoint_of_before_goes_on(tmp_path: Path) -> None:
    run = start(tmp_path)
    train(run)
    state = torch.load(run.checkpoint_path, weights_only=True)
    for name in ("settings", "losses", "validated"):
        del state[name]
    torch.save(state, run.checkpoint_path)
    assert start(tmp_path, settings={"rotation_deg": 30}).step == 12


def test_a_damaged_checkpoint_is_told(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(InputError, match=r"checkpoint\.pt is damaged"):
        start(tmp_path)


def test_weights_are_the_averaged_ones_and_state_what_they_are(tmp_path: Path) -> None:
    run = start(tmp_path, metadata={"network": "Network", "arguments": "{}"})
    train(run)
    assert read_metadata(run.weights_path) == {"network": "Network", "arguments": "{}"}
    assert_same(load_checkpoint(run.weights_path), dict(run.averaged.state_dict()))
    assert_same(load_checkpoint(run.checkpoint_path), dict(run.averaged.state_dict()))
    assert not torch.equal(run.averaged.final_layer.weight, run.model.final_layer.weight)
    assert not list(tmp_path.glob("*partial*"))


def test_averaged_weights_follow_at_their_pace(tmp_path: Path) -> None:
    run = start(tmp_path, config=replace(CONFIG, steps=1))
    before = run.model.final_layer.weight.detach().clone()
    train(run)
    after = run.model.final_layer.weight.detach()
    # the decay starts at 2 / 11, not at the 0.9 of the config
    torch.testing.assert_close(run.averaged.final_layer.weight, before * 2 / 11 + after * 9 / 11)


def rates_of(model: nn.Module, **changes: Any) -> dict[str, float]:
    """The full rate of every tensor that is trained."""
    groups = _parameter_groups(model, LoopConfig(1, 1e-2, **changes))
    assert all(group["lr"] == group["full_rate"] for group in groups)
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {names[parameter]: group["full_rate"] for group in groups for parameter in group["params"]}


def test_relative_rates_are_shares_of_each_tensors_root_mean_square() -> None:
    model = Network()
    with torch.no_grad():
        model.trunk.stem.weight.fill_(-3)
        model.final_layer.weight[:] = torch.tensor([0.0, 2, -2, 0])[None, :, None, None]
        nn.init.zeros_(model.final_layer.bias)
    model.trunk.stages[0].requires_grad_(False)
    rates = rates_of(model, trunk_rate=0.1, relative_rate=True)
    assert rates["trunk.stem.weight"] == pytest.approx(1e-2 * 0.1 * 3)
    assert rates["final_layer.weight"] == pytest.approx(1e-2 * 2**0.5)
    # what starts at 0 moves too
    assert rates["final_layer.bias"] == pytest.approx(1e-2 * 1e-3)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert rates.keys() == trained
    assert set(rates_of(model, trunk_rate=0.1).values()) == {1e-3, 1e-2}


def test_a_decoder_that_begins_as_published_is_trained_as_the_trunk_is() -> None:
    with torch.device("meta"):
        rates = rates_of(PoseLiteHRNet(19, 2), trunk_rate=0.1)
    parts = {part: {rate for name, rate in rates.items() if name.startswith(part)} for part in ("trunk", "decoder")}
    assert parts == {"trunk": {1e-3}, "decoder": {1e-3}}
    assert {rate for name, rate in rates.items() if name.startswith("further.")} == {1e-2}


@pytest.mark.parametrize(("num_stages", "kept"), [(0, 0), (1, 2), (2, 3)])
def test_frozen_stages_of_lite_hrnet_keep_the_transitions_to_them(num_stages: int, kept: int) -> None:
    """Or the way back would lead through all of them."""
    with torch.device("meta"):
        model = PoseLiteHRNet(19, 2)
    freeze(model, num_stages)
    trained = [any(p.requires_grad for p in transition.parameters()) for transition in model.trunk.transitions]
    assert trained == [False] * kept + [True] * (4 - kept)


def test_a_trunk_rate_of_zero_keeps_all_that_begins_as_published() -> None:
    with torch.device("meta"):
        model = PoseLiteHRNet(19, 2)
    freeze(model, -1, trunk_rate=0)
    assert {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad} == {"further"}


class Halves(Pictures):
    """The batches of `Pictures` in two parts, without noise and without batch norm's statistics."""

    def make_batch(self, step: int) -> Tensor:
        return super().make_batch(step // 2).chunk(2)[step % 2]

    def loss(self, model: nn.Module, batch: Tensor, _: torch.Generator) -> Tensor:
        model.eval()
        return (model(batch) - batch.mean(dim=(1, 2, 3), keepdim=True)).square().mean()


class Wholes(Halves):
    def make_batch(self, step: int) -> Tensor:
        return Pictures.make_batch(self, step)


def test_two_halves_make_a_batch(tmp_path: Path) -> None:
    halves = start(tmp_path / "halves", Halves(), replace(CONFIG, accumulate=2))
    wholes = start(tmp_path / "wholes", Wholes())
    train(halves)
    train(wholes)
    for name, value in wholes.model.state_dict().items():
        torch.testing.assert_close(halves.model.state_dict()[name], value, rtol=0, atol=1e-5)
    found, expected = ([line["loss"] for line in state_of(run)["log"] if "loss" in line] for run in (halves, wholes))
    assert found == pytest.approx(expected, rel=1e-5)


def test_gradients_are_cut(tmp_path: Path) -> None:
    norms = []

    class Watched(Pictures):
        def loss(self, model: nn.Module, batch: Tensor, generator: torch.Generator) -> Tensor:
            norms.append(math.sqrt(sum(float(p.grad.square().sum()) for p in model.parameters() if p.grad is not None)))
            return 1e4 * super().loss(model, batch, generator)

    run = start(tmp_path, Watched(), replace(CONFIG, max_gradient=0.5))
    optimizer_step = run._optimizer.step

    def look(*args: Any, **kwargs: Any) -> Any:
        norms.append(math.sqrt(sum(float(p.grad.square().sum()) for p in run.model.parameters())))
        return optimizer_step(*args, **kwargs)

    run._optimizer.step = look  # type: ignore[method-assign]
    train(run)
    assert norms[1::2] == pytest.approx([0.5] * 12, rel=1e-3)


@pytest.mark.parametrize(
    ("schedule", "step", "factor"),
    [
        pytest.param({}, 0, 1.0, id="cosine, start"),
        pytest.param({}, 25, 0.01 + 0.99 * (1 + math.sqrt(0.5)) / 2, id="cosine, a quarter"),
        pytest.param({}, 50, 0.505, id="cosine, middle"),
        pytest.param({}, 100, 0.01, id="cosine, end"),
        pytest.param({"warmup": 3}, 0, 0.25, id="first warm step"),
        pytest.param({"warmup": 3, "schedule": "step"}, 3, 1.0, id="warm"),
        pytest.param({"schedule": "step", "drops": (0.5, 0.75)}, 49, 1.0, id="before the drop"),
        pytest.param({"schedule": "step", "drops": (0.5, 0.75)}, 50, 0.1, id="at the drop"),
        pytest.param({"schedule": "step", "drops": (0.5, 0.75)}, 99, 0.01, id="after two drops"),
    ],
)
def test_schedules(schedule: dict[str, Any], step: int, factor: float) -> None:
    config = LoopConfig(**{"steps": 100, "warmup": 0} | schedule)
    assert learning_rate_factor(config, step) == pytest.approx(factor)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_cuda_trains_in_half_precision(tmp_path: Path, precision: str) -> None:
    class OnCuda(Pictures):
        def loss(self, model: nn.Module, batch: Tensor, generator: torch.Generator) -> Tensor:
            assert generator.device.type == "cuda"
            return (model(batch.to(generator.device)).float() - 0.5).square().mean()

    of_run = OnCuda(), CONFIG, tmp_path, torch.device("cuda", 0)
    train(TrainingRun(Network(), *of_run, precision=precision))
    assert TrainingRun(Network(), *of_run, precision=precision).step == 12
