"""Fuzzing by the clock: a few damaged files of each kind in turn, others each time, until the time is over."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hypothesis import HealthCheck, Phase, Verbosity, given, settings

from tests.fuzz.child import ROOT, Child
from tests.fuzz.targets import TARGETS

FUZZING = settings(
    max_examples=25,
    database=None,
    deadline=None,
    phases=(Phase.generate, Phase.shrink),
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
    verbosity=Verbosity.quiet,
)
FAILURES = ROOT / "fuzz"


def fuzz(name: str, child: Child, how: settings, failures: Path, counts: Counter[str]) -> None:
    """Read damaged files of a target, and count them; AssertionError names the smallest one that is read wrongly."""
    target = TARGETS[name]

    @how
    @given(target.contents().map(_Content))
    def check(content: bytes) -> None:
        counts[name] += 1
        if fault := child.fault(target.read, target.file, content):
            failures.mkdir(exist_ok=True)
            kept = failures / f"{name}_{Path(target.file).name}"
            kept.write_bytes(content)
            raise AssertionError(f"{kept} is read wrongly: {fault}")

    check()


class _Content(bytes):
    """Bytes that Hypothesis does not print."""

    def __repr__(self) -> str:
        return f"{len(self)} bytes"


def main(argv: Sequence[str] | None = None) -> int:
    """Fuzz for a time, or read one file again; 1 if something is read wrongly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="how long; default: %(default)s")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS), help="default: all")
    parser.add_argument("--replay", type=Path, metavar="FILE", help=f"read a file again that was kept in {FAILURES}")
    args = parser.parse_args(argv)
    with Child() as child:
        faults = [_replay(args.replay, child)] if args.replay else _fuzz_for(args.seconds, args.targets, child)
    return int(any(faults))


def _replay(path: Path, child: Child) -> str | None:
    target = TARGETS[path.name.partition("_")[0]]
    fault = child.fault(target.read, target.file, path.read_bytes())
    print(fault or "read, or refused in one line")
    return fault


def _fuzz_for(seconds: float, names: list[str], child: Child) -> list[str]:
    """The names of those targets of which a file is read wrongly; they are left out from then on."""
    begin_s = time.monotonic()
    counts: Counter[str] = Counter()
    failed: list[str] = []
    while (passed_s := time.monotonic() - begin_s) < seconds and len(failed) < len(names):
        name = min((name for name in names if name not in failed), key=counts.__getitem__)
        try:
            fuzz(name, child, FUZZING, FAILURES, counts)
        except Exception as error:  # noqa: BLE001  Hypothesis has its own for what is wrong only sometimes
            failed.append(name)
            print(f"{name}: {error}\nagain: python -m tests.fuzz.runner --replay {FAILURES.name}/{name}_*", flush=True)
        print(f"{passed_s:.0f} s: {counts.total()} files, {len(failed)} faults", file=sys.stderr, flush=True)
    print(f"read in {seconds:g} s:", ", ".join(f"{name} {counts[name]}" for name in names))
    return failed


if __name__ == "__main__":
    sys.exit(main())
