"""The command that says what works here: on a whole machine, and with faults that are really there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tracker.doctor.checks import CHECKS
from tracker.doctor.look import look_here

ROOT = Path(__file__).resolve().parents[2]
AGAIN = "install the program again, or run in a checkout: git checkout weights"


def doctor(*options: str, first: Path | None = None, root: Path = ROOT, **environment: str) -> tuple[int, Any]:
    """The exit code and the findings by check, with a folder that comes first on the path."""
    path = os.pathsep.join(str(folder) for folder in (first, root) if folder)
    done = subprocess.run(
        [sys.executable, "-m", "tracker", "doctor", "--json", *options],
        cwd=root, capture_output=True, encoding="utf-8", timeout=900, check=False,
        env=os.environ | {"PYTHONPATH": path} | environment,
    )  # fmt: skip
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def package(folder: Path, name: str, code: str) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(code)


@pytest.mark.slow
def test_where_everything_works(tmp_path: Path) -> None:
    package(tmp_path, "sitecustomize", "from tracker.doctor import checks; checks._NUM_FRAMES = 8")  # of each process
    code, found = doctor(first=tmp_path, DISPLAY="")
    assert (code, found["works"], list(found["checks"])) == (0, True, list(CHECKS))
    states = {name: {finding["state"] for finding in findings} for name, findings in found["checks"].items()}
    assert {name for name, seen in states.items() if "problem" in seen} <= {"packages"}
    tracking, *_ = found["checks"]["tracking"]
    assert float(tracking["text"].split()[0]) > 0
    assert "h264" in found["checks"]["video"][0]["text"]
    if sys.platform == "linux":
        assert found["checks"]["display"][0]["text"] == "no live window: this machine has no display"


def test_libraries_that_are_broken_are_found_and_their_remedies_told(tmp_path: Path) -> None:
    """One without content, one that does not import, one that ends the process, and two of one folder."""
    package(tmp_path, "cv2", "")
    package(tmp_path, "torch", "raise ImportError('libtorch_cpu.so: undefined symbol')")
    package(tmp_path, "onnxruntime", "import os; os.abort()")
    for name in ("opencv_python", "opencv_python_headless"):
        (tmp_path / f"{name}-4.0.dist-info").mkdir()
        (tmp_path / f"{name}-4.0.dist-info" / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 4.0\n"
        )
    code, found = doctor(first=tmp_path)
    assert (code, found["works"]) == (1, False)
    problems = {
        name: (finding["text"], finding["remedy"])
        for name, findings in found["checks"].items()
        for finding in findings
        if finding["state"] == "problem"
    }
    again = "pip install --force-reinstall"
    hollow = "cv2 is not whole (module 'cv2' has no attribute '{}')"
    place = f", {{0}} being {tmp_path / '{0}' / '__init__.py'}"
    assert problems["opencv"] == (hollow.format("resize") + place.format("cv2"), f"{again} opencv-python")
    undefined = "it does not import (libtorch_cpu.so: undefined symbol)"
    assert problems["torch"] == (undefined + place.format("torch"), f"{again} torch")
    assert problems["onnx"][0].startswith("the process crashed (")
    assert problems["onnx"][1].startswith("pip uninstall -y onnxruntime onnxruntime-gpu")
    text, remedy = problems["packages"]
    assert "opencv-python 4.0, opencv-python-headless 4.0 bring the same folder cv2" in text
    assert remedy == "pip uninstall -y opencv-python opencv-python-headless, then pip install opencv-python"
    for name in ("video", "tracking"):
        assert problems[name][1] == "mend opencv first"
    assert not problems.keys() & {"system", "weights", "memory"}


def test_the_cause_alone_has_a_remedy(tmp_path: Path) -> None:
    fault = "libGL.so.1: cannot open shared object file: No such file or directory"
    package(tmp_path, "cv2", f"raise ImportError('{fault}')")
    exit_code, found = doctor("--only", "opencv", "packages", "video", first=tmp_path)
    assert exit_code == 1
    opencv, video = (found["checks"][name] for name in ("opencv", "video"))
    remedy = "on Debian or Ubuntu: apt-get install libgl1 libglib2.0-0"
    assert [one["remedy"] for one in (*opencv, *video)] == [remedy, "mend opencv first"]
    assert str(tmp_path / "cv2") in opencv[0]["text"]


def test_torch_is_no_problem_where_it_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the container: checkpoints and training need it, tracking does not."""
    monkeypatch.setitem(sys.modules, "torch", None)
    (finding,) = look_here("torch")
    assert (finding.state, finding.remedy) == ("note", "pip install torch")


def test_networks_that_are_missing_or_damaged(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "tracker", tmp_path / "tracker", ignore=shutil.ignore_patterns("__pycache__"))
    code, found = doctor("--only", "weights", "tracking", root=tmp_path)
    assert code == 1
    (finding,) = found["checks"]["weights"]
    assert finding["text"] == f"no networks are in {tmp_path / 'weights'}"
    assert finding["remedy"] == AGAIN
    assert found["checks"]["tracking"][0]["state"] == "problem"
    shutil.copytree(ROOT / "weights", tmp_path / "weights")
    (tmp_path / "weights" / "pose.onnx").write_bytes(b"cut off")
    code, found = doctor("--only", "weights", root=tmp_path)
    assert (code, found["works"]) == (1, None)  # whether tracking works was not asked
    (finding,) = found["checks"]["weights"]
    assert (finding["state"], finding["remedy"]) == ("problem", AGAIN)
    assert "pose.onnx is damaged" in finding["text"]
    (tmp_path / "weights" / "pose.onnx").unlink()
    code, found = doctor("--only", "weights", root=tmp_path)
    (finding,) = found["checks"]["weights"]
    assert (code, finding["remedy"]) == (1, AGAIN)
    assert finding["text"] == f"{tmp_path / 'weights' / 'pose.onnx'}, which is included, is missing"


def test_lines_for_people(run: Any) -> None:
    done = run("doctor", "--only", "system", "display")
    assert (done.code, done.err) == (0, "")
    system, *_ = done.out.splitlines()
    assert system.startswith(f"ok       system    Python {sys.version.split()[0]} (")
