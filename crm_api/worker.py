"""gunicorn's threaded worker that is ready before its first request, and whose threads fetch their requests themselves.

Threads would otherwise be made one by one under load, each opening its connection and having its statements planned
while a visitor waits. What the start has made lives as long as the process: the garbage collector need not look
through it again and again.

gunicorn's own worker has one thread that waits and hands every request to another, and back: a third of what a ring
plan costs. Here all threads wait together for connections (epoll, one shot), and the kernel wakes one for each request.

A thread serves a request whose head is there as a whole; until then the connection waits with the others. A client that
stops in the middle of a body, or does not take its answer, is given up (`crm_api.client_socket`).
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import threading
import time
from concurrent.futures import wait
from typing import TYPE_CHECKING, Any, ClassVar, Final

import structlog
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

from crm_api.client_socket import ClientSocket
from crm_api.tables.database import DatabaseErrors, reason_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

WARM_UP_S: Final = 10.0
"""A database that is away or slow must not keep the API from its start for longer."""
LOOK_EVERY_S: Final = 1.0
LONGEST_HEAD: Final = 65_536
"""So much without an end is handed to gunicorn, which refuses it."""
_END_OF_HEAD: Final = b"\r\n\r\n"
_LAST_LOOKS_S: Final = 0.05
_BEFORE_THE_KILL_S: Final = 1.0
_ONE_READER: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLONESHOT
"""One thread is told that there is something to read; nobody else, until it is armed again."""

_log = structlog.get_logger("crm_api.worker")


class ReadyWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn publishes no types
    """As `gthread`, after a warm-up; the application (`crm_api.server.CrmServer`) says what that is.

    A connection is in `_idle` while nobody serves it: who takes it out has it. TLS ends at a proxy before the API.
    """

    head_s: ClassVar = 10.0
    """The head of a request is there so long after its first byte, or its connection is closed."""

    def init_process(self) -> None:
        """Make what belongs to this process alone, after the fork; run."""
        self._ready = select.epoll()
        self._stopping, self._over = (os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(2))
        self._idle: dict[int, Any] = {}
        self._keeping = True
        self.keepalived_conns = self._idle  # gthread counts it, to keep no more than `worker_connections`
        super().init_process()

    def handle_exit(self, _signal: int, _frame: object) -> None:
        """Stop on SIGTERM, requests on their way being answered."""
        self.alive = False
        os.eventfd_write(self._stopping, 1)

    def handle_quit(self, sig: int, frame: object) -> None:
        """Stop on SIGQUIT, now."""
        os.eventfd_write(self._over, 1)
        super().handle_quit(sig, frame)

    def run(self) -> None:
        """Get ready, serve until stopped, then see to it that what has been begun is answered."""
        warm_up_threads(self.tpool, self.cfg.threads, self.app.warm_up)
        gc.collect()
        gc.freeze()
        listeners = {listener.fileno(): listener for listener in self.sockets}
        for listener in self.sockets:
            listener.setblocking(False)
            self._ready.register(listener, _ONE_READER)
        self._ready.register(self._over, select.EPOLLIN)
        try:
            for _ in range(self.cfg.threads):
                self.tpool.submit(self._serve, listeners)
            while self.alive and self.is_parent_alive():
                self.notify()
                self._close_idle(time.monotonic())
                self._accept_again()
                select.select([self._stopping], [], [], LOOK_EVERY_S)
            self.alive = False
            self._linger()
        finally:
            os.eventfd_write(self._over, 1)
            self.tpool.shutdown(wait=False)

    def _linger(self) -> None:
        """Accept nobody; what has been asked on a kept connection is answered, and the connection closed."""
        for listener in self.sockets:
            self._ready.unregister(listener)
            listener.close()
        began_s = time.monotonic()
        self._wait_until_closed(began_s + STOP_KEEPALIVE_LINGER)
        self._keeping = False
        self._close_unasked()  # the others wait for a thread, and whoever ends us waits, too
        self._wait_until_closed(began_s + max(STOP_KEEPALIVE_LINGER, self.cfg.graceful_timeout - _BEFORE_THE_KILL_S))
        self._close_idle(float("inf"))

    def _wait_until_closed(self, until_s: float) -> None:
        while self._idle and time.monotonic() < until_s:
            self.notify()
            time.sleep(_LAST_LOOKS_S)

    def _serve(self, listeners: dict[int, Any]) -> None:
        """Wait for whatever is to be read, and serve it; the work of each thread."""
        while True:
            for file, _ in self._ready.poll(-1, 1):
                if file == self._over:
                    return
                try:
                    if file in listeners:
                        self._accept(listeners[file])
                    else:
                        self._answer(file)
                except Exception:  # noqa: BLE001 - the one error boundary of a thread
                    _log.exception("connection given up")

    def _accept(self, listener: Any) -> None:
        try:
            sock, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):  # another worker was quicker, or the client went away
            self._accept_again()
            return
        except OSError as error:  # no file is left, say: the listeners are armed again within a second
            _log.error("connection not accepted", reason=str(error))
            return
        self._accept_again()
        self._wait_for(TConn(self.cfg, ClientSocket.of(sock), address, listener.getsockname()), self._ready.register)

    def _accept_again(self) -> None:
        """Arm the listeners, unless there are as many connections as are taken; each second it is tried anew."""
        if self.alive and len(self._idle) < self.worker_connections:
            for listener in self.sockets:
                with contextlib.suppress(OSError, ValueError):  # closed: the worker stops
                    self._ready.modify(listener, _ONE_READER)

    def _answer(self, file: int) -> None:
        connection = self._idle.pop(file, None)
        if connection is None:
            return  # it has just been closed
        connection.init()
        connection.data_ready = True
        waits_since_before = _is_begun(connection)
        kept = _take_in(connection)
        while kept and _is_whole(connection):
            connection.sock.begin()
            kept = self.handle(connection)
            waits_since_before = False
        if kept:
            self._wait_for(connection, self._ready.modify, renew=not waits_since_before)
        else:
            if connection.sock.fileno() == file:  # closed already, its number may be another connection's
                self._ready.unregister(file)
            connection.close(graceful=True)

    def _wait_for(self, connection: Any, arm: Callable[[int, int], None], *, renew: bool = True) -> None:
        if renew:
            connection.set_timeout()
            if connection.initialized and _is_begun(connection):
                connection.timeout = min(connection.timeout, time.monotonic() + self.head_s)
        file = connection.sock.fileno()
        self._idle[file] = connection  # before it is armed: another thread may have its next request at once
        arm(file, _ONE_READER)
        if not self._keeping:  # answered just before the stop; nobody would close it any more
            self._close_unasked()

    def _close_unasked(self) -> None:
        """Close connections whose clients have asked nothing."""
        for file, connection in list(self._idle.items()):
            if not _has_asked(connection) and self._idle.pop(file, None) is connection:
                connection.close()

    def _close_idle(self, now_s: float) -> None:
        """Close connections on which nothing has come for long."""
        for file, connection in list(self._idle.items()):
            if connection.timeout <= now_s and self._idle.pop(file, None) is connection:
                connection.close()


def _take_in(connection: Any) -> bool:
    """Take what has come, without waiting; say whether the client is still there."""
    ahead = connection.parser.unreader.buf
    try:
        more = connection.sock.recv_now(LONGEST_HEAD)
    except BlockingIOError:
        return True
    except OSError:
        return False
    ahead.seek(0, os.SEEK_END)
    ahead.write(more)
    return bool(more)


def _is_begun(connection: Any) -> bool:
    return connection.initialized and bool(connection.parser.unreader.buf.getbuffer().nbytes)


def _is_whole(connection: Any) -> bool:
    """Say whether the head of a request is there, as far as it is read."""
    ahead: bytes = connection.parser.unreader.buf.getvalue()
    return _END_OF_HEAD in ahead or len(ahead) >= LONGEST_HEAD


def _has_asked(connection: Any) -> bool:
    """Say whether something has come that no thread has looked at."""
    looks = select.poll()
    try:
        looks.register(connection.sock, select.POLLIN)
    except (OSError, ValueError):  # a thread has just closed it
        return False
    return any(events & select.POLLIN for _, events in looks.poll(0))


def warm_up_threads(pool: Executor, threads: int, warm_up: Callable[[], None]) -> None:
    """Do `warm_up` once in each thread of a pool; a database that is away is logged, and no reason not to start."""
    together = threading.Barrier(threads)

    def in_one_thread() -> None:
        # A thread that were done early would be given the next one's turn.
        together.wait(WARM_UP_S)
        warm_up()

    done, late = wait([pool.submit(in_one_thread) for _ in range(threads)], WARM_UP_S)
    if late:
        _log.warning("not warm in time", threads=len(late))
    for turn in done:
        error = turn.exception()
        if isinstance(error, DatabaseErrors):
            _log.warning("not warm: the database is away", reason=reason_of(error))
        elif error is not None:
            raise error
