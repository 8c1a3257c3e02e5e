"""The CRM's API as the call applications use it (docs/contracts.md, 6)."""

from __future__ import annotations

from typing import Literal
from urllib.parse import quote

import msgspec
import urllib3

from agi_apps.breaker import Breaker
from agi_apps.ring_plan import Door  # noqa: TC001 - msgspec reads the annotation at run time


class CrmAway(Exception):  # noqa: N818 - states the fact
    """The CRM gave no usable answer."""


class Opening(msgspec.Struct, frozen=True):
    """The CRM's answer to a request to open. `granted`: permission given, the door is opened by DTMF.

    `access_record_id`: the record that the CRM has made of it, which the door event completes.
    """

    result: Literal["opened", "refused", "failed", "granted"]
    reason: str = ""
    door: Door | None = None
    access_record_id: int | None = None


class CodeVerdict(msgspec.Struct, frozen=True):
    """The CRM's answer to an access code. `locked_until_ms`: this place takes none before."""

    result: Literal["opened", "refused", "failed", "granted"]
    reason: str = ""
    language: str = "en"
    locked_until_ms: int | None = None
    door: Door | None = None
    access_record_id: int | None = None


_verdict_decoder = msgspec.json.Decoder(CodeVerdict)
_opening_decoder = msgspec.json.Decoder(Opening)
_HTTP_OK = 200


class CrmClient:
    """A pool of keep-alive connections to the CRM. Any number of threads may use it at once."""

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        plan_timeout_s: float,
        opening_timeout_s: float,
        lease_timeout_s: float = 0.15,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._plan_timeout = urllib3.Timeout(total=plan_timeout_s)
        self._opening_timeout = urllib3.Timeout(connect=plan_timeout_s, total=opening_timeout_s)
        self._lease_timeout = urllib3.Timeout(total=lease_timeout_s)
        # What tells the CRM nothing is left out: each header that its server reads costs it 1 to 2 us a request.
        self._headers = {
            "Authorization": f"Bearer {token}",
            "User-Agent": urllib3.util.SKIP_HEADER,
            "Accept-Encoding": urllib3.util.SKIP_HEADER,
        }
        self._headers_of_body = {**self._headers, "Content-Type": "application/json"}
        self._pool = urllib3.PoolManager(maxsize=32)
        self._breaker = Breaker(rest_s=1.0)
        # An emergency call waits so short a time that a CRM which is only slow fails it: no door stays shut for that.
        self._lease_breaker = Breaker(rest_s=1.0)

    @property
    def is_away(self) -> bool:
        """Whether the CRM is being left alone after a failure."""
        return self._breaker.is_open

    def ring_plan(self, panel: str, dialled: str) -> bytes:
        """The ring plan as JSON.

        Raises:
            CrmAway: no answer in time, or one that is not 200.
        """
        path = f"/v1/ring-plans/{quote(panel, safe='')}/{quote(dialled, safe='')}"
        return self._request("GET", path, None, self._plan_timeout)

    def open_door(self, call_id: str, panel: str, dialled: str, account: str, key: str) -> Opening:
        """Ask the CRM to open, or to allow opening.

        Raises:
            CrmAway: no usable answer: nobody said yes.
        """
        body = msgspec.json.encode(
            {"call_id": call_id, "panel": panel, "dialled": dialled, "account": account, "key": key}
        )
        raw = self._request("POST", "/v1/door-openings", body, self._opening_timeout)
        try:
            return _opening_decoder.decode(raw)
        except msgspec.MsgspecError as error:
            raise CrmAway(f"POST /v1/door-openings: {error}") from error

    def enter_code(self, call_id: str, panel: str, code: str) -> CodeVerdict:
        """Have an access code judged, and the door opened if it is right and the CRM can.

        Raises:
            CrmAway: no usable answer: nobody said yes.
        """
        body = msgspec.json.encode({"call_id": call_id, "panel": panel, "code": code})
        raw = self._request("POST", "/v1/code-entries", body, self._opening_timeout)
        try:
            return _verdict_decoder.decode(raw)
        except msgspec.MsgspecError as error:
            raise CrmAway(f"POST /v1/code-entries: {error}") from error

    def emergency_lease(self, panel: str, call_id: str) -> bytes:
        """A number for an emergency call, as JSON.

        Raises:
            CrmAway: no answer in time, or one that is not 200.
        """
        body = msgspec.json.encode({"panel": panel, "call_id": call_id})
        return self._request("POST", "/v1/emergency-leases", body, self._lease_timeout, self._lease_breaker)

    def emergency_call_back(self, number: str, call_id: str) -> bytes:
        """Who is called back on a number, as JSON.

        Raises:
            CrmAway: no answer in time, or one that is not 200.
        """
        body = msgspec.json.encode({"number": number, "call_id": call_id})
        return self._request("POST", "/v1/emergency-call-backs", body, self._lease_timeout, self._lease_breaker)

    def probe_ended(self, result: dict[str, str | int | None]) -> None:
        """Tell the CRM how a probe ended.

        Raises:
            CrmAway: it was not told.
        """
        self._request("POST", "/v1/probe-results", msgspec.json.encode(result), self._opening_timeout)

    def _request(
        self, method: str, path: str, body: bytes | None, timeout: urllib3.Timeout, breaker: Breaker | None = None
    ) -> bytes:
        breaker = breaker or self._breaker
        if self._breaker.is_open or breaker.is_open:
            raise CrmAway("left alone after a failure")
        # A dead keep-alive connection is noticed by urllib3 before it is used, so nothing is sent twice.
        try:
            response = self._pool.request(
                method,
                self._base_url + path,
                body=body,
                headers=self._headers if body is None else self._headers_of_body,
                timeout=timeout,
                retries=False,
                redirect=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            breaker.failed()
            raise CrmAway(f"{method} {path}: {error}") from error
        if response.status != _HTTP_OK:
            raise CrmAway(f"{method} {path}: HTTP {response.status}")
        return response.data
