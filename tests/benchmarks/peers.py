"""Compares this program with others in one run, in turns: whole clips, and ids for the same twenty people.

    python -m tests.benchmarks.peers CLIP [--rounds 5] [--detector FILE.onnx] [--pose-model FILE.onnx]

makes environments for the others by pip (in `--env`, kept for the next time) and prints two tables. Networks are the
included ones unless named; rtmlib runs the same two files. CPU time is that of all threads of a process.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tests.benchmarks import contenders
from tracker.evaluation.tables import markdown_table
from tracker.weights import find_default

ROOT = Path(__file__).resolve().parents[2]
# An environment each, since their requirements exclude one another; contenders' names begin with these.
PACKAGES = {
    "rtmlib": ("rtmlib==0.0.16",),
    "norfair": ("norfair==2.3.0",),
    "trackers": ("trackers==2.6.1", "supervision==0.31.2"),
}


def make_environment(folder: Path, packages: Sequence[str]) -> Path:
    """The Python of an environment with these packages, which is made if it is not there."""
    python, done = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python"), folder / "packages.txt"
    if not done.is_file() or done.read_text().split() != [*packages]:
        venv.create(folder, with_pip=True)
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
        if subprocess.run(command, check=False).returncode:
            raise SystemExit(f"pip could not install {' '.join(packages)}; its message is above")
        done.write_text("\n".join(packages))
    return python


def make_environments(folder: Path) -> dict[str, Path]:
    """That of each peer; rtmlib has our version of ONNX Runtime."""
    packages = PACKAGES | {"rtmlib": (*PACKAGES["rtmlib"], f"onnxruntime=={_onnxruntime_version()}")}
    return {name: make_environment(folder / name, needed) for name, needed in packages.items()}


def _onnxruntime_version() -> str:
    try:
        return version("onnxruntime-gpu")
    except PackageNotFoundError:
        return version("onnxruntime")


class Contender:
    """A process that works when it is told to."""

    def __init__(self, python: Path, *arguments: str) -> None:
        command = [str(python), "-W", "ignore", contenders.__file__, *arguments]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._answer()

    def __enter__(self) -> Contender:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()

    def work(self) -> dict[str, Any]:
        """Once: frames, wall and CPU seconds, and how many people or ids it found."""
        assert self._process.stdin
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return json.loads(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith("@ "):
                return line[2:]
        raise SystemExit(f"{' '.join(map(str, self._process.args))} ended early; its message is above")


def compare(
    commands: Mapping[str, Sequence[str]], pythons: Mapping[str, Path], rounds: int
) -> dict[str, dict[str, float]]:
    """Medians of all contenders, who work in turns; one turn before is not counted."""
    with ExitStack() as stack:
        running = {}
        for name, command in commands.items():
            python = pythons.get(name.partition(",")[0], Path(sys.executable))
            running[name] = stack.enter_context(Contender(python, *command))
        turns = [{name: one.work() for name, one in running.items()} for _ in range(rounds + 1)][1:]
    return {
        name: {
            "wall_ms": statistics.median(1e3 * turn[name]["wall_s"] / turn[name]["frames"] for turn in turns),
            "cpu_ms": statistics.median(1e3 * turn[name]["cpu_s"] / turn[name]["frames"] for turn in turns),
            "found": turns[0][name]["found"],
        }
        for name in commands
    }


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--max-frames", type=int, default=100)
    parser.add_argument("--detector", type=Path, default=find_default("detector", "cpu"))
    parser.add_argument("--pose-model", type=Path, default=find_default("pose", "cpu"))
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--env", type=Path, default=ROOT / ".venv-peers")
    args = parser.parse_args()
    pythons = make_environments(args.env)

    with tempfile.TemporaryDirectory() as folder:
        places = [args.clip, str(args.detector), str(args.pose_model), folder, str(args.max_frames)]
        loops = compare({name: [name, *places] for name in contenders.LOOPS}, pythons, args.rounds)
    mine = loops["ours"]
    header = ["loop", "frames/s", "our frames/s by its", "CPU ms a frame", "its CPU by ours", "people"]
    rows = []
    for name, one in loops.items():
        ratios = one["wall_ms"] / mine["wall_ms"], one["cpu_ms"] / mine["cpu_ms"]
        rows.append([name, 1e3 / one["wall_ms"], ratios[0], one["cpu_ms"], ratios[1], int(one["found"])])
    print(markdown_table(header, rows, digits=2))

    work = {name: ["associate", name, str(args.people), "200"] for name in contenders.TRACKERS}
    ids = compare(work, pythons, args.rounds)
    first = ids["ours, ids"]["cpu_ms"]
    rows = [[name, one["cpu_ms"], one["cpu_ms"] / first, int(one["found"])] for name, one in ids.items()]
    print("\n" + markdown_table([f"ids of {args.people} people", "CPU ms a frame", "by ours", "ids"], rows, digits=2))


if __name__ == "__main__":
    main()
