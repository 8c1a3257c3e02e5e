"""The API's worker over real connections: none waits for another, and a stop loses no request."""

from __future__ import annotations

import contextlib
import http.client
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from crm_api.incoming import LONGEST_HEAD, SHORT_BODY
from tests.unit.crm.hanging_server import (
    BROKEN,
    EMPTY,
    GRACEFUL_S,
    LONG,
    MOST_BEGUN,
    PIECES,
    THREADS,
)
from tests.unit.crm.served import WITHIN_S, Server, get, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def test_more_connections_are_kept_than_there_are_threads(connect: Callable[[], http.client.HTTPConnection]) -> None:
    connections = [connect() for _ in range(5 * THREADS)]
    ports = [connection.sock.getsockname()[1] for connection in connections]
    for _ in range(3):
        for connection in connections:
            connection.request("GET", "/now")
        assert [read(connection) for connection in connections] == ["/now"] * len(connections)
    assert [connection.sock.getsockname()[1] for connection in connections] == ports


def test_connections_that_say_nothing_and_a_request_that_hangs_hold_up_nobody(
    server: Server, connect: Callable[[], http.client.HTTPConnection]
) -> None:
    silent = [connect() for _ in range(3 * THREADS)]
    hanging = connect()
    hanging.request("GET", "/hang")
    for _ in range(5):
        assert get(connect(), "/now") == "/now"
    assert [get(connection, "/now") for connection in silent] == ["/now"] * len(silent)
    server.hanging("/hang").close()
    assert read(hanging) == "/hang"


def test_requests_that_come_together_are_all_answered(connect: Callable[[], http.client.HTTPConnection]) -> None:
    connection = connect()
    request = b"GET /now HTTP/1.1\r\nHost: test\r\n\r\n"
    connection.sock.sendall(request * 3)
    received = b""
    while received.count(b"/now") < 3:
        more = connection.sock.recv(4096)
        assert more, received
        received += more
    assert received.count(b"HTTP/1.1 200 OK") == 3


@pytest.mark.parametrize("server", [5.0], indirect=True)
def test_requests_that_are_begun_and_not_ended_hold_up_nobody(
    connect: Callable[[], http.client.HTTPConnection],
) -> None:
    begun = [connect() for _ in range(2 * THREADS)]
    for connection in begun:
        connection.sock.sendall(b"GET /now HTTP/1.1\r\nHost:")
    for _ in range(3):
        assert get(connect(), "/now") == "/now"
    begun[0].sock.sendall(b" test\r\n\r\n")
    assert begun[0].sock.recv(4096).startswith(b"HTTP/1.1 200 OK\r\n")
    assert [connection.sock.recv(1) for connection in begun[1:]] == [b""] * (len(begun) - 1), "each is closed in time"


@pytest.mark.parametrize("server", [WITHIN_S], indirect=True)
def test_a_request_may_come_in_pieces(connect: Callable[[], http.client.HTTPConnection]) -> None:
    connection = connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for piece in (b"POST /now HTTP/1.1\r", b"\nHost: test\r\nContent-Length: 6\r\n\r", b"\nab", b"cd", b"efGET /n"):
        connection.sock.sendall(piece)
        assert get(connect(), "/now") == "/now", "what came before is read by now, or soon"
    received = connection.sock.recv(4096)
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    connection.sock.sendall(b"ow HTTP/1.1\r\nHost: test\r\n\r\n")
    while not received.endswith(b"/now"):
        more = connection.sock.recv(4096)
        assert more, received
        received += more
    assert b"\r\n\r\n6HTTP/1.1 200 OK" in received


def test_bodies_that_never_come_hold_up_nobody_for_long(connect: Callable[[], http.client.HTTPConnection]) -> None:
    begun = [connect() for _ in range(2 * THREADS)]
    for connection in begun:
        connection.sock.sendall(b"POST /now HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nabc")
    assert get(connect(), "/now") == "/now"
    for connection in begun:
        with http.client.HTTPResponse(connection.sock) as answer:
            answer.begin()
            assert answer.status == http.HTTPStatus.REQUEST_TIMEOUT
            assert b"send it again, as a whole" in answer.read()
        assert connection.sock.recv(1) == b"", "nobody knows where the next request begins"


