"""The Python scripts of the README run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.commands.conftest import TIMES_S
from tracker.formats import read_results

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"


@pytest.mark.parametrize("name", ["track_video", "VideoWriter"])
def test_the_scripts_of_the_readme_run(
    clip: Path,
    models: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (script,) = [block for block in blocks if name in block]
    assert len(list(filter(None, script.splitlines()))) <= 10
    assert '"clip.mp4"' in script
    # Networks that see somebody in every picture stand in for the included ones.
    files = {"detector": Path(models[1]), "pose": Path(models[3])}
    for module in ("detection.detector", "pose.loading"):
        monkeypatch.setattr(f"tracker.{module}.find_default", lambda kind, *_, **__: files[kind])
    monkeypatch.chdir(tmp_path)
    exec(compile(script.replace('"clip.mp4"', repr(str(clip))), "README.md", "exec"), {})
    if name == "track_video":
        assert capsys.readouterr().out.count("\n") >= len(TIMES_S)
    else:
        assert {path.name for path in tmp_path.iterdir()} == {"people.mp4", "people.jsonl"}
        assert len(read_results(tmp_path / "people.jsonl").frames) == len(TIMES_S)


def test_everything_the_documents_link_to_is_there() -> None:
    for name in ("README.md", "CONTRIBUTING.md", "weights/README.md", "tests/data/README.md"):
        document = ROOT / name
        text = document.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (document.parent / target).exists(), f"{name} links to {target}"
        assert not re.findall(r"@[A-Z]+@", text)
