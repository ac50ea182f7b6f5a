"""The export command: two files, and their entry for the manifest on stdout."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.commands.conftest import Run
from tests.trained import DETECTOR, write_weights


def test_it_writes_two_files_and_prints_their_entry(run: Run, tmp_path: Path) -> None:
    write_weights(tmp_path / "weights.safetensors", DETECTOR)
    done = run("export", "weights.safetensors", "--output", "det")
    assert (done.code, done.err) == (0, "written: det.onnx, det.safetensors\n")
    (entry,) = tomllib.loads(done.out)["network"]
    assert entry["kind"] == "detector"
    assert entry["onnx"]["bytes"] == (tmp_path / "det.onnx").stat().st_size


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["absent.safetensors", "--output", "a"], 1, "there is no network file", id="no weights"),
        pytest.param(["text.safetensors", "--output", "a"], 1, "cannot be read as network weights", id="text"),
        pytest.param(["weights.safetensors", "--output", "no/a"], 1, "the folder no does not exist", id="no folder"),
        pytest.param(["weights.safetensors"], 2, "--output", id="no output"),
    ],
)
def test_refusals(run: Run, tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    write_weights(tmp_path / "weights.safetensors", DETECTOR)
    (tmp_path / "text.safetensors").write_text("This is no network.")
    done = run("export", *arguments)
    assert (done.code, done.out, done.err.count("\n")) == (code, "", 1)
    assert message in done.err