@contextlib.contextmanager
def dripping(connections: list[http.client.HTTPConnection]) -> Iterator[None]:
    """Send a byte on each again and again, so that none is silent."""
    over = threading.Event()

    def drip() -> None:
        while not over.wait(0.2):
            for connection in connections:
                with contextlib.suppress(OSError):  # it has been given up
                    connection.sock.send(b"x")

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(drip)
        try:
            yield
        finally:
            over.set()
            done.result(WITHIN_S)


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 60000", b"Content-Length: 900000", b"Transfer-Encoding: chunked"]
)
def test_bodies_that_drip_leave_threads_to_others(
    connect: Callable[[], http.client.HTTPConnection], framing: bytes
) -> None:
    begun = [connect() for _ in range(2 * THREADS)]
    for connection in begun:
        connection.sock.sendall(b"POST /now HTTP/1.1\r\nHost: test\r\n" + framing + b"\r\n\r\n90000\r\n")
    with dripping(begun):
        for _ in range(5):
            assert get(connect(), "/now") == "/now"


@pytest.mark.parametrize("server", [WITHIN_S], indirect=True)
def test_long_bodies_are_taken_one_after_the_other(connect: Callable[[], http.client.HTTPConnection]) -> None:
    size = LONGEST_HEAD + SHORT_BODY
    head = f"POST /now HTTP/1.1\r\nHost: test\r\nContent-Length: {size}\r\n\r\n".encode()
    first, *others = (connect() for _ in range(4))
    first.sock.sendall(head + b"x")
    get(connect(), "/now")
    for connection in others:
        connection.sock.sendall(head + b"x" * size)
    assert get(connect(), "/now") == "/now"
    first.sock.sendall(b"x" * (size - 1))
    for connection in (first, *others):
        with http.client.HTTPResponse(connection.sock) as answer:
            answer.begin()
            assert answer.read().decode() == str(size)


@pytest.mark.parametrize("fields", [b"Connection: close", b"Content-Length: 60000", b"Content-Length: 900000"])
def test_whoever_has_his_answer_and_neither_goes_nor_says_the_rest_holds_up_nobody(
    connect: Callable[[], http.client.HTTPConnection], fields: bytes
) -> None:
    begun = [connect() for _ in range(20 * THREADS)]
    began_s = time.monotonic()
    for connection in begun:
        connection.sock.sendall(b"GET /now HTTP/1.1\r\nHost: test\r\n" + fields + b"\r\n\r\n")
    assert get(connect(), "/now") == "/now"
    assert time.monotonic() - began_s < 10
    assert all(connection.sock.recv(100).startswith(b"HTTP/1.1 ") for connection in begun)


