"""gunicorn's threaded worker that is ready before its first request, and whose threads fetch their requests themselves.

Threads would otherwise be made one by one under load, each opening its connection and having its statements planned
while a visitor waits. What the start has made lives as long as the process: the garbage collector need not look
through it again and again.

gunicorn's own worker has one thread that waits and hands every request to another, and back: a third of what a ring
plan costs. Here all threads wait together for connections (epoll, one shot), and the kernel wakes one for each request.

A thread serves a request that is there as a whole; until then the connection waits with the others. For a long body
(`crm_api.incoming`) a thread has to wait: half of the threads at most, the others are there for the call path. A client
that stops in the middle of a body, or does not take its answer, is given up (`crm_api.client_socket`).
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
from crm_api.incoming import LONGEST_HEAD, Come, come, waits_to_go_on
from crm_api.tables.database import DatabaseErrors, reason_of
from crm_api.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

WARM_UP_S: Final = 10.0
"""A database that is away or slow must not keep the API from its start for longer."""
LOOK_EVERY_S: Final = 1.0
_LAST_LOOKS_S: Final = 0.05
_BEFORE_THE_KILL_S: Final = 1.0
_ONE_READER: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLONESHOT
"""One thread is told that there is something to read; nobody else, until it is armed again."""
_NOW: Final = _ONE_READER | select.EPOLLOUT
"""One thread is told so at once: something can always be written to a client that has got no answer yet."""

_log = structlog.get_logger("crm_api.worker")


class ReadyWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn publishes no types
    """As `gthread`, after a warm-up; the application (`crm_api.server.CrmServer`) says what that is.

    A connection is in `_idle` while nobody serves it: who takes it out has it. TLS ends at a proxy before the API.
    """

    head_s: ClassVar = 10.0
    """Seconds from the first byte of a request until its head and a short body are there: else 408, or the end."""
    turn_s: ClassVar = 60.0
    """A long body waits so long for its turn, then 408."""
    end_s: ClassVar = 2.0
    """A client has so long to take an answer that is its last, before its connection is closed."""
    most_begun: ClassVar = 128
    """Connections whose next request has come in part. Of more the oldest is closed: 32 MiB are kept at most."""

    def init_process(self) -> None:
        """Make what belongs to this process alone, after the fork; run."""
        keep_values(self.cfg)
        self._ready = select.epoll()
        self._stopping, self._over = (os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(2))
        self._idle: dict[int, Any] = {}
        self._begun: dict[int, Any] = {}
        self._turns = Turns(max(1, self.cfg.threads // 2))
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
                self._turns.offer(self._serve_at_once)
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
        self._begun.pop(file, None)
        self._turns.forget(file)
        if connection is None:
            return  # it has just been closed
        if connection.sock.is_ending:
            self._wait_for_end(connection, goes_on=connection.sock.goes_on())
            return
        connection.init()
        connection.data_ready = True
        waits_since_before = _is_begun(connection)
        says_more = _take_in(connection)
        while _is_to_be_served(connection, says_more=says_more):
            if not self._serve_next(connection):
                return
            waits_since_before = False
        if says_more:
            self._wait_for(connection, self._ready.modify, renew=not waits_since_before)
        else:
            connection.close()

    def _serve_next(self, connection: Any) -> bool:
        """Serve a request; say whether the connection is still this thread's."""
        is_long = _come(connection) is Come.LONG and not connection.sock.is_late
        if is_long and not self._turns.take(connection, self._wait_for_turn):
            return False
        try:
            connection.sock.begin(has_more=is_long)
            kept = self.handle(connection)
            connection.sock.is_late = False
        finally:
            if is_long:
                self._turns.give(self._serve_at_once)
        if not kept:
            self._end(connection)
        return bool(kept)

    def _keepalive_after(self, connection: Any, keepalive: bool) -> bool:
        """Keep a connection whose request has been read; what is left of one that was refused nobody waits for."""
        connection.sock.wait_no_more()
        return bool(super()._keepalive_after(connection, keepalive))

    def _wait_for(self, connection: Any, arm: Callable[[int, int], None], *, renew: bool = True) -> None:
        is_begun = _is_begun(connection)
        if renew:
            connection.set_timeout()
            if is_begun:
                connection.timeout = min(connection.timeout, time.monotonic() + self.head_s)
        if is_begun and waits_to_go_on(_ahead(connection)):
            connection.sock.tell_to_go_on()
        file = self._put(connection)
        arm(file, _ONE_READER)
        if not self._keeping:  # answered just before the stop; nobody would close it any more
            self._close_unasked()

    def _wait_for_turn(self, connection: Any) -> int:
        connection.timeout = time.monotonic() + self.turn_s
        return self._put(connection)

    def _serve_at_once(self, file: int) -> None:
        """Have one of the threads look at a connection that waits."""
        with contextlib.suppress(OSError):  # just closed
            self._ready.modify(file, _NOW)

    def _put(self, connection: Any) -> int:
        """Keep a connection until it is looked at again: before it is armed, as another thread may have it at once."""
        file: int = connection.sock.fileno()
        if _is_begun(connection):
            if len(self._begun) >= self.most_begun:
                self._close_oldest_begun()
            self._begun[file] = connection
        self._idle[file] = connection
        return file

    def _close_oldest_begun(self) -> None:
        begun = self._begun.copy()
        file = min(begun, key=lambda file: begun[file].timeout, default=-1)
        self._begun.pop(file, None)
        connection = begun.get(file)
        if connection is not None and self._idle.get(file) is connection and self._idle.pop(file, None) is connection:
            self._turns.forget(file)
            connection.close()

    def _end(self, connection: Any) -> None:
        """Say that nothing follows; lest a reset overtakes the answer its client's end is awaited, without a thread."""
        if connection.sock.fileno() < 0:
            return
        connection.timeout = time.monotonic() + self.end_s
        try:
            goes_on = connection.sock.end()
        except OSError:  # it has gone
            goes_on = False
        self._wait_for_end(connection, goes_on=goes_on)

    def _wait_for_end(self, connection: Any, *, goes_on: bool) -> None:
        if not goes_on:
            connection.close()
            return
        file = connection.sock.fileno()
        self._idle[file] = connection
        self._ready.modify(file, _ONE_READER)

    def _close_unasked(self) -> None:
        """Close connections whose clients have asked nothing."""
        for file, connection in list(self._idle.items()):
            if not _has_asked(connection) and self._idle.pop(file, None) is connection:
                connection.close()

    def _close_idle(self, now_s: float) -> None:
        """Close connections on which nothing has come for long; who waits for an answer is told that it is too late."""
        for file, connection in list(self._idle.items()):
            if connection.timeout > now_s or self._idle.pop(file, None) is not connection:
                continue
            if self.alive and _is_owed(connection):
                connection.sock.is_late = True
                connection.timeout = now_s + self.turn_s
                self._idle[file] = connection
                self._serve_at_once(file)
            else:
                self._begun.pop(file, None)
                self._turns.forget(file)
                connection.close()


