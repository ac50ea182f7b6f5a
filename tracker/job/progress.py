"""How far a batch is, on stderr: frames behind a bar on a terminal, a line for each input elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any, Self

from tqdm import tqdm

from tracker.job.report import Outcome, Report, merge_reports
from tracker.outputs import counted


class Progress:
    """Counts what is done in a batch and tells it; a context manager.

    noun: what the inputs are called, in the plural. num_inputs: of which num_done were complete before.
    """

    def __init__(self, noun: str, num_inputs: int, num_done: int, *, verbose: bool) -> None:
        self.num_failed = 0
        self._noun = noun
        self._num_inputs = num_inputs
        self._num_done = num_done
        self._verbose = verbose
        self._reports: list[Report] = []
        self._start = time.perf_counter()
        self._bar: Any = tqdm(unit="frame", disable=None, leave=False)

    def __enter__(self) -> Self:
        self._show_inputs()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        self._bar.close()
        if kind and issubclass(kind, KeyboardInterrupt):
            done = f"{self._num_done - self.num_failed} of {self._num_inputs} {self._noun} are complete"
            self.say(f"stopped: {done}; run it again, without --overwrite, for the others")

    def count_frames(self, num_frames: int = 1) -> None:
        """Some frames more are done."""
        self._bar.update(num_frames)

    def end_input(self, outcome: Outcome) -> None:
        """An input is done, or has failed."""
        self._num_done += 1
        if outcome.report:
            self._add(outcome.name, outcome.report)
        else:
            self.num_failed += 1
            where = "" if outcome.name in outcome.error else f"{outcome.name}: "
            self.say(f"{outcome.trace if self._verbose else ''}error: {where}{outcome.error}")
        self._show_inputs()

    def say(self, line: str) -> None:
        """Print above the bar."""
        tqdm.write(line, file=sys.stderr)

    def summary(self) -> list[str]:
        """Lines on everything that was done."""
        lines = merge_reports(self._reports, time.perf_counter() - self._start).lines() if self._reports else []
        failed = [f"{self.num_failed} of {self._num_inputs} {self._noun} failed"] if self.num_failed else []
        return lines + failed

    def _add(self, name: str, report: Report) -> None:
        self._reports.append(report)
        if self._bar.disable:
            speed = f"{counted(report.frames, 'frame')}, {report.frames / report.wall_s:.1f} frames/s"
            self.say(f"[{self._num_done}/{self._num_inputs}] {name}: {speed}")
        if report.hint:
            self.say(f"note: {name}: {report.hint}")
        if report.warning:
            self.say(f"warning: {name}: {report.warning}")

    def _show_inputs(self) -> None:
        self._bar.set_postfix_str(f"{self._num_done}/{self._num_inputs} {self._noun}")
