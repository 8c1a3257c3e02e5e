"""The API's worker with answers that come when they are let go.

`-m tests.unit.crm.hanging_server <host:port> <folder> <seconds that it waits for a client>`
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import falcon

from crm_api.client_socket import ClientSocket
from crm_api.config import CrmConfig
from crm_api.resources.rendering import content_of, install_error_handlers
from crm_api.server import CrmServer
from crm_api.tables.database import CrmDatabase
from crm_api.worker import ReadyWorker

THREADS = 2
GRACEFUL_S = 50
MOST_BEGUN = 60
HANGING = ("/hang", "/hang-too")
LONG = "/long"
LONG_BYTES = 64 * 1024 * 1024
"""More than any socket takes in."""
EMPTY, PIECES, BROKEN = "/empty", "/pieces", "/broken"


def pipe_of(pipes: Path, path: str) -> Path:
    """Return the named pipe that a hanging path waits for."""
    return pipes / path.removeprefix("/")


class Answer:
    """`GET /now` and `/long` at once, one of `HANGING` when somebody has written to the named pipe of that name."""

    def __init__(self, pipes: Path) -> None:
        self._pipes = pipes

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer."""
        if req.path in HANGING:
            pipe_of(self._pipes, req.path).read_text()
        if req.path == LONG:
            resp.data = bytes(LONG_BYTES)
        else:
            resp.text = req.path

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Tell how long the body is."""
        resp.text = str(len(content_of(req, LONG_BYTES, "send less")))


class Shape:
    """`GET /empty` of no byte, `/pieces` in three, `/broken` in one that cannot be made; `DELETE` without a body."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer."""
        if req.path == EMPTY:
            resp.data = b""
        else:
            resp.stream = iter([b"one ", b"two ", b"three"]) if req.path == PIECES else (bytes(-1) for _ in "1")

    def on_delete(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Answer without a body."""
        resp.status = falcon.HTTP_204


class HangingServer(CrmServer):
    """One process with few threads."""

    def __init__(self, address: str, pipes: Path) -> None:
        self._pipes = pipes
        super().__init__(CrmConfig.model_construct(bind=address, workers=1, threads=THREADS))

    def load_config(self) -> None:
        """Give a busy machine time."""
        super().load_config()
        self.cfg.set("graceful_timeout", GRACEFUL_S)

    def load(self) -> Any:
        """Make the application in the worker."""
        app = falcon.App()
        install_error_handlers(app, CrmDatabase(f"sqlite:///{self._pipes}/crm.db"))
        for path in ("/now", LONG, *HANGING):
            app.add_route(path, Answer(self._pipes))
        for path in (EMPTY, PIECES, BROKEN):
            app.add_route(path, Shape())
        return app


if __name__ == "__main__":
    ReadyWorker.head_s = ClientSocket.silent_s = ClientSocket.takes_s = float(sys.argv[3])
    ReadyWorker.most_begun = MOST_BEGUN
    HangingServer(sys.argv[1], Path(sys.argv[2])).run()
