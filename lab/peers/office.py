"""The operator's office: asks and changes the CRM over its API, as staff would."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.peers.town import Town

_REQUEST_LIMIT_S = 15.0
_ASK_AGAIN_S = 0.1
# The office alone works on this town, so it overwrites whatever is there.
_OVERWRITING = frozenset({"PATCH", "PUT", "DELETE"})


class OfficeError(Exception):
    """The API refused or did not answer; the text has method, URL and what it said."""


@dataclass(frozen=True)
class Office:
    """A member of staff with the operator's token."""

    town: Town

    async def get(self, path: str) -> Any:
        """GET, decoded from JSON."""
        return await self.send("GET", path)

    async def send(self, method: str, path: str, body: object | None = None) -> Any:
        """Any request, decoded from JSON (None for an empty answer)."""
        return await asyncio.to_thread(self._send, method, path, body)

    async def call_record(self, call_id: str, timeout_s: float = 20.0, *, branches: int = 0) -> dict[str, Any]:
        """The record of a call, once it is complete: events travel a moment behind the call.

        Args:
            call_id: of the caller's leg.
            timeout_s: longest wait.
            branches: how many there must be. Kamailio tells of them, and FastAGI the end of a call that nobody
                answered; neither waits for the other.

        Raises:
            OfficeError: not complete in time; the text says what was found last.
        """
        path = f"/v1/calls/{urllib.parse.quote(call_id, safe='')}"
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                record: dict[str, Any] = await self.get(path)
            except OfficeError as error:
                found = str(error)
            else:
                missing = _missing(record, branches)
                if not missing:
                    return record
                found = f"GET {path}: {missing}"
            if time.monotonic() > deadline:
                raise OfficeError(f"no complete call record in {timeout_s} s: {found}")
            await asyncio.sleep(_ASK_AGAIN_S)  # the API has nothing to wait on

    async def access_records(self, call_id: str, count: int = 1, timeout_s: float = 20.0) -> list[dict[str, Any]]:
        """What was recorded of the keys of a call, once there are so many: a slow panel is waited for by the CRM.

        A permission (`granted`) is waited for, too, until FastAGI has told what came of it.

        Raises:
            OfficeError: not so many in time.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            found: list[dict[str, Any]] = (await self.call_record(call_id, timeout_s))["access_records"]
            results = [record["result"] for record in found]
            if len(results) >= count and "granted" not in results:
                return found
            if time.monotonic() > deadline:
                raise OfficeError(f"call {call_id}: access records {results} in {timeout_s} s, wanted {count}")
            await asyncio.sleep(_ASK_AGAIN_S)  # the API has nothing to wait on

    async def phone_legs(self, call_id: str, count: int, timeout_s: float = 20.0) -> list[dict[str, Any]]:
        """What the phones of a call cost, once there are so many legs.

        Raises:
            OfficeError: not so many in time.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            found: list[dict[str, Any]] = (await self.call_record(call_id, timeout_s))["phone_legs"]
            if len(found) >= count:
                return found
            if time.monotonic() > deadline:
                raise OfficeError(f"call {call_id}: {len(found)} phone legs in {timeout_s} s, wanted {count}")
            await asyncio.sleep(_ASK_AGAIN_S)  # the API has nothing to wait on

    def _send(self, method: str, path: str, body: object | None) -> Any:
        url = self.town.api_url + path
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.town.operator_token}", "Content-Type": "application/json"}
        if method in _OVERWRITING:
            headers["If-Match"] = "*"
        request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - the API's own URL
        try:
            with urllib.request.urlopen(request, timeout=_REQUEST_LIMIT_S) as answer:  # noqa: S310 - as above
                text = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise OfficeError(f"{method} {url}: {error.code} {error.read().decode('utf-8', 'replace')}") from error
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            raise OfficeError(f"{method} {url}: {error}") from error
        return json.loads(text) if text else None


def _missing(record: dict[str, Any], branches: int) -> str:
    """What a record does not tell yet, empty when it is complete; who has a part in a call tells that part alone."""
    told, result, answerer = record["branches"], record.get("result"), record.get("answered_by")
    unfinished = [branch for branch in told if branch["outcome"] in ("invited", "ringing")]
    answered = [branch["account"] for branch in told if branch["outcome"] == "answered"]
    if not result:
        return "it has no result"  # FastAGI's
    if unfinished or len(told) < branches:
        return f"{len(told)} branches, wanted {branches}, unfinished {unfinished}"  # Kamailio's
    if result == "answered" and not answerer:
        return "nobody has answered"  # Kamailio's, of a phone FastAGI's
    by_a_line = any(line["event"] == "emergency" for line in record["story"])  # of the dispatch centre
    return "" if answerer is None or by_a_line or answerer in answered else f"{answerer} has answered no branch"
