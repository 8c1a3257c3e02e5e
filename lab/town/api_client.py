"""A small client of the CRM's REST API for the loader: errors carry what the CRM said."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

import urllib3


class ApiRefusedError(Exception):
    """The CRM answered with a problem."""


class ApiClient:
    """Calls the API with one token."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._pool = urllib3.PoolManager(
            headers={"Authorization": f"Bearer {token}"}, timeout=urllib3.Timeout(10), retries=False
        )

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """Return the answer's document; raise `ApiRefusedError` on anything but success."""
        response = self._pool.request(
            method, self._url + path, body=None if body is None else json.dumps(body).encode()
        )
        if response.status >= 400:  # noqa: PLR2004 - RFC 9110: errors start here
            raise ApiRefusedError(f"{method} {path}: {response.status} {response.data.decode()}")
        return json.loads(response.data) if response.data else None

    def found(self, noun: str, **filters: Any) -> dict[str, Any] | None:
        """Return the first row of `GET /v1/<noun>` with these filters."""
        items = self.request("GET", f"/v1/{noun}?{urlencode(filters)}")["items"]
        return items[0] if items else None

    def made(self, noun: str, key: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Return the row with this key; make it when it is missing."""
        row: dict[str, Any] = self.found(noun, **key) or self.request("POST", f"/v1/{noun}", {**key, **more})
        return row

    def rotated(self, account: str) -> str:
        """Give the account a new password and return it."""
        return str(self.request("POST", f"/v1/accounts/{quote(account)}/rotate-password")["password"])
