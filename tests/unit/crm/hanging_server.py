"""The API's worker with answers that come when they are let go: `-m tests.unit.crm.hanging_server <port> <pipe>`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import falcon

from crm_api.config import CrmConfig
from crm_api.server import CrmServer

THREADS = 2


class Answer:
    """`GET /now` at once, `GET /hang` when somebody has written to the named pipe."""

    def __init__(self, let_go: Path) -> None:
        self._let_go = let_go

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer."""
        if req.path == "/hang":
            self._let_go.read_text()
        resp.text = req.path


class HangingServer(CrmServer):
    """One process with few threads."""

    def __init__(self, port: int, let_go: Path) -> None:
        self._let_go = let_go
        super().__init__(CrmConfig.model_construct(bind=f"127.0.0.1:{port}", workers=1, threads=THREADS))

    def load(self) -> Any:
        """Make the application in the worker."""
        app = falcon.App()
        for path in ("/now", "/hang"):
            app.add_route(path, Answer(self._let_go))
        return app


if __name__ == "__main__":
    HangingServer(int(sys.argv[1]), Path(sys.argv[2])).run()
