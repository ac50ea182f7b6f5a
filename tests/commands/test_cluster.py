"""A batch on a Ray cluster: a local one, a worker of which is killed, and what is said without one."""

from __future__ import annotations

import importlib.util
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.commands.conftest import Run, refused
from tests.commands.datasets import SEQUENCES, contents, write_dataset
from tests.commands.runs import DEADLINE_S, MODULE
from tracker.job import cluster
from tracker.job.job import Job, Outputs, Settings

SETTINGS = ["--device", "cpu", "--detect-every", "2", "--threads", "1"]
# Two CPUs, and so two tasks at once; ends with its standard input.
HEAD = """
import sys, ray
options = {"num_cpus": 2, "include_dashboard": False, "object_store_memory": 80_000_000, "log_to_driver": False}
context = ray.init(_temp_dir=sys.argv[1], **options)
print(context.address_info["gcs_address"], flush=True)
sys.stdin.read()
ray.shutdown()
"""

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None or not Path("/proc").is_dir(),
    reason="ray is not installed (the extra `cluster`), or processes cannot be listed in /proc",
)


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A Ray cluster of this machine alone, for whoever has the token in this process's environment."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(16))
    pipe = subprocess.PIPE
    # Paths of sockets are short, so this is no folder of pytest's.
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        subprocess.Popen([sys.executable, "-c", HEAD, folder], stdin=pipe, stdout=pipe, stderr=pipe, text=True) as head,
    ):
        try:
            assert head.stdout
            found = head.stdout.readline().strip()
            assert found, head.stderr and head.stderr.read()
            yield found
        finally:
            head.communicate()


def pids_at_work() -> set[int]:
    """The processes of Ray that are tracking, by their titles."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(f"ray::{cluster._track_there.__name__}".encode()):
                found.add(int(path.parent.name))
        except OSError:  # it has ended
            continue
    return found


@needs_ray
def test_a_worker_is_killed_and_no_sequence_is_lost_or_written_twice(
    run: Run, models: list[str], tmp_path: Path, address: str
) -> None:
    write_dataset(tmp_path / "data", num_frames=40)
    (tmp_path / f"data/images/val/{SEQUENCES[3]}/000020.jpg").write_bytes(b"")
    command = [*MODULE, "--input", "data", *models, *SETTINGS, "--output", "cluster", "--overlays", "--ray", address]
    others = pids_at_work()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + DEADLINE_S
        while not (pids := pids_at_work() - others):
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        os.kill(pids.pop(), signal.SIGKILL)
        _, err = process.communicate(timeout=3 * DEADLINE_S)
    assert process.returncode == 1
    told = [line for line in err.splitlines() if line.startswith(("[", "error: "))]
    assert sorted(name for name in SEQUENCES for line in told if name in line) == list(SEQUENCES)
    assert [line for line in told if f"{SEQUENCES[3]}/000020.jpg is no image or is damaged" in line]
    assert err.endswith("1 of 4 sequences failed\n")
    alone = run("track", "--input", "data", *models, *SETTINGS, "--output", "alone")
    assert alone.code == 1
    assert contents(tmp_path / "cluster", "*.json") == contents(tmp_path / "alone")
    assert {path.stem for path in (tmp_path / "cluster").glob("*.mp4")} == set(SEQUENCES[:3])
    resumed = run("track", "--input", "data", *models, *SETTINGS, "--output", "cluster")
    assert resumed.err.startswith("3 of 4 sequences were complete")


@pytest.fixture
def track_data(run: Run, models: list[str], tmp_path: Path) -> Run:
    """Runs `track` on a data set with those further arguments."""
    write_dataset(tmp_path / "data", SEQUENCES[:1])
    return lambda *arguments: run("track", "--input", "data", *models, "--output", "out", *arguments)


class Ray(SimpleNamespace):
    """Ray as far as it is asked for what a cluster has."""

    def __init__(self, gpus: float, *cpus: float) -> None:
        nodes = [{"Alive": True, "Resources": {"CPU": number}} for number in cpus]
        gone = {"Alive": False, "Resources": {"CPU": 64}}
        super().__init__(
            init=lambda **_: None,
            shutdown=lambda: None,
            cluster_resources=lambda: {"GPU": gpus} if gpus else {},
            nodes=lambda: [*nodes, gone],
        )


@pytest.mark.parametrize(
    ("gpus", "device", "needed"),
    [
        pytest.param(2, "auto", 1, id="a GPU where there are some"),
        pytest.param(2, "cuda:1", 1, id="which one is not ours to say"),
        pytest.param(2, "cpu", 0, id="none if they are not wanted"),
        pytest.param(0, "auto", 0, id="none where there are none"),
    ],
)
def test_a_task_demands_a_gpu(gpus: int, device: str, needed: int) -> None:
    assert cluster._num_gpus(Ray(gpus, 4), device) == needed


def test_elsewhere_inputs_and_networks_have_absolute_paths() -> None:
    here = Path.cwd()
    job = Job("a.mp4", Settings(detector=Path("det.onnx")), outputs=Outputs(poses=Path("out/a.jsonl")))
    there = Job(str(here / "a.mp4"), Settings(detector=here / "det.onnx"), outputs=Outputs(poses=Path("a.jsonl")))
    assert cluster._job_there(job) == there


@pytest.mark.parametrize(
    ("ray", "options", "code", "message"),
    [
        (Ray(0), "auto --workers 2", 2, "the Ray cluster decides how many workers there are; leave out --workers"),
        (Ray(0), "auto --gpus 0", 2, "the Ray cluster decides how many workers there are; leave out --workers"),
        (Ray(0), "auto --format openpose", 2, "--format openpose writes folders, which --ray does not bring back"),
        (None, "auto", 1, "no cluster without ray (import of ray halted; None in sys.modules); run: pip install "),
        (Ray(0, 8, 4), "auto --device cuda", 1, "device cuda does not work: the Ray cluster has no GPU; use --device"),
        (Ray(0, 8, 4), "auto --threads 9", 2, "no machine of the Ray cluster has 9 CPUs; pass --threads 8 or fewer"),
        (Ray(0, 8), "127.0.0.1:1", 1, "no Ray cluster at 127.0.0.1:1 ("),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    track_data: Run, monkeypatch: pytest.MonkeyPatch, ray: Ray | None, options: str, code: int, message: str
) -> None:
    monkeypatch.setitem(sys.modules, "ray", ray)
    assert refused(track_data("--ray", *options.split()), code).startswith(f"error: {message}")
