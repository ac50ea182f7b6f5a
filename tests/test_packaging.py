"""An installed wheel is complete: every package, and the default networks."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_every_package_is_listed():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "tracker").rglob("__init__.py")}
    assert sorted(found | set(settings["package-dir"])) == settings["packages"]


def test_the_container_is_built_of_what_is_there():
    copied = re.findall(r"^COPY (?!--)(.+) \S+$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    names = {name for line in copied for name in line.split()}
    assert {"pyproject.toml", "tracker", "weights"} < names
    assert all((ROOT / name).exists() and f"!{name}" in ignored for name in names)


def names_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("setuptools") is None, reason="setuptools is not installed")
def test_a_wheel_carries_every_file_and_the_weights(tmp_path):
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("tracker", "weights"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "weights" / "new.onnx").write_bytes(b"network")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir", tmp_path / "wheel"]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, tmp_path], check=True, capture_output=True)
    (wheel,) = (tmp_path / "wheel").glob("*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    assert names_below(installed / "tracker") == names_below(tmp_path / "tracker") | {
        f"default_weights/{name}" for name in names_below(tmp_path / "weights")
    }
    code = "from tracker import weights; print(weights.MANIFEST, len(weights.read_manifest()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=installed, check=True, capture_output=True, text=True)
    assert done.stdout.split()[0] == str(installed / "tracker" / "default_weights" / "manifest.toml")
