"""`doctor`: what works here, what does not, and the remedy. It starts whatever library is broken."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from tracker.doctor.checks import CHECKS
from tracker.doctor.findings import Finding, is_failed
from tracker.doctor.look import look_at, look_here

# What tracking needs, the main job.
_NEEDED = ("opencv", "onnx", "video", "weights", "tracking")


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "doctor",
        help="see what works on this machine, and how fast",
        description="Look at Python, libraries, devices, encoders, display, cameras, included networks and memory, and "
        "track a drawn crowd for some seconds. Every problem has its remedy. The exit code is 1 if tracking does not "
        "work, or something is broken that it needs.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    parser.add_argument("--only", nargs="+", choices=CHECKS, metavar="CHECK", help=f"of {', '.join(CHECKS)}")
    parser.add_argument("--inside", choices=CHECKS, help=argparse.SUPPRESS)  # one check, in this very process
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Look at everything, or at what is asked for; 1 if a crowd could not be tracked, or what that needs failed."""
    if args.inside:
        print(json.dumps([asdict(finding) for finding in look_here(args.inside)]))
        return 0
    found: dict[str, list[Finding]] = {}
    for name, findings in look_at(args.only or CHECKS):
        found[name] = findings
        if not args.json:
            print("\n".join(_lines(name, findings)), flush=True)
    failed = [name for name in found if name in _NEEDED and is_failed(found[name])]
    works = "tracking" not in failed if "tracking" in found else not failed
    if args.json:
        checks = {name: [asdict(finding) for finding in findings] for name, findings in found.items()}
        print(json.dumps({"works": works if "tracking" in found else None, "checks": checks}, indent=1))
    elif not works:
        print("\nTracking does not work here; the first problem above is where to begin.")
    return int(not works)


def _lines(name: str, findings: Iterable[Finding]) -> Iterator[str]:
    for finding in findings:
        yield f"{finding.state:<8} {name:<9} {finding.text}"
        if finding.remedy:
            yield f"{'':<18} → {finding.remedy}"