def keep_values(cfg: Any) -> None:
    """Have what is configured at hand: nothing of it changes in a worker.

    gunicorn looks 22 settings up for each request, each by way of `__getattr__` and an object of its own: 12 of
    180 us that a ring plan costs.
    """
    vars(cfg).update({name: setting.get() for name, setting in cfg.settings.items()})


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


def _ahead(connection: Any) -> bytes:
    """Return what has come and belongs to no request yet."""
    ahead: bytes = connection.parser.unreader.buf.getvalue() if connection.initialized else b""
    return ahead


def _is_begun(connection: Any) -> bool:
    return connection.initialized and bool(connection.parser.unreader.buf.getbuffer().nbytes)


def _come(connection: Any) -> Come:
    return come(_ahead(connection))


def _is_to_be_served(connection: Any, *, says_more: bool) -> bool:
    """Say whether a thread has something to do: also when a body is never there as a whole, to tell its client so."""
    there = _come(connection)
    ends = there is Come.PART_OF_BODY and (connection.sock.is_late or not says_more)
    return ends or there in {Come.WHOLE, Come.LONG}


def _is_owed(connection: Any) -> bool:
    """Say whether a client has asked, and waits to be told that it was too slow."""
    waits = not connection.sock.is_ending and not connection.sock.is_late
    return waits and _come(connection) is not Come.PART_OF_HEAD


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
