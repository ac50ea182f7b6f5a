"""What `quick_start` changes is as it was afterwards."""

from __future__ import annotations

import gc
import os

import pytest

from tracker.commands.quick_start import quick_start


@pytest.mark.parametrize(("chosen", "within"), [(None, "1"), ("3", "3")], ids=["by default", "by the user"])
def test_algebra_gets_no_threads_while_libraries_are_loaded(
    monkeypatch: pytest.MonkeyPatch, chosen: str | None, within: str
) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    if chosen:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", chosen)
    with quick_start():
        assert os.environ["OPENBLAS_NUM_THREADS"] == within
        assert not gc.isenabled()
    assert os.environ.get("OPENBLAS_NUM_THREADS") == chosen
    assert gc.isenabled()
