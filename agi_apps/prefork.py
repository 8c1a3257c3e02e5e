"""The master process: one port, several worker processes, and nobody else's business.

It starts no thread, so a forked worker starts from a clean slate.
"""

from __future__ import annotations

import logging
import mmap
import os
import select
import signal
import socket
import struct
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)

BACKLOG = 1_024
STUCK_AFTER_S = 5.0
RESTART_PAUSE_S = 0.5
_TICK_S = 0.5
_CELL_BYTES = 8
# An environment has half a kilobyte to two; a longer one takes more reads. Linux acknowledges as many segments at
# once as half of this holds of the smallest size.
_RECEIVE_BUFFER_BYTES = 4_096
# How long a thread waits for a connection before it looks whether it is still needed.
_IDLE = struct.pack("@ll", 5, 0)


def listen(address: tuple[str, int], sockets: int) -> list[socket.socket]:
    """Listening sockets on one address, one for each worker; the kernel spreads connections over them.

    One socket for all would wake every worker for every connection, and all but one for nothing. They are opened by
    the master and outlive a worker, so what queues at a dead worker's socket is served by its successor.
    """
    return [_listen(address) for _ in range(sockets)]


def _listen(address: tuple[str, int]) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    # Inherited by every connection (connection.py says why); set once here, they cost no system call there.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for direction in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        listener.setsockopt(socket.SOL_SOCKET, direction, _IDLE)
    listener.bind(address)
    listener.listen(BACKLOG)
    return listener


class Beats:
    """When each worker's loop last turned, in memory that the processes share.

    A view of doubles, as it writes all eight bytes at once. `struct.pack_into` clears them first: a master that looked
    in that moment saw a worker that had been stuck since the machine was started, and killed it.
    """

    def __init__(self, workers: int) -> None:
        self._cells = memoryview(mmap.mmap(-1, workers * _CELL_BYTES)).cast("d")

    def write(self, worker: int, at_s: float) -> None:
        """Note a moment, in seconds of the monotonic clock."""
        self._cells[worker] = at_s

    def read(self, worker: int) -> float:
        """Return the moment noted last."""
        return float(self._cells[worker])


class Master:
    """Keeps one worker process for each listener alive until SIGTERM or SIGINT, then drains them.

    A worker whose loop has not turned for `STUCK_AFTER_S` is killed: Asterisk waits for an AGI answer without limit,
    and a closed connection at least becomes a spoken prompt.
    """

    def __init__(
        self,
        listeners: list[socket.socket],
        run_worker: Callable[[socket.socket, Callable[[], None]], None],
        drain_timeout_s: float,
    ) -> None:
        workers = len(listeners)
        self._listeners = listeners
        self._run_worker = run_worker
        self._drain_timeout_s = drain_timeout_s
        self._beats = Beats(workers)
        self._slots: list[int | None] = [None] * workers
        self._started_at = [float("-inf")] * workers
        self._stopping = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)

    def run(self) -> None:
        """Run until told to stop; returns when every worker is gone."""
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        while not self._stopping:
            self._fill_slots()
            self._kill_stuck()
            self._wait(_TICK_S)
            self._reap()
        for listener in self._listeners:
            listener.close()
        self._signal_all(signal.SIGTERM)
        # A worker drains, then delivers its events: a little more than the drain itself.
        deadline = time.monotonic() + self._drain_timeout_s + 5.0
        while any(self._slots) and time.monotonic() < deadline:
            self._wait(_TICK_S)
            self._reap()
        if any(self._slots):
            _log.error("workers %s did not end in time and are killed", [pid for pid in self._slots if pid])
            self._signal_all(signal.SIGKILL)

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _wait(self, seconds: float) -> None:
        ready, _, _ = select.select([self._wake_read], [], [], seconds)
        if ready:
            os.read(self._wake_read, 512)

    def _fill_slots(self) -> None:
        for slot, pid in enumerate(self._slots):
            if pid is None and time.monotonic() - self._started_at[slot] >= RESTART_PAUSE_S:
                self._open(slot)
                self._slots[slot] = self._fork(slot)

    def _open(self, slot: int) -> None:
        """Listen anew where a worker that was told to end, it alone, has shut down the socket that we share with it."""
        listener = self._listeners[slot]
        if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            self._listeners[slot] = _listen(listener.getsockname())
            listener.close()

    def _fork(self, slot: int) -> int:
        now = time.monotonic()
        self._started_at[slot] = now
        self._beats.write(slot, now)
        master = os.getpid()
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            os.close(self._wake_read)
            os.close(self._wake_write)

            def beat() -> None:
                self._beats.write(slot, time.monotonic())
                if os.getppid() != master:  # nobody would restart or stop us
                    os.kill(os.getpid(), signal.SIGTERM)

            for other, listener in enumerate(self._listeners):
                if other != slot:
                    listener.close()
            self._run_worker(self._listeners[slot], beat)
            code = 0
        except BaseException:  # noqa: BLE001 - the process ends here, whatever it was
            _log.exception("worker %d ended", os.getpid())
        finally:
            logging.shutdown()
            os._exit(code)

    def _kill_stuck(self) -> None:
        now = time.monotonic()
        for slot, pid in enumerate(self._slots):
            beat = self._beats.read(slot)
            if pid is not None and now - beat > STUCK_AFTER_S:
                _log.error("worker %d has been stuck for %.1f s and is killed", pid, now - beat)
                os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        for slot, pid in enumerate(self._slots):
            if pid is None:
                continue
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                self._slots[slot] = None
                if not self._stopping:
                    _log.error("worker %d died (%s) and is restarted", pid, os.waitstatus_to_exitcode(status))

    def _signal_all(self, number: signal.Signals) -> None:
        for pid in self._slots:
            if pid is not None:
                os.kill(pid, number)
