"""A file of residents sent to the CRM, and its job watched until it has ended."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import time
from typing import TYPE_CHECKING, Any, Final

from lab.town.city.build import SEED
from lab.town.city.people import resident_phone

if TYPE_CHECKING:
    from lab.bench.crm_server import CrmServer
    from lab.town.city.layout import Layout

COMPANY: Final = 1
_LOOK_S: Final = 0.25
_PATIENCE_S: Final = 300.0
_NEW_PHONES_FROM: Final = 900_000
"""Above the residents that the town has."""


def residents_csv(layout: Layout, rows: int) -> bytes:
    """A file of new residents of the greatest company, some apartments more than once."""
    rng = random.Random(f"{SEED}:import")
    lines = ["name;address;apartment;phones"]
    homes = [a for a in range(layout.size.apartments) if layout.company_of(a) == COMPANY]
    for index in range(rows):
        apartment = rng.choice(homes)
        entrance = layout.entrances[layout.entrance_of[apartment]]
        number = entrance.first_number + apartment - entrance.apartments.start
        phone = resident_phone(_NEW_PHONES_FROM + index)
        lines.append(f"Новый жилец {index};{layout.houses[entrance.house].address};{number};{phone}")
    return ("\n".join(lines) + "\n").encode()


def seconds_to_import(server: CrmServer, content: bytes) -> tuple[float, dict[str, Any]]:
    """Send the file and wait for the end of its job; the seconds, and what came of it.

    Raises:
        RuntimeError: it was refused, or not every row was imported.
        TimeoutError: the job did not end.
    """
    settings = server.settings
    with contextlib.closing(http.client.HTTPConnection(settings.crm_host, settings.crm_port, timeout=60)) as connection:
        return _import(connection, server.admin_token, content)


def _import(connection: http.client.HTTPConnection, token: str, content: bytes) -> tuple[float, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "text/csv; charset=utf-8"}
    started = time.monotonic()
    connection.request("POST", f"/v1/imports/residents?company_id={COMPANY}", content, headers)
    job = _answer(connection)
    while job["state"] not in ("done", "failed"):
        if time.monotonic() - started > _PATIENCE_S:
            raise TimeoutError(f"the import has not ended within {_PATIENCE_S:.0f} s: {job}")
        time.sleep(_LOOK_S)  # as a person's browser would
        connection.request("GET", f"/v1/jobs/{job['id']}", headers=headers)
        job = _answer(connection)
    if job["state"] != "done":
        raise RuntimeError(f"the import failed: {json.dumps(job['result'], ensure_ascii=False)[:300]}")
    return time.monotonic() - started, job["result"]


def _answer(connection: http.client.HTTPConnection) -> dict[str, Any]:
    response = connection.getresponse()
    body = response.read()
    if response.status not in (http.HTTPStatus.OK, http.HTTPStatus.ACCEPTED):
        raise RuntimeError(f"the import was answered {response.status}: {body[:300].decode(errors='replace')}")
    document: dict[str, Any] = json.loads(body)
    return document
