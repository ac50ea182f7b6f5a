"""Who waits for what: a worker process for pictures and one for clips, each behind a short queue."""

from __future__ import annotations

import queue
import secrets
import shutil
import tempfile
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

from tracker.errors import DeviceError, TrackerError
from tracker.job.job import Engine, Settings
from tracker.job.workers import FRAME, READY, Worker, how_it_died
from tracker.serve.limits import Limits
from tracker.serve.work import Answer, Refusal, Task, do

State: TypeAlias = Literal["waiting", "running", "done", "failed", "cancelled"]
# How often a lane looks whether its task was cancelled or is late.
_TURN_S = 0.05
_LOADING_S = 120.0


class BusyError(Exception):
    """As many wait as may."""


@dataclass(eq=False)
class Ticket:
    """A place in a lane, taken before anything is received; `folder` is removed when it is closed.

    frames, num_frames: done, and about how many there are, 0 where that is unknown. ended_s: by `time.monotonic`.
    """

    lane: Lane
    folder: Path
    task: Task | None = None
    state: State = "waiting"
    frames: int = 0
    num_frames: int = 0
    ended_s: float | None = None
    answer: Future[Answer | Refusal] = field(default_factory=Future)
    is_cancelled: threading.Event = field(default_factory=threading.Event)

    def begin(self, task: Task) -> None:
        """Queue up."""
        self.task = task
        self.lane.put(self)

    def end(self, answer: Answer | Refusal) -> None:
        """Free the place, and tell what came of it."""
        if self.ended_s is None:
            states: dict[int, State] = {499: "cancelled"}
            self.state = states.get(answer.status, "failed") if isinstance(answer, Refusal) else "done"
            self.ended_s = time.monotonic()
            self.lane.free()
            self.answer.set_result(answer)

    def cancel(self) -> None:
        """Have it end soon, whatever it is at."""
        self.is_cancelled.set()
        if self.task is None:
            self.end(CANCELLED)

    def close(self) -> None:
        """Cancel it, and remove its files once nobody writes there any more."""
        self.cancel()
        self.answer.add_done_callback(lambda _: shutil.rmtree(self.folder, ignore_errors=True))


CANCELLED = Refusal("cancelled", 499)


class Lane:
    """A worker process behind a bounded queue, and the thread that feeds it; a context manager.

    A process that dies, hangs or is cancelled in the middle is replaced. limit_s: for one task.
    """

    def __init__(self, settings: Settings, engine: Engine, most: int, limit_s: float, folder: Path) -> None:
        self._made_by = settings, engine
        self._most, self._taken = most, 0
        self._limit_s = limit_s
        self._folder = folder
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        self._worker: Worker | None = None
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lane", daemon=True)

    def __enter__(self) -> Self:
        self._worker = Worker(*self._made_by, do)
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._is_closed.set()
        self._queue.put(None)
        self._thread.join()
        self._drop_worker()

    @property
    def is_well(self) -> bool:
        """Whether tasks are being taken."""
        return self._thread.is_alive()

    def take(self) -> Ticket:
        """A place and its folder; BusyError where none is free."""
        with self._lock:
            if self._taken >= self._most:
                raise BusyError
            folder = Path(tempfile.mkdtemp(dir=self._folder))
            self._taken += 1
        return Ticket(self, folder)

    def free(self) -> None:
        """A place less is taken."""
        with self._lock:
            self._taken -= 1

    def put(self, ticket: Ticket) -> None:
        """Queue it up."""
        self._queue.put(ticket)

    def load(self) -> None:
        """Wait for a worker that has loaded the networks; raises what keeps it from that."""
        if self._worker and not self._worker.process.is_alive():  # short of memory, say
            self._drop_worker()
        worker = self._worker = self._worker or Worker(*self._made_by, do)
        if not worker.is_ready:
            message = worker.receive() if worker.connection.poll(_LOADING_S) else None
            if message != READY:
                self._drop_worker()
                raise message or DeviceError("a worker died while it loaded the networks; try again")
            worker.is_ready = True

    def _run(self) -> None:
        while ticket := self._queue.get():
            if ticket.is_cancelled.is_set() or self._is_closed.is_set():
                ticket.end(CANCELLED)
                continue
            ticket.state = "running"
            try:
                self.load()
                ticket.end(self._do(ticket))
            except (TrackerError, ImportError, OSError) as error:
                self._drop_worker()
                ticket.end(Refusal(str(error), 503))

    def _do(self, ticket: Ticket) -> Answer | Refusal:
        assert self._worker
        self._worker.give(ticket.task)
        limit_s = time.monotonic() + self._limit_s
        while not (ticket.is_cancelled.is_set() or self._is_closed.is_set()):
            if not self._worker.connection.poll(_TURN_S):
                if time.monotonic() < limit_s:
                    continue
                self._drop_worker()
                return Refusal(
                    f"this takes longer than {self._limit_s:g} s, which is the limit; send something smaller"
                )
            message = self._worker.receive()
            if isinstance(message, Answer | Refusal):
                return message
            if message is None:
                how = how_it_died(self._worker.process.exitcode)
                self._drop_worker()
                return Refusal(f"the file brought the program down ({how}); try another", 500)
            if message == FRAME:
                ticket.frames += 1
            else:
                ticket.num_frames = message
        self._drop_worker()
        return CANCELLED

    def _drop_worker(self) -> None:
        if self._worker:
            self._worker.kill()
            self._worker = None


class Clips:
    """The clips whose results can be asked for, by names that nobody guesses; old ones are removed."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._tickets: dict[str, Ticket] = {}

    def add(self, ticket: Ticket) -> str:
        """Keep a clip; its name."""
        self._tickets[name := secrets.token_urlsafe(16)] = ticket
        return name

    def get(self, name: str) -> Ticket | None:
        """The clip of that name, None where there is none any more."""
        return self._tickets.get(name)

    def place(self, ticket: Ticket) -> int:
        """How many clips are done before this one."""
        before = takewhile(lambda other: other is not ticket, list(self._tickets.values()))
        return sum(other.ended_s is None for other in before)

    def remove(self, name: str) -> bool:
        """Cancel and remove it; whether it was there."""
        ticket = self._tickets.pop(name, None)
        if ticket:
            ticket.close()
        return ticket is not None

    def remove_old(self) -> None:
        """Remove those that have been kept for long enough, or are too many."""
        tickets = list(self._tickets.items())  # others add some meanwhile
        ended = {name: ticket.ended_s for name, ticket in tickets if ticket.ended_s is not None}
        limit_s = time.monotonic() - self._limits.kept_s
        excess = list(ended)[: max(len(ended) - self._limits.kept_clips, 0)]
        for name in dict.fromkeys([*excess, *(name for name, ended_s in ended.items() if ended_s < limit_s)]):
            self.remove(name)
