"""`train` on a few rendered people: from the command line to a file that can be exported."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.commands.conftest import Outcome, Run, refused
from tests.training.rendered import write_data
from tracker import plots
from tracker.training import curves
from tracker.training.detector_task import DetectorTask
from tracker.weights import read_metadata

SMALL = ["--batch-size", "2", "--device", "cpu", "--precision", "fp32"]
KINDS = {
    "pose": ["--input-size", "32", "32", "--min-keypoints", "3"],
    "detector": ["--size", "64", "--grids", "0.5", "0.5", "0", "--frozen-stages", "-1"],
    "litepose": ["--input-size", "64", "--size", "XS"],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"), num_frames=3)


@pytest.fixture
def train(run: Run, data: Path) -> Callable[..., Outcome]:
    """Runs `train` for three steps, with those further arguments."""

    def train(kind: str, *arguments: str | Path) -> Outcome:
        course = ["--steps", "3", "--log-every", "1", "--output", "run", "--threads", "1"]
        return run("train", kind, "--data", data, *SMALL, *KINDS[kind], *course, *arguments)

    return train


@pytest.fixture
def _undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes long."""
    monkeypatch.setattr(curves, "draw", lambda *_: None)


def log(folder: str = "run") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("kind", "network", "figure"),
    [
        ("pose", "PoseLiteHRNet", "rendered_pck"),
        ("detector", "RTMDetNano", "false_at_0.5"),
        ("litepose", "LitePose", "rendered_mean_oks"),
    ],
)
def test_a_run_from_beginning_to_end(train: Callable[..., Outcome], kind: str, network: str, figure: str) -> None:
    done = train(kind)
    assert (done.code, done.out) == (0, "")
    assert done.err.splitlines() == ["run: 3 steps, fp32", "written: run/weights.safetensors"]
    assert sorted(path.name for path in Path("run").iterdir()) == [
        "checkpoint.pt", "curves.png", "log.jsonl", "weights.safetensors",
    ]  # fmt: skip
    assert [line["step"] for line in log()] == [1, 2, 3, 3]
    assert figure in log()[-1]
    metadata = read_metadata(Path("run/weights.safetensors"))
    assert metadata["network"] == network
    stated = {"network", "arguments"}
    if kind != "detector":
        stated |= {"skeleton", "color", "mean", "std", "input_size"}
    if kind == "pose":
        stated.add("dark_kernel")
    assert set(metadata) == stated
    assert len(list(Path("runs/cache").glob("*.jpegs"))) == 1
    again = train(kind)
    assert (again.code, again.err.splitlines()[0]) == (0, "run: 3 steps, fp32, on from step 3")
    assert len(log()) == 4


