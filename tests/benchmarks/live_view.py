"""What the live view costs the tracker: runs without it, with nobody looking, and with three viewers, one stalled.

Viewers take both streams of the page, as a browser does; the stalled one asks for pictures and takes none.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

WAYS = {"without": None, "nobody looks": 0, "three look": 2}


def main() -> None:
    """Print seconds of CPU and wall of each run, and the ratios of their medians over the rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--rounds", type=int, default=4, help="each has all ways; default: %(default)s")
    parser.add_argument("--overlay", action="store_true", help="write an overlay, too")
    args = parser.parse_args()
    costs: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for number in range(args.rounds):
        for way in sorted(WAYS, reverse=bool(number % 2)):
            cpu_s, wall_s, seen = run(args.clip, WAYS[way], overlay=args.overlay)
            costs[way].append((cpu_s, wall_s))
            print(f"{way}: {cpu_s:.2f} s of CPU, {wall_s:.1f} s, {seen} pictures seen", flush=True)
    plain = costs.pop("without")
    for way, theirs in costs.items():
        ratios = [median(one[i] / other[i] for one, other in zip(theirs, plain, strict=True)) for i in (0, 1)]
        print(f"{way} / without: CPU {ratios[0]:.3f}, wall {ratios[1]:.3f}")


def run(clip: Path, num_readers: int | None, *, overlay: bool) -> tuple[float, float, int]:
    """Seconds of CPU of the tracker's process, of tracking by its summary, and pictures that the readers saw."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        command = [sys.executable, "-m", "tracker", "track", "--input", str(clip), "--poses", f"{folder}/poses.jsonl"]
        command += ["--output", f"{folder}/overlay.mp4"] if overlay else []
        command += [] if num_readers is None else ["--serve", "0"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert process.stdout
        seen: list[int] = []
        if num_readers:
            url = next(filter(None, (re.search(r"http://\S+", line) for line in process.stdout)))[0]
            stack.enter_context(stalled(url))
            for _ in range(num_readers):
                stack.enter_context(reading(url, seen))
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        found = re.search(r"frames in ([\d.]+) s", said)
        assert found, said
    return usage.ru_utime + usage.ru_stime, float(found[1]), sum(seen)


@contextmanager
def stalled(url: str) -> Iterator[None]:
    """A viewer who takes nothing."""
    with socket.create_connection(("127.0.0.1", urlsplit(url).port or 80)) as stalls:
        stalls.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        yield


@contextmanager
def reading(url: str, seen: list[int]) -> Iterator[None]:
    """A page that is open."""
    threads = [threading.Thread(target=_read, args=(url + path, seen)) for path in ("stream.mjpg", "people")]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join()


def _read(url: str, seen: list[int]) -> None:
    with suppress(OSError), urllib.request.urlopen(url) as stream:
        seen.append(sum(line.startswith(b"Content-Type: image/jpeg") for line in stream))


if __name__ == "__main__":
    main()
