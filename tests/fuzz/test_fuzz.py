"""A short run over everything that is read, with the same damages each time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import settings

from tests.fuzz import runner
from tests.fuzz.child import Child
from tests.fuzz.mutations import bytes_damaged
from tests.fuzz.runner import FUZZING, fuzz
from tests.fuzz.targets import TARGETS, Target
from tests.fuzz.test_child import refuses_zeros

SHORT = settings(FUZZING, max_examples=5, derandomize=True)


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    with Child() as child:
        yield child


@pytest.mark.parametrize("name", TARGETS)
def test_whole_files_are_read_and_damaged_ones_or_refused(child: Child, tmp_path: Path, name: str) -> None:
    path = tmp_path / TARGETS[name].file
    path.parent.mkdir(parents=True, exist_ok=True)
    TARGETS[name].make(path)
    TARGETS[name].read(path)  # otherwise each damaged one would be refused, too, and nothing be learnt
    fuzz(name, child, SHORT, tmp_path, counts := Counter())
    assert counts[name] == SHORT.max_examples


@pytest.fixture
def bad_target(child: Child, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The only target is a reader that fails for a file with a zero in it; the process goes on from run to run."""
    target = Target("x.bin", lambda path: path.write_bytes(b"whole" * 9), bytes_damaged, refuses_zeros)
    monkeypatch.setattr(runner, "TARGETS", {"bad": target})
    monkeypatch.setattr(runner, "FAILURES", tmp_path / "fuzz")
    monkeypatch.setattr(runner, "Child", lambda: nullcontext(child))


@pytest.mark.usefixtures("bad_target")
def test_a_file_that_is_read_wrongly_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["--seconds", "3600"]) == 1
    kept = tmp_path / "fuzz" / "bad_x.bin"
    assert 0 in kept.read_bytes()
    assert f"bad: {kept} is read wrongly: Traceback" in capsys.readouterr().out
    assert runner.main(["--replay", str(kept)]) == 1
    assert "in refuses_zeros" in capsys.readouterr().out
    kept.write_bytes(b"mended")
    assert runner.main(["--replay", str(kept)]) == 0
