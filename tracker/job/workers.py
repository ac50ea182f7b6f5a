"""Inputs of a batch in several processes, each of which has loaded the networks once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from typing import Any, TypeAlias

from tracker.errors import DeviceError, TrackerError
from tracker.job.job import Engine, Job, Settings
from tracker.job.progress import Progress
from tracker.job.report import Outcome
from tracker.job.run import discard, load_pipeline, try_job
from tracker.pipeline import Pipeline

# How often an input is begun before it counts as failed, since it may be what kills its workers.
_MAX_TRIES = 2
_PATIENCE_S = 5
# What a worker says: its networks are loaded; a frame more is done.
READY, FRAME = "ready", "frame"


def assign_devices(num_workers: int, device: str, gpus: Sequence[int]) -> list[str]:
    """The device of each worker: the GPUs in turn, or `device` for all.

    >>> assign_devices(3, "auto", [0, 2])
    ['cuda:0', 'cuda:2', 'cuda:0']
    """
    return [f"cuda:{gpus[number % len(gpus)]}" if gpus else device for number in range(num_workers)]


def track_in_workers(jobs: Sequence[Job], engine: Engine, devices: Sequence[str], progress: Progress) -> None:
    """Do all jobs, begun in this order, by a process for each device; all have the same settings.

    The first is begun when all processes have loaded the networks; what keeps one of them from that is raised here. The
    job of a process that dies is begun once more, by another process. However this ends, so do the processes.
    """
    pool = _Pool(jobs, engine, progress)
    try:
        for device in devices:
            pool.start(device)
        pool.run()
    finally:
        pool.stop()


# Does a job by a pipeline and gives its outcome, which both travel between processes; meanwhile it may say something.
Do: TypeAlias = Callable[[Any, Pipeline, Callable[[Any], None]], Any]


class Worker:
    """A process that has loaded the networks, and this end of its connection.

    job: the one it is at, None before and between them. do: how it does one, a function of a module.
    """

    def __init__(self, settings: Settings, engine: Engine, do: Do) -> None:
        context = multiprocessing.get_context("spawn")  # CUDA and threads do not survive a fork
        self.device = engine.device
        self.job: Any = None
        self.is_ready = False
        self.connection, theirs = context.Pipe()
        with theirs, _without_interrupt():
            self.process = context.Process(target=_serve, args=(theirs, settings, engine, do), daemon=True)
            self.process.start()

    def give(self, job: Any) -> None:
        """Let it begin a job."""
        self.job = job
        with suppress(OSError):  # it has died, as the next look at its connection shows
            self.connection.send(job)

    def receive(self) -> Any:
        """What it says next; None if it has died."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            return None

    def kill(self) -> None:
        """End it at once, whatever it is at."""
        self.process.kill()
        self.process.join()
        self.connection.close()


class _Pool:
    """The processes, and the jobs that none of them has begun."""

    def __init__(self, jobs: Sequence[Job], engine: Engine, progress: Progress) -> None:
        self._waiting = deque(jobs)
        self._settings = jobs[0].settings
        self._engine = engine
        self._progress = progress
        self._tries: Counter[str] = Counter()
        self._workers: list[Worker] = []
        self._has_begun = False

    def start(self, device: str) -> None:
        """Add a process."""
        self._workers.append(Worker(self._settings, replace(self._engine, device=device), _do_job))

    def run(self) -> None:
        """Have all jobs done."""
        while self._waiting or any(worker.job for worker in self._workers):
            ready = wait([worker.connection for worker in self._workers])
            for worker in [worker for worker in self._workers if worker.connection in ready]:
                self._react(worker, worker.receive())
            self._hand_out()

    def stop(self) -> None:
        """End all processes at once."""
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(_PATIENCE_S)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.connection.close()

    def _react(self, worker: Worker, message: Any) -> None:
        if message == FRAME:
            self._progress.count_frames()
        elif message == READY:
            worker.is_ready = True
        elif isinstance(message, Outcome):
            worker.job = None
            self._progress.end_input(message)
        elif message is None:
            self._replace(worker)
        else:
            raise message

    def _hand_out(self) -> None:
        """Give jobs to those who have none; to begin with, once everybody is ready."""
        self._has_begun = self._has_begun or all(worker.is_ready for worker in self._workers)
        for worker in self._workers if self._has_begun else ():
            if worker.is_ready and worker.job is None and self._waiting:
                worker.give(self._waiting.popleft())

    def _replace(self, dead: Worker) -> None:
        """Take leave of a process that died, and have its job done by another one."""
        how = how_it_died(dead.process.exitcode)
        dead.connection.close()
        self._workers.remove(dead)
        if dead.job:
            self._retry(dead.job, how)
        elif not dead.is_ready:
            raise DeviceError(f"a worker on {dead.device} died while it loaded the networks ({how}); try fewer workers")
        if self._waiting:
            self.start(dead.device)

    def _retry(self, job: Job, how: str) -> None:
        self._tries[job.name] += 1
        if self._tries[job.name] < _MAX_TRIES:
            self._progress.say(f"warning: {job.name}: its worker died ({how}); another one begins it anew")
            self._waiting.appendleft(job)
        else:
            discard(job)
            error = f"its worker died again ({how}); try fewer workers"
            self._progress.end_input(Outcome(job.name, error=error))


def how_it_died(exit_code: int | None) -> str:
    """An exit code in words.

    >>> how_it_died(-9), how_it_died(3)
    ('SIGKILL: perhaps memory was short', 'exit code 3')
    """
    if exit_code is None or exit_code >= 0:
        return f"exit code {exit_code}"
    name = signal.Signals(-exit_code).name
    return f"{name}: perhaps memory was short" if name == "SIGKILL" else name


def _do_job(job: Job, pipeline: Pipeline, say: Callable[[Any], None]) -> Outcome:
    return try_job(job, pipeline, on_frame=lambda: say(FRAME))


def _serve(connection: Connection, settings: Settings, engine: Engine, do: Do) -> None:
    """What a process does: load the networks, then one job after the other, until it is ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the first decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        pipeline = load_pipeline(settings, engine)
    except (TrackerError, ImportError, OSError) as error:
        connection.send(error)
        return
    connection.send(READY)
    with suppress(EOFError, OSError):  # with its parent it ends in any case
        while True:
            connection.send(do(connection.recv(), pipeline, connection.send))


def _end_with_parent() -> None:
    """End this process as soon as there is nobody left to work for, so that the next run has the outputs to itself."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _without_interrupt() -> Iterator[None]:
    """Ctrl-C is ignored here, and by a process that is started here until it can see to that itself.

    Only the main thread can do that.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