@pytest.mark.usefixtures("_undrawn")
def test_an_interrupted_run_goes_on(train: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    assert train("detector", "--output", "whole").code == 0
    with monkeypatch.context() as patch:
        loss, calls = DetectorTask.loss, []

        def interrupted(*arguments: Any) -> Any:
            calls.append(1)
            if len(calls) == 2:
                signal.raise_signal(signal.SIGTERM)
            return loss(*arguments)

        patch.setattr(DetectorTask, "loss", interrupted)
        done = train("detector")
    assert done.code == 143
    told = ["saved after step 2 of 3; the same command goes on from there", "interrupted"]
    assert done.err.splitlines() == ["run: 3 steps, fp32", *told]
    assert Path("run/weights.safetensors").is_file()
    assert train("detector").err.splitlines()[0] == "run: 3 steps, fp32, on from step 2"
    whole, parts = (torch.load(f"{name}/checkpoint.pt", weights_only=True)["model"] for name in ("whole", "run"))
    assert all(torch.equal(parts[name], value) for name, value in whole.items())
    assert [line.get("loss") for line in log("whole")] == [line.get("loss") for line in log()]


@pytest.mark.usefixtures("_undrawn")
def test_a_run_starts_anew_where_that_is_wished(train: Callable[..., Outcome]) -> None:
    assert train("pose").code == 0
    done = train("pose", "--flip", "0.1")
    assert "is of a run with flip 0.5, not 0.1; " in refused(done)
    assert train("pose", "--flip", "0.1", "--overwrite").err.splitlines()[0] == "run: 3 steps, fp32"
    assert len(log()) == 4


@pytest.mark.usefixtures("_undrawn")
def test_weights_to_start_from(train: Callable[..., Outcome]) -> None:
    assert train("pose").code == 0
    changes = ["--upsampling", "deconvolution", "--frozen-stages", "2"]
    started = train("pose", "--output", "next", "--init", "run/weights.safetensors", *changes)
    assert started.code == 0
    assert "run/weights.safetensors lacks weights of decoder, which start anew" in started.err.splitlines()
    before, after = (torch.load(f"{name}/checkpoint.pt", weights_only=True)["state_dict"] for name in ("run", "next"))
    assert torch.equal(before["trunk.stem.first.weight"], after["trunk.stem.first.weight"])
    last = "trunk.stages.2.1.branches.0.1.layers.0.weight"
    assert not torch.equal(before[last], after[last])


@pytest.mark.usefixtures("_undrawn")
def test_presets_and_epochs(run: Run, data: Path) -> None:
    course = ["--epochs", "1", "--batch-size", "4", "--accumulate", "2", "--input-size", "32", "32", "--log-every", "1"]
    few = ["--limit-people", "6", "--no-augmentation", "--validate-on-train", "--validation-pictures", "2"]
    more = ["--network", "PoseLiteHRNet", "--threads", "1"]
    done = run("train", "pose", "--preset", "paper-coco", "--data", data, "--device", "cpu", *course, *few, *more)
    assert done.code == 0, done.err
    # six people by four
    assert done.err.splitlines()[0].startswith("runs/pose-paper-coco: 2 steps")
    assert {"train_pck", "rendered_ap"} <= log("runs/pose-paper-coco")[-1].keys()
    settings = torch.load("runs/pose-paper-coco/checkpoint.pt", weights_only=True)["settings"]
    assert (settings["schedule"], settings["flip"], settings["ema"], settings["rows"]) == ("step", 0, 0, 6)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["--frozen-stages", "2"], 2, "would freeze random weights", id="random stages frozen"),
        pytest.param(["--accumulate", "5"], 2, "--accumulate must divide", id="parts that do not fit"),
        pytest.param(["--flip", "2"], 2, "--flip must be within 0 and 1, not 2.0", id="a share of 2"),
        pytest.param(["--threads", "0"], 2, "--threads: '0' must be 1 or more", id="no threads"),
        pytest.param(["--data", "nowhere"], 1, "nowhere holds no training data", id="no data"),
        pytest.param(["--device", "tpu"], 2, "there is no device 'tpu'", id="no such device"),
        pytest.param(["--precision", "fp16"], 2, "fp16 needs CUDA", id="fp16 on a CPU"),
        pytest.param(["--init", "absent.pth"], 1, "no network file absent.pth", id="no weights"),
    ],
)
def test_what_cannot_be(train: Callable[..., Outcome], arguments: list[str], code: int, message: str) -> None:
    Path("file").touch()
    assert message in refused(train("pose", *arguments), code)


def test_weights_that_are_not_of_a_run_are_kept(train: Callable[..., Outcome]) -> None:
    Path("run").mkdir()
    Path("run/weights.safetensors").write_bytes(b"precious")
    assert "run/weights.safetensors exists" in refused(train("pose"))
    assert Path("run/weights.safetensors").read_bytes() == b"precious"


def test_without_matplotlib_the_curve_is_not_drawn(
    train: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (curves, plots):
        monkeypatch.setattr(module, "can_draw", lambda: False)
    done = train("pose")
    assert done.code == 0
    assert done.err.splitlines()[0] == (
        "curves.png is not drawn without matplotlib; run: pip install 'matplotlib>=3.8,<4'"
    )
    assert not Path("run/curves.png").exists()


def test_the_help_names_every_setting_and_what_it_is(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run("train", "pose", "--help")
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for option, default in (("--rotation-deg X", "[25.0]"), ("--input-size X X", "[256 192]"), ("--ema X", "[0.998]")):
        assert default in text[text.index(f"{option} ") :][:200]
    assert "--teacher-share X" in text
    assert "--animal-finder" not in text
