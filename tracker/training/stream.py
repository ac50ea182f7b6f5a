"""Batches by number: what is drawn depends on seed and step alone, so a run can stop and go on anywhere."""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from tqdm import tqdm

from tracker.types import IntArray

Batch = TypeVar("Batch")


def rows_of_step(num_rows: int, batch_size: int, seed: int, step: int) -> IntArray:
    """Which rows (batch_size,) make up a step; every row comes once before any comes again.

    >>> sorted(np.concatenate([rows_of_step(6, 2, 0, step) for step in range(3)]).tolist())
    [0, 1, 2, 3, 4, 5]
    """
    places = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs = places // num_rows
    orders = {epoch: np.random.default_rng([seed, epoch]).permutation(num_rows) for epoch in np.unique(epochs)}
    return np.array([orders[epoch][place % num_rows] for epoch, place in zip(epochs, places, strict=True)])


def work_through(make: Callable[[int], Batch], count: int, description: str) -> Generator[Batch, None, None]:
    """What is made of the numbers up to a count, in order, by all cores; with a bar."""
    num_threads = os.cpu_count() or 1
    work = run_ahead(make, range(count), num_threads, 4 * num_threads)
    with closing(work):
        yield from tqdm(work, description, count, unit="picture", leave=False, disable=None)


def cache_path(folder: Path, key: Sequence[Any], name: str) -> Path:
    """Where in a folder, which is made, something is kept that depends on a key, as JSON; name: with {} for the key."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name.format(hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16])


def run_ahead(
    make_batch: Callable[[int], Batch], steps: range, num_threads: int = 2, ahead: int = 4
) -> Generator[Batch, None, None]:
    """The batches of the steps in order, made in threads, at most `ahead` of them waiting."""
    pending: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(num_threads, thread_name_prefix="loader") as pool:
        try:
            for step in steps:
                pending.append(pool.submit(make_batch, step))
                if len(pending) > ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
