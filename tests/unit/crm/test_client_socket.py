"""What a client is sent: a head goes out with the beginning of its body, and by itself when none follows."""

from __future__ import annotations

import socket
import tempfile
from typing import TYPE_CHECKING

import pytest
from gunicorn.config import Config

from crm_api.client_socket import ClientSocket
from crm_api.worker import keep_values

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"


@pytest.fixture
def sockets() -> Iterator[tuple[ClientSocket, socket.socket]]:
    """Ours and the client's, which reads what was sent at once by itself."""
    ours, client = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ClientSocket.of(ours) as sends, client:
        client.settimeout(0)
        sends.begin(has_more=False)
        yield sends, client


def sent_to(client: socket.socket) -> list[bytes]:
    pieces: list[bytes] = []
    while True:
        try:
            piece = client.recv(65_536)
        except BlockingIOError:
            return pieces
        pieces.append(piece)
        if not piece:
            return pieces


def test_head_and_body_are_sent_at_once(sockets: tuple[ClientSocket, socket.socket]) -> None:
    sends, client = sockets
    for _ in range(2):
        sends.begin(has_more=False)
        sends.sendall(HEAD)
        assert sent_to(client) == []
        sends.sendall(b"abc")
        sends.sendall(b"def\r\n\r\n")
        assert sent_to(client) == [HEAD + b"abc", b"def\r\n\r\n"]
        sends.wait_no_more()
        assert sent_to(client) == []


def test_a_head_without_a_body_is_sent_when_the_answer_is_complete(
    sockets: tuple[ClientSocket, socket.socket],
) -> None:
    sends, client = sockets
    sends.sendall(HEAD)
    sends.wait_no_more()
    assert sent_to(client) == [HEAD]


def test_a_head_is_sent_before_the_end(sockets: tuple[ClientSocket, socket.socket]) -> None:
    sends, client = sockets
    sends.sendall(HEAD)
    sends.end()
    assert sent_to(client) == [HEAD, b""]


def test_a_head_is_sent_before_a_file() -> None:
    ours, client = socket.socketpair()
    with ClientSocket.of(ours) as sends, client, tempfile.TemporaryFile() as file:
        file.write(b"abc")
        file.flush()
        sends.begin(has_more=False)
        sends.sendall(HEAD)
        sends.sendfile(file, 0, 3)
        sends.end()
        assert client.recv(65_536, socket.MSG_WAITALL) == HEAD + b"abc"


def test_what_is_said_as_a_whole_is_not_held(sockets: tuple[ClientSocket, socket.socket]) -> None:
    sends, client = sockets
    sends.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n<html></html>\n")
    assert len(sent_to(client)) == 1


def test_values_of_the_configuration_are_those_that_gunicorn_looks_up() -> None:
    cfg, kept = Config(), Config()
    for of in (cfg, kept):
        of.set("keepalive", 75)
        of.set("forwarded_allow_ips", "")
    keep_values(kept)
    for name in cfg.settings:
        assert repr(getattr(kept, name)) == repr(getattr(cfg, name)), name
