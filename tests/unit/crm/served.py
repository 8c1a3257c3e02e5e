"""The API's worker in a process of its own (`hanging_server`), and how tests talk to it."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time
from typing import IO, TYPE_CHECKING

from tests.free_address import free_address
from tests.unit.crm.hanging_server import HANGING, pipe_of

if TYPE_CHECKING:
    from pathlib import Path

WITHIN_S = 60.0


class Server:
    """The server in a process of its own."""

    def __init__(self, pipes: Path, patience_s: float) -> None:
        for path in HANGING:
            os.mkfifo(pipe_of(pipes, path))
        self._pipes = pipes
        self._at = free_address()
        module, at = "tests.unit.crm.hanging_server", "{}:{}".format(*self._at)
        self.process = subprocess.Popen([sys.executable, "-m", module, at, str(pipes), str(patience_s)])

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection, once the server listens."""
        until_s = time.monotonic() + WITHIN_S
        while True:
            connection = http.client.HTTPConnection(*self._at, timeout=WITHIN_S)
            try:
                connection.connect()
            except ConnectionRefusedError:
                if time.monotonic() > until_s or self.process.poll() is not None:
                    raise
                time.sleep(0.02)  # nothing tells when somebody begins to listen
            else:
                return connection

    def hanging(self, path: str) -> IO[str]:
        """Wait until a request for `path` hangs; it is answered when what this returns is closed."""
        return pipe_of(self._pipes, path).open("w")

    def wait_for_stop(self) -> None:
        """Wait until nobody can connect any more."""
        until_s = time.monotonic() + WITHIN_S
        with contextlib.suppress(ConnectionRefusedError):
            while True:
                socket.create_connection(self._at).close()
                assert time.monotonic() < until_s, "it still listens"
                time.sleep(0.02)  # nothing tells when somebody listens no more


def get(connection: http.client.HTTPConnection, path: str) -> str:
    connection.request("GET", path)
    return read(connection)


def read(connection: http.client.HTTPConnection) -> str:
    with connection.getresponse() as response:
        assert response.status == http.HTTPStatus.OK
        return response.read().decode()
