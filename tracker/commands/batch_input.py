"""One input of a batch, tracked in whatever process: what becomes of it, whatever goes wrong."""

from __future__ import annotations

import argparse
import shutil
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tracker.commands.progress import Outcome
from tracker.commands.run import Report, open_input, track_quietly
from tracker.commands.tasks import outputs_of
from tracker.errors import OutputError, TrackerError
from tracker.outputs import partial_path

if TYPE_CHECKING:
    from tracker.pipeline import Pipeline


def load_pipeline(options: Mapping[str, Any], num_threads: int | None) -> Pipeline:
    """The pipeline of a process; num_threads: of ONNX Runtime, OpenCV and torch alike, None for their own choices.

    Raises what `tracker.pipeline.build_pipeline` does.
    """
    from tracker.pipeline import build_pipeline

    if num_threads is None:
        return build_pipeline(**options)
    import cv2

    cv2.setNumThreads(num_threads)
    pipeline = build_pipeline(**options, num_threads=num_threads)
    if torch := sys.modules.get("torch"):  # where no network needs it, it is not loaded
        torch.set_num_threads(num_threads)
    return pipeline


def track_task(task: argparse.Namespace, pipeline: Pipeline, on_frame: Callable[[], None]) -> Outcome:
    """Track an input with a fresh tracker. A failure leaves none of its outputs, except where its line names them."""
    from tracker.pipeline import StageTimes

    try:
        report = _track(task, replace(pipeline, times=StageTimes()), on_frame)
    except Exception as error:  # noqa: BLE001 - a bug that one input meets must not end the others
        return Outcome(task.name, error=_explain(error), trace=traceback.format_exc())
    return Outcome(task.name, report)


def _track(task: argparse.Namespace, pipeline: Pipeline, on_frame: Callable[[], None]) -> Report:
    source, truth = open_input(task)
    with source:
        if task.fingerprint:
            task.fingerprint.claim()
        try:
            report = track_quietly(task, source, pipeline, truth, lambda _: on_frame())
        except OutputError:  # of a full disk, say; its line names what there is
            raise
        except Exception:
            discard(task)
            raise
    if task.fingerprint:
        task.fingerprint.complete(report.outputs)
    return report


def discard(task: argparse.Namespace) -> None:
    """Remove what a failure left of a task's outputs, and its claim on them."""
    for path in map(partial_path, outputs_of(task)):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    if task.fingerprint:
        task.fingerprint.withdraw()


def _explain(error: Exception) -> str:
    message = " ".join(str(error).split())
    if isinstance(error, TrackerError | OSError):
        return message
    return f"{type(error).__name__}: {message}; a fault of the program: -v shows where"
