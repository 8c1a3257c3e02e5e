"""A bare Falcon "hello" behind the CRM's own gunicorn settings: what the machine gives at best."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import falcon

from crm_api.config import read_config
from crm_api.server import CrmServer


class Hello:
    """Answers every request with the same few bytes."""

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Answer."""
        resp.data = b'{"hello": "world"}'


class HelloServer(CrmServer):
    """The CRM's server with nothing behind it."""

    def load(self) -> Any:
        """Make the application in the worker."""
        app = falcon.App()
        app.add_route("/hello", Hello())
        return app


if __name__ == "__main__":
    HelloServer(read_config(Path(sys.argv[1])).model_copy(update={"bind": sys.argv[2]})).run()
