"""What the call path asks (ring plans, doors), what happened in calls, and health."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from crm_api.adapters.plan_cache import RedisErrors
from crm_api.domain.inputs.calls import CodeEntry, DoorOpening
from crm_api.domain.problems import NotFoundError
from crm_api.resources.asked_at import asked_at_s
from crm_api.resources.authentication import tenant_of
from crm_api.resources.rendering import body_of, send
from crm_api.tables.database import DatabaseErrors, reason_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import falcon

    from crm_api.adapters.plan_cache import PlanCache
    from crm_api.services.code_entries import CodeEntries
    from crm_api.services.door_openings import DoorOpenings
    from crm_api.services.history import CallRecords
    from crm_api.services.planning import Planning
    from crm_api.services.visitor_pictures import VisitorPictures
    from crm_api.tables.database import CrmDatabase

OK: Final = "ok"
AWAY: Final = "away"

_log = structlog.get_logger("crm_api")


class RingPlan:
    """`GET /v1/ring-plans/{panel}/{dialled}`: what happens when this number is pressed on this panel now."""

    def __init__(self, planning: Planning) -> None:
        self._planning = planning

    def on_get(self, req: falcon.Request, resp: falcon.Response, key: str, dialled: str) -> None:
        """Decide. An operator sees the plans of its own company's panels only."""
        plan = self._planning.planned(key, dialled).plan
        tenant = tenant_of(req)
        if not tenant.sees(plan.company_id):
            raise NotFoundError.of("panel", key)
        send(resp, plan)


class VisitorPicture:
    """`GET /v1/visitor-pictures/{key}`: the link of a push."""

    def __init__(self, pictures: VisitorPictures) -> None:
        self._pictures = pictures

    def on_get(self, _req: falcon.Request, resp: falcon.Response, key: str) -> None:
        """Show the picture; nobody on the way may keep it."""
        resp.data = self._pictures.shown(key)
        resp.content_type = "image/jpeg"
        resp.cache_control = ["private", "no-store"]


class DoorOpeningsInCall:
    """`POST /v1/door-openings`: a resident pressed the key."""

    def __init__(self, openings: DoorOpenings) -> None:
        self._openings = openings

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Open, grant or refuse; 200 in each case, `result` tells."""
        asked_s = asked_at_s(req)
        wish = body_of(req, DoorOpening)
        document = self._openings.in_call(wish, asked_s)
        _log.info(
            "door",
            call_id=wish.call_id,
            panel=wish.panel,
            account=wish.account,
            result=document["result"],
            reason=document["reason"],
        )
        send(resp, document)


class CodeEntriesInCall:
    """`POST /v1/code-entries`: a visitor typed an access code."""

    def __init__(self, entries: CodeEntries) -> None:
        self._entries = entries

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Open, grant or refuse; 200 in each case, `result` tells. The code goes into no log."""
        asked_s = asked_at_s(req)
        entry = body_of(req, CodeEntry)
        document = self._entries.typed(entry, asked_s)
        told = {name: document[name] for name in ("result", "reason", "locked_until_ms")}
        _log.info("access code", call_id=entry.call_id, panel=entry.panel, **told)
        send(resp, document)


class DoorOpen:
    """`POST /v1/doors/{id}/open`: an operator opens."""

    def __init__(self, openings: DoorOpenings) -> None:
        self._openings = openings

    def on_post(self, req: falcon.Request, resp: falcon.Response, key: int) -> None:
        """Open; 200 when the panel confirmed, 502 when it did not, 409 when this door cannot be opened so."""
        document = self._openings.by_operator(tenant_of(req), key, asked_at_s(req))
        send(resp, document, {"opened": 200, "refused": 409}.get(document["result"], 502))


class Call:
    """`GET /v1/calls/{call_id}`: one call with its branches."""

    def __init__(self, calls: CallRecords) -> None:
        self._calls = calls

    def on_get(self, req: falcon.Request, resp: falcon.Response, call_id: str) -> None:
        """Read."""
        send(resp, self._calls.got(tenant_of(req), call_id))


class Health:
    """`GET /health`: 200 when database and Redis answer, 503 otherwise. No token, so only the log tells why."""

    def __init__(self, database: CrmDatabase, cache: PlanCache) -> None:
        self._database = database
        self._cache = cache
        self._reasons: dict[str, str] = {}

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Look now."""
        parts = {
            "database": self._seen("database", self._database.ping, DatabaseErrors),
            "redis": self._seen("redis", self._cache.ping, RedisErrors),
        }
        if parts["database"] != OK:
            self._database.forget_connection()
        healthy = set(parts.values()) == {OK}
        send(resp, {"status": OK if healthy else "degraded", **parts}, 200 if healthy else 503)

    def _seen(self, part: str, ping: Callable[[], None], errors: tuple[type[Exception], ...]) -> str:
        """Look at one of them. Asked every few seconds, it logs only what has changed."""
        try:
            ping()
        except errors as error:
            reason = reason_of(error)
            if self._reasons.get(part) != reason:
                self._reasons[part] = reason
                _log.error("health", away=part, reason=reason)
            return AWAY
        if self._reasons.pop(part, None) is not None:
            _log.info("health", back=part)
        return OK


class Why:
    """`GET /v1/calls/{call_id}/why/{account}`: why did this phone not ring?"""

    def __init__(self, records: CallRecords) -> None:
        self._records = records

    def on_get(self, req: falcon.Request, resp: falcon.Response, call_id: str, account: str) -> None:
        """Say it in one sentence."""
        send(resp, self._records.why(tenant_of(req), call_id, account))
