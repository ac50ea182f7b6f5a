"""The training loop: steps, schedules, averaged weights, checkpoints, the log and its plot."""

from __future__ import annotations

import copy
import json
import math
import random
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

import torch
from safetensors.torch import save
from torch import Tensor, nn
from tqdm import tqdm

from tracker.errors import InputError
from tracker.outputs import writing
from tracker.training import curves
from tracker.training.recipes import LoopConfig
from tracker.training.stream import run_ahead

# Modules of our networks that follow the trunk.
HEADS = ("further.", "decoder.", "upsampling.", "heads.", "deconv_", "final_")
# Of those, what begins as published, and is trained as the trunk is.
_BEGUN = ("decoder.",)

# Accuracy of a network by name.
Validate: TypeAlias = Callable[[nn.Module], dict[str, float]]


class Task(Protocol):
    """What is trained: how batches are made, what they cost, and how good a network is."""

    def make_batch(self, step: int) -> Any:
        """The batch of a step, always the same one; called from several threads."""

    def loss(self, model: nn.Module, batch: Any, generator: torch.Generator) -> Tensor:
        """A scalar to descend on the generator's device; the generator is for what is random there."""

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Accuracy by name."""


class TrainingRun:
    """A run in a folder: `checkpoint.pt`, `weights.safetensors`, `log.jsonl`, and `curves.png`.

    precision: "bf16", "fp16" (CUDA alone) or "fp32". settings: what the run depends on beside its config, to be the
    same when it goes on. metadata: what the weights state of themselves; without it they are kept in the checkpoint
    alone. num_loaders: threads that make batches.
    It goes on from the checkpoint if there is one, and then does what it would have done without the break.
    Raises InputError for a checkpoint of other settings.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        config: LoopConfig,
        folder: Path,
        device: torch.device,
        *,
        precision: str = "fp32",
        settings: Mapping[str, Any] = MappingProxyType({}),
        metadata: Mapping[str, str] = MappingProxyType({}),
        num_loaders: int = 2,
    ) -> None:
        self.config = config
        self.precision = precision
        self.model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.step = 0
        self._settings = {**asdict(config), "precision": precision, **settings}
        self._metadata = dict(metadata)
        self._num_loaders = num_loaders
        self._losses = 0.0
        self._validated = 0
        self._task = task
        self._folder = folder
        self._device = device
        freeze(self.model, config.frozen_stages, config.trunk_rate)
        self._optimizer = torch.optim.Adam(_parameter_groups(self.model, config), fused=device.type == "cuda")
        self._scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
        self._log_path = folder / "log.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        if self.checkpoint_path.is_file():
            self._resume()
        keep_log_until(self._log_path, self.step)

    @property
    def checkpoint_path(self) -> Path:
        """Where the state of the run is kept."""
        return self._folder / "checkpoint.pt"

    @property
    def weights_path(self) -> Path:
        """Where the averaged weights are kept."""
        return self._folder / "weights.safetensors"

    def train(self, *, log_every: int = 100, validate_every: int = 2000, save_every_s: float = 180.0) -> None:
        """Train to the end of the schedule.

        Ctrl-C saves at the end of the step and goes on as KeyboardInterrupt; any other break loses what came after
        the last checkpoint.
        """
        saved, started, first = time.monotonic(), time.monotonic(), self.step
        bar = tqdm(total=self.config.steps, initial=first, unit="step", mininterval=2.0, disable=None)
        self.model.train()
        try:
            with bar, closing(self._batches()) as batches:
                self._validate_if_due(validate_every)
                while not self._is_complete:
                    parts = [next(batches) for _ in range(self.config.accumulate)]
                    with _interrupts_wait():
                        self._losses += self._descend(parts)
                        if self.step % log_every == 0 or self._is_complete:
                            self._log_loss(log_every, (self.step - first) / (time.monotonic() - started), bar)
                    bar.update()
                    self._validate_if_due(validate_every)
                    if time.monotonic() - saved > save_every_s:
                        self._save()
                        saved = time.monotonic()
            self._save()
        except KeyboardInterrupt:
            self._save()
            raise

    @property
    def _is_complete(self) -> bool:
        return self.step >= self.config.steps

    def _batches(self) -> Generator[Any, None, None]:
        accumulate = self.config.accumulate
        numbers = range(self.step * accumulate, self.config.steps * accumulate)
        return run_ahead(self._task.make_batch, numbers, self._num_loaders, 2 * self._num_loaders)

    def _log_loss(self, log_every: int, steps_per_s: float, bar: tqdm[Any]) -> None:
        """Log the mean loss since the last time."""
        loss = self._losses / (self.step % log_every or log_every)
        self._log(loss=loss, steps_per_s=round(steps_per_s, 3))
        bar.set_postfix(loss=f"{loss:.2e}")
        self._losses = 0.0

    def _validate_if_due(self, every: int) -> None:
        is_due = self.step > 0 and (self.step % every == 0 or self._is_complete)
        if is_due and self._validated != self.step:
            figures = self._task.validate(self.averaged)
            with _interrupts_wait():
                self._log(**figures)
                self._validated = self.step
            curves.draw(self._log_path, self._folder / "curves.png")

    def _descend(self, parts: list[Any]) -> float:
        """Make a step on a batch that comes in parts; its loss."""
        factor = learning_rate_factor(self.config, self.step)
        for group in self._optimizer.param_groups:
            group["lr"] = group["full_rate"] * factor
        self._optimizer.zero_grad()
        losses = []
        for number, part in enumerate(parts):
            generator = torch.Generator(self._device)
            generator.manual_seed(random.Random(f"{self.config.seed} {self.step} {number}").getrandbits(62))
            with self._autocast():
                loss = self._task.loss(self.model, part, generator) / len(parts)
            self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
        self._scaler.unscale_(self._optimizer)
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.max_gradient)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self.step += 1
        self._average()
        # Read last, so that a GPU is waited for once per step.
        return sum(float(loss) for loss in losses)

    def _autocast(self) -> AbstractContextManager[Any]:
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision)
        return torch.autocast(self._device.type, dtype) if dtype else nullcontext()

    @torch.no_grad()
    def _average(self) -> None:
        # A short memory at first, so that the start does not linger.
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        averaged, current = self.averaged.state_dict(), self.model.state_dict()
        moving = [name for name, value in current.items() if value.is_floating_point()]
        torch._foreach_lerp_([averaged[name] for name in moving], [current[name] for name in moving], 1 - decay)

    def _log(self, **figures: float) -> None:
        with self._log_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": self.step, **figures}) + "\n")

    def _save(self) -> None:
        state = {
            "step": self.step,
            "model": self.model.state_dict(),
            "state_dict": self.averaged.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "settings": self._settings,
            "losses": self._losses,
            "validated": self._validated,
        }
        with writing(self.checkpoint_path) as partial:
            torch.save(state, partial)
        if self._metadata:
            weights = {name: value.cpu().contiguous() for name, value in self.averaged.state_dict().items()}
            with writing(self.weights_path) as partial:
                partial.write_bytes(save(weights, self._metadata))

    def _resume(self) -> None:
        try:
            state = torch.load(self.checkpoint_path, map_location=self._device, weights_only=True)
        except Exception as error:  # a damaged pickle can raise almost anything
            raise InputError(f"{self.checkpoint_path} is damaged ({type(error).__name__}); start anew") from error
        # Checkpoints of before have what is the loop's apart, and lack settings that came later.
        before = state.get("config", {}) | state.get("settings", {})
        for name, value in self._settings.items():
            if name in before and before[name] != value:
                raise InputError(
                    f"{self.checkpoint_path} is of a run with {name} {before[name]}, not {value}; "
                    "give the same settings, name another folder or start anew"
                )
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["state_dict"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])
        self.step = state["step"]
        self._losses = state.get("losses", 0.0)
        self._validated = state.get("validated", self.step)


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Ctrl-C and SIGTERM act at the end of the block, so that a step is made whole or not at all."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in previous:
        signal.signal(number, lambda received, _: arrived.append(received))
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    for received in arrived:
        signal.raise_signal(received)


