"""What comes through a pipe, read so that a sender who is silent does not keep the program from ending."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from tracker.ending import stop_at_end

_PIECE_BYTES = 1 << 16
_MOST_PIECES = 16
# How long it takes, at most, until a reader sees that it is to stop.
_TURN_S = 0.1


class PipedInput:
    """The bytes of a pipe, as a file for FFmpeg to read: a thread waits for the sender in its place."""

    def __init__(self, open_pipe: Callable[[], int]) -> None:
        """open_pipe: gives the file descriptor, which is closed here, and may wait for a sender."""
        self._open = open_pipe
        self._pieces: queue.Queue[bytes] = queue.Queue(_MOST_PIECES)
        self._rest = b""
        self._interrupt: BaseException | None = None
        self._is_over = self.is_stopped = False
        self._forget = stop_at_end(self.stop)
        threading.Thread(target=self._pump, name="pipe", daemon=True).start()

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end, and once it is stopped or interrupted."""
        try:
            while not (self._rest or self._is_over or self.is_stopped):
                with suppress(queue.Empty):
                    self._rest = self._pieces.get(timeout=_TURN_S)
                    self._is_over = not self._rest
        except BaseException as interrupt:  # noqa: BLE001 - FFmpeg, which calls this, would lose it
            self._interrupt = interrupt
            self.stop()
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece

    def stop(self) -> None:
        """Let it end here; from any thread."""
        self.is_stopped, self._rest = True, b""

    def close(self) -> None:
        """Stop for good; what the sender has still to send is not waited for."""
        self.stop()
        self._forget()

    def raise_interrupt(self) -> None:
        """Raise what interrupted a read, such as KeyboardInterrupt, if anything did."""
        if self._interrupt is not None:
            raise self._interrupt

    def _pump(self) -> None:
        with suppress(OSError), open(self._open(), "rb", buffering=0) as pipe:  # noqa: PTH123 - a descriptor
            while (piece := pipe.read(_PIECE_BYTES)) != b"":
                if piece is None:  # its descriptor does not wait, and nothing has come yet
                    time.sleep(_TURN_S)
                elif not self._put(piece):
                    return
        self._put(b"")

    def _put(self, piece: bytes) -> bool:
        while not self.is_stopped:
            with suppress(queue.Full):
                self._pieces.put(piece, timeout=_TURN_S)
                return True
        return False
