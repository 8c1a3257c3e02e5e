"""The reference billing system: the whole interface of docs/billing.md in one small server, with faults to order."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class ReferenceBilling:
    """Serves a list of companies at `GET /v1/companies`; a context manager.

    Attributes:
        companies: what is told; may be changed at any time.
        fault: a status to answer instead, 0 for none.
        raw: a body to answer instead, empty for none.
        asked: how often it was asked.
    """

    def __init__(
        self, token: str, companies: list[dict[str, Any]], address: tuple[str, int] = ("127.0.0.1", 0)
    ) -> None:
        self.companies = [dict(company) for company in companies]
        self.fault = 0
        self.raw = ""
        self.asked = 0
        billing = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                billing.asked += 1
                status, body = billing.answer(self.path, self.headers.get("Authorization", ""), token)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(address, Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where it is."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def answer(self, path: str, authorization: str, token: str) -> tuple[int, bytes]:
        """Return status and body."""
        if self.fault:
            return self.fault, b"{}"
        if authorization != f"Bearer {token}":
            return 401, b'{"error": "who are you"}'
        if path != "/v1/companies":
            return 404, b'{"error": "there is /v1/companies"}'
        return 200, self.raw.encode() or json.dumps({"companies": self.companies}).encode()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