def keep_log_until(path: Path, step: int) -> None:
    """Drop the lines of a log that come after a step, which will be written again, and a last one that is cut off."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
    kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
    path.write_text("".join(kept), encoding="utf-8")


def learning_rate_factor(config: LoopConfig, step: int) -> float:
    """Share of the full learning rate at a step.

    >>> [learning_rate_factor(LoopConfig(100, schedule="step", drops=(0.5,), warmup=0), s) for s in (49, 50)]
    [1.0, 0.1]
    """
    warm = min(1.0, (step + 1) / (config.warmup + 1))
    progress = step / config.steps
    if config.schedule == "cosine":
        return warm * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)
    return warm * 0.1 ** sum(progress >= drop for drop in config.drops)


def freeze(model: nn.Module, num_stages: int, trunk_rate: float = 1.0) -> None:
    """Keep the stem and the first stages of a model's `trunk`, or all of it, as they are; −1 trains everything.

    With a trunk_rate of 0 all that begins as published stays.
    """
    if not trunk_rate:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(_is_new(name))
    if num_stages < 0:
        return
    trunk: Any = model.trunk
    is_whole = num_stages >= len(trunk.stages)
    # Lite-HRNet's transitions lead to the branches of a stage, two to the first.
    begun = list(getattr(trunk, "transitions", ()))[: num_stages + 1 if num_stages else 0]
    for part in (trunk,) if is_whole else (trunk.stem, *begun, *trunk.stages[:num_stages]):
        part.requires_grad_(False)


def _parameter_groups(model: nn.Module, config: LoopConfig) -> list[dict[str, Any]]:
    chosen: dict[float, list[nn.Parameter]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            rate = 1.0 if _is_new(name) else config.trunk_rate
            chosen[rate * (_size(parameter) if config.relative_rate else 1.0)].append(parameter)
    rates = {rate * config.learning_rate: parameters for rate, parameters in sorted(chosen.items())}
    return [{"params": parameters, "lr": rate, "full_rate": rate} for rate, parameters in rates.items()]


def _is_new(name: str) -> bool:
    """Whether a parameter of this name is of a head that begins at random."""
    return name.startswith(HEADS) and not name.startswith(_BEGUN)


def _size(parameter: nn.Parameter) -> float:
    """The root mean square of a tensor, at least a thousandth, so that what starts at 0 moves."""
    return max(1e-3, float(parameter.detach().square().mean().sqrt()))