@pytest.mark.parametrize("server", [WITHIN_S], indirect=True)
def test_a_client_that_waits_to_send_its_body_is_told_to(connect: Callable[[], http.client.HTTPConnection]) -> None:
    connection = connect()
    connection.sock.sendall(b"POST /now HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    assert connection.sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.sock.sendall(b"abc")
    with http.client.HTTPResponse(connection.sock) as answer:
        answer.begin()
        assert answer.read() == b"3"


@pytest.mark.parametrize("server", [WITHIN_S], indirect=True)
def test_of_many_requests_that_are_begun_the_oldest_is_given_up(
    connect: Callable[[], http.client.HTTPConnection],
) -> None:
    begun = [connect() for _ in range(MOST_BEGUN + 10)]
    for connection in begun:
        connection.sock.sendall(b"POST /now HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nab")
        get(connect(), "/now")
    assert begun[0].sock.recv(1) == b"", "closed without a word; those that are too late are told so"


def test_a_client_that_ends_in_the_middle_of_a_body_is_told_so(
    connect: Callable[[], http.client.HTTPConnection],
) -> None:
    connection = connect()
    connection.sock.sendall(b"POST /now HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nabc")
    connection.sock.shutdown(socket.SHUT_WR)
    with http.client.HTTPResponse(connection.sock) as answer:
        answer.begin()
        assert answer.status == http.HTTPStatus.REQUEST_TIMEOUT
        assert b"3 bytes came, Content-Length says 10" in answer.read()


def test_answers_of_every_shape_come_whole_over_one_connection(
    connect: Callable[[], http.client.HTTPConnection],
) -> None:
    connection = connect()
    kept = connection.sock
    for method, path, status, body in 2 * (
        ("GET", "/now", http.HTTPStatus.OK, b"/now"),
        ("GET", EMPTY, http.HTTPStatus.OK, b""),
        ("DELETE", EMPTY, http.HTTPStatus.NO_CONTENT, b""),
        ("GET", PIECES, http.HTTPStatus.OK, b"one two three"),
        ("HEAD", "/now", http.HTTPStatus.METHOD_NOT_ALLOWED, b""),
        ("POST", "/now", http.HTTPStatus.OK, b"0"),
    ):
        connection.request(method, path)
        with connection.getresponse() as answer:
            assert (answer.status, answer.read()) == (status, body), (method, path)
        assert connection.sock is kept


@pytest.mark.parametrize(
    ("request_line", "body"),
    [
        (b"GET /now", b"/now"),
        (b"GET /empty", b""),
        (b"DELETE /empty", b""),
        (b"HEAD /now", b""),
        (b"GET /pieces", b"4\r\none \r\n4\r\ntwo \r\n5\r\nthree\r\n0\r\n\r\n"),
    ],
)
def test_the_last_answer_of_a_connection_comes_whole(
    connect: Callable[[], http.client.HTTPConnection], request_line: bytes, body: bytes
) -> None:
    sock = connect().sock
    sock.sendall(request_line + b" HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
    assert said_by(sock)[1] == body


def test_an_answer_that_breaks_before_its_first_piece_is_a_fault(
    connect: Callable[[], http.client.HTTPConnection],
) -> None:
    sock = connect().sock
    sock.sendall(f"GET {BROKEN} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
    assert said_by(sock)[0].startswith(b"HTTP/1.1 500 Internal Server Error\r\n")


def said_by(sock: socket.socket) -> tuple[bytes, bytes]:
    """Read until the other side ends; return head and body."""
    said = b""
    while more := sock.recv(65_536):
        said += more
    head, end, body = said.partition(b"\r\n\r\n")
    assert end
    return head, body


def test_a_body_may_come_in_chunks(connect: Callable[[], http.client.HTTPConnection]) -> None:
    connection = connect()
    connection.request("POST", "/now", iter([b"abc", b"defg"]), encode_chunked=True)
    assert read(connection) == "7"
    connection.sock.sendall(b"POST /now HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")
    connection.sock.shutdown(socket.SHUT_WR)
    with http.client.HTTPResponse(connection.sock) as answer:
        answer.begin()
        assert answer.status == http.HTTPStatus.REQUEST_TIMEOUT


def test_clients_that_do_not_take_their_answers_hold_up_nobody_for_long(
    connect: Callable[[], http.client.HTTPConnection],
) -> None:
    for _ in range(2 * THREADS):
        connect().request("GET", LONG)
    assert get(connect(), "/now") == "/now"


def test_a_client_that_goes_away_is_forgotten(
    server: Server, connect: Callable[[], http.client.HTTPConnection]
) -> None:
    for _ in range(3 * THREADS):
        gone = connect()
        get(gone, "/now")
        gone.close()
    worker = subprocess.check_output(["ps", "--ppid", str(server.process.pid), "-o", "pid="], text=True).strip()
    until_s = time.monotonic() + WITHIN_S
    while sockets_of(worker) > 1:
        assert time.monotonic() < until_s, "connections are still open"
        time.sleep(0.02)  # nobody tells when a process closes a file
    assert get(connect(), "/now") == "/now"


def sockets_of(pid: str) -> int:
    return sum(str(file.readlink()).startswith("socket:") for file in Path(f"/proc/{pid}/fd").iterdir())


def test_a_stop_answers_what_is_on_its_way_and_closes_what_is_idle(
    server: Server, connect: Callable[[], http.client.HTTPConnection]
) -> None:
    idle, hanging = connect(), connect()
    get(idle, "/now")
    hanging.request("GET", "/hang")
    assert get(idle, "/now") == "/now"
    server.process.send_signal(signal.SIGTERM)
    assert idle.sock.recv(1) == b""
    server.hanging("/hang").close()
    assert read(hanging) == "/hang"
    assert server.process.wait(WITHIN_S) == 0


def test_a_stop_answers_what_waits_for_a_thread(
    server: Server, connect: Callable[[], http.client.HTTPConnection]
) -> None:
    idle, first, second, waiting = (connect() for _ in range(4))
    assert get(idle, "/now") == "/now"
    first.request("GET", "/hang")
    second.request("GET", "/hang-too")
    with server.hanging("/hang-too"), server.hanging("/hang"):
        waiting.request("GET", "/now")
        server.process.send_signal(signal.SIGTERM)
        assert idle.sock.recv(1) == b"", "who has asked nothing is sent away in the end"
    assert [read(connection) for connection in (first, second, waiting)] == ["/hang", "/hang-too", "/now"]
    assert server.process.wait(WITHIN_S) == 0


def test_a_connection_whose_request_is_answered_after_the_stop_is_closed(
    server: Server, connect: Callable[[], http.client.HTTPConnection]
) -> None:
    first, second = connect(), connect()
    first.request("GET", "/hang")
    second.request("GET", "/hang-too")
    with server.hanging("/hang-too"):
        with server.hanging("/hang"):
            server.process.send_signal(signal.SIGTERM)
            server.wait_for_stop()
        assert read(first) == "/hang"
        assert first.sock.recv(1) == b""
    assert read(second) == "/hang-too"
    assert server.process.wait(WITHIN_S) == 0


def test_a_stop_with_nothing_to_do_is_quick(server: Server) -> None:
    started_s = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(WITHIN_S) == 0
    assert time.monotonic() - started_s < GRACEFUL_S / 2
