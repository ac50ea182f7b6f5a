"""Who may import whom; that everything imports; that start-up loads nothing heavy."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import tracker
from tracker.cli import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "tracker"

GROUND = {"types", "skeletons", "boxes", "errors", "fields", "outputs", "ending", "plots"}
ENGINES = GROUND | {"runtime", "engines", "weights"}
PARTS = {"tracking", "flow", "video", "nets", "formats"} | ENGINES
BELOW_COMMANDS = PARTS | {"pose", "detection", "pace", "selection", "appearance", "pipeline"}

# part -> the parts it may import, besides itself
ALLOWED = {
    **dict.fromkeys(GROUND, GROUND),
    **dict.fromkeys(("tracking", "flow", "video", "nets", "formats"), GROUND),
    "after": GROUND | {"formats", "tracking"},
    "runtime": GROUND,
    "engines": GROUND | {"runtime"},
    "weights": GROUND | {"runtime", "nets"},
    "pose": ENGINES | {"nets"},
    "detection": ENGINES | {"nets"},
    "appearance": GROUND | {"runtime", "nets"},
    "published": GROUND | {"nets"},
    "export": ENGINES | {"nets", "published", "pose", "detection"},
    "catalogue": ENGINES | {"nets", "pose", "detection"},
    "pace": GROUND,
    "selection": GROUND | {"tracking"},
    "pipeline": (BELOW_COMMANDS - {"formats"}) | {"catalogue"},
    "datasets": GROUND | {"formats", "video"},
    "scenes": BELOW_COMMANDS - {"formats"},
    "given": BELOW_COMMANDS,
    "job": BELOW_COMMANDS | {"after", "given", "scenes"},
    "doctor": BELOW_COMMANDS | {"job"},
    "evaluation": BELOW_COMMANDS | {"datasets", "scenes"},
    "training": BELOW_COMMANDS | {"datasets", "evaluation", "published"},
    "serve": BELOW_COMMANDS | {"job", "evaluation"},
    "commands": BELOW_COMMANDS
    | {"after", "datasets", "job", "doctor", "evaluation", "export", "scenes", "serve", "training", "catalogue"},
    "cli": GROUND | {"commands"},
    "__main__": {"cli"},
    "__init__": {"pipeline", "tracking", "video", "formats", "given", "skeletons", "types", "errors"},
}
# part -> third-party packages it may not import
FORBIDDEN = {
    "after": {"cv2", "torch", "onnxruntime", "av"},
    "tracking": {"cv2", "torch", "onnxruntime", "av"},
    "nets": {"cv2", "numpy", "onnxruntime", "av"},
    **{part: {"cv2", "torch", "onnxruntime", "av", "scipy"} for part in GROUND},
}

# Who reads options; nobody else sees a Namespace.
READERS = {"commands", "cli"}

FILES = sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Full names of all modules a file imports, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_imports_keep_the_layers() -> None:
    for path in FILES:
        part, imported = part_of(path), imports(path)
        own = {name.split(".")[1] for name in imported if name.startswith("tracker.")}
        own = {name for name in own if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()}
        assert own <= ALLOWED[part] | {part}, path
        others = {name.split(".")[0] for name in imported}
        assert not others & FORBIDDEN.get(part, set()), path
        assert "argparse" not in others or part in READERS, path


def test_no_import_cycles() -> None:
    known = {module_name(path) for path in FILES}
    graph = {module_name(path): imports(path) & known - {module_name(path)} for path in FILES}
    graph.pop("tracker")  # its names are loaded on first use
    assert set(TopologicalSorter(graph).static_order()) >= set(graph)


def test_every_module_imports() -> None:
    for path in FILES:
        if path.name != "__main__.py":
            importlib.import_module(module_name(path))


@pytest.mark.parametrize(
    "arguments",
    [
        ["-c", "import tracker"],
        ["-m", "tracker", "--help"],
        ["run_video.py", "--help"],
    ],
    ids=["import", "help", "run_video help"],
)
def test_start_up_loads_neither_torch_nor_onnxruntime(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = {line.split("|")[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time")}
    assert "tracker" in loaded
    assert not {name for name in loaded if name.split(".")[0] in ("torch", "onnxruntime", "cv2", "av", "scipy")}


def test_a_command_loads_no_other_one_nor_what_web_and_bars_need() -> None:
    parts = "import sys; from tracker.cli import main; import tracker.job.run"
    code = f"{parts}; main(['track', '--input', 'nothing.mp4']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "tracker.commands.track" in loaded
    others = {f"tracker.commands.{name}" for name in COMMANDS if name != "track"}
    assert not loaded & {*others, "http", "ssl", "tqdm", "numpy.ma", "scipy", "torch", "onnxruntime"}


def test_what_the_package_exports_exists() -> None:
    assert set(tracker.__all__) == set(tracker._HOMES)
    for name in tracker.__all__:
        assert getattr(tracker, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tracker.nothing
