"""The Python loop of the README runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.commands.conftest import TIMES_S

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"


def test_the_loop_of_the_readme_runs(
    clip: Path, models: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (loop,) = [block for block in blocks if "track_video" in block]
    assert len(loop.splitlines()) <= 7
    assert '"clip.mp4"' in loop
    loop = loop.replace('"clip.mp4"', repr(str(clip)))
    # Networks that see somebody in every picture stand in for the included ones.
    files = {"detector": Path(models[1]), "pose": Path(models[3])}
    for module in ("detection.detector", "pose.loading"):
        monkeypatch.setattr(f"tracker.{module}.find_default", lambda kind, *_: files[kind])
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(loop, "README.md", "exec"), names)
    assert capsys.readouterr().out.count("\n") >= len(TIMES_S)


def test_everything_the_documents_link_to_is_there() -> None:
    for name in ("README.md", "CONTRIBUTING.md", "weights/README.md", "tests/data/README.md"):
        document = ROOT / name
        text = document.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (document.parent / target).exists(), f"{name} links to {target}"
        assert not re.findall(r"@[A-Z]+@", text)
