"""The profile command: a table on stdout, and the same figures as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands.conftest import Run
from tests.trained import DETECTOR, write_weights


def test_it_prints_a_row_for_each_network(run: Run, tmp_path: Path) -> None:
    write_weights(tmp_path / "det.safetensors", DETECTOR)
    done = run("profile", "LitePose-XS", "PoseResNet50", "det.safetensors", "--json", "a.json")
    assert done.code == 0
    head, *rows = done.out.splitlines()
    assert head.split() == ["network", "input", "parameters", "MACs", "Simple", "Baselines", "LitePose"]
    assert rows[0].split() == ["LitePose-XS", "256×256", "1,675,912", "0.886", "G", "1.156", "G", "1.205", "G"]
    assert rows[1].split()[:6] == ["PoseResNet50", "256×192", "33,999,697", "5.426", "G", "9.654"]
    assert rows[2].split()[:2] == ["det.safetensors", "416×416"]
    assert {len(row) for row in rows} == {len(head)}
    assert "deconvolutions at input positions" in done.err
    content = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert [entry["network"] for entry in content] == ["LitePose-XS", "PoseResNet50", "det.safetensors"]
    assert content[0]["macs"] == 885_841_920
    assert content[0]["size_hw"] == [256, 256]
    assert sum(part["parameters"] for part in content[0]["stages"].values()) == content[0]["parameters"]


def test_size_and_keypoints_can_be_named_and_parts_shown(run: Run) -> None:
    done = run("profile", "LitePose-S", "--size", "128x192", "--keypoints", "14", "-v")
    _, total, *parts = done.out.splitlines()
    assert total.split()[:3] == ["LitePose-S", "128×192", "2,731,240"]
    assert [part.split()[0] for part in parts[:3]] == ["first", "stage.0", "stage.1"]


def test_without_a_name_every_network_is_shown(run: Run) -> None:
    rows = run("profile", "--size", "64x64").out.splitlines()[1:]
    assert len(rows) == 12
    assert {row.split()[1] for row in rows} == {"64×64"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["LitePose-XXS"], 2, "there is no network 'LitePose-XXS'", id="unknown network"),
        pytest.param(["LitePose-XS", "--size", "100x100"], 2, "must be multiples of 32", id="size that does not fit"),
        pytest.param(["LitePose-XS", "--json", "there.json"], 1, "pass --overwrite", id="existing output"),
    ],
)
def test_refusals(run: Run, tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    (tmp_path / "there.json").write_text("mine")
    done = run("profile", *arguments)
    assert (done.code, done.out, done.err.count("\n")) == (code, "", 1)
    assert message in done.err
    assert (tmp_path / "there.json").read_text() == "mine"
