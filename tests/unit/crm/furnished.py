"""A company with one object of each noun, and all that the database keeps: for tests that try every operation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from crm_api.services.tokens import hash_of
from crm_api.tables.people import AuditEntry
from tests.unit.crm.conftest import Api
from tests.unit.crm.tenancy_table import KEYS, MAKES, Own

if TYPE_CHECKING:
    import falcon.testing

    from crm_api.bootstrap import Services
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Town


def admin_of(client: falcon.testing.TestClient, database: CrmDatabase, services: Any, company: str) -> Api:
    token = services.tokens.create(f"admin of {company}", "operator", company)
    database.rows("UPDATE principals SET role = 'admin' WHERE name = ?", (f"admin of {company}",))
    return Api(client, token)


def upload(client: falcon.testing.TestClient, own: Own, path: str, content: bytes) -> Any:
    headers = {**own.admin._headers, "Content-Type": "text/csv"}
    return client.simulate_post(
        path.partition("?")[0], query_string=path.partition("?")[2], headers=headers, body=content
    )


def make_one_of_each(own: Own) -> None:
    """Make one object of each noun over REST, and remember its key."""
    for path, make in MAKES.items():
        document = own.admin("POST", path, make(own)[0])
        noun = path.removeprefix("/v1/")
        own.keys[noun] = document.get("account" if noun == "accounts" else "id")
        if noun == "panels":
            own.keys["panel account"] = document["account"]
            own.keys["doors"] = document["doors"][0]["id"]


def furnished_company(town: Town, database: CrmDatabase, services: Services) -> Own:
    """Return the town's company with one object of each noun, the platform's too, and its admin."""
    made = Own("homes", town.company, admin_of(town.client, database, services, "Homes"))
    furnish(town.client, made, database)
    furnish_platform(town.platform, made)
    return made


NOW_MS: Final = 1_790_000_000_000
"""About when the clock of these tests stands."""


def furnish(client: falcon.testing.TestClient, own: Own, database: CrmDatabase) -> None:
    """Give a company one object of each noun."""
    make_one_of_each(own)
    apartment = own.admin("GET", f"/v1/apartments/{own['apartments']}")
    own.address = own.admin("GET", f"/v1/houses/{own['houses']}")["address"]
    own.number = apartment["number"]
    own.keys["jobs"] = upload(client, own, "/v1/imports/houses?dry_run=true", b"address\nNowhere 1\n").json["id"]
    # Over, so that another may be asked for.
    database.rows("UPDATE emergency_calls SET result = 'rang' WHERE company_id = ? AND test = ?", (own.company, True))
    job = database.row(
        "INSERT INTO scheduled_jobs (company_id, kind, cron, enabled) VALUES (?, 'test', '0 5 * * 1', ?) RETURNING id",
        (own.company, True),
    )
    own.keys["scheduled-jobs"] = job[0] if job else None
    database.rows(
        "INSERT INTO job_runs (job_id, company_id, kind, slot, due_at_ms, slots_missed, started_by, state, "
        "not_before_ms, finished_at_ms, attempts, done) VALUES (?, ?, 'test', '1', 1, 0, 'x', 'done', 0, 1, 1, 0)",
        (own["scheduled-jobs"], own.company),
    )
    rule = database.row("INSERT INTO access_code_rules (company_id) VALUES (?) RETURNING id", (own.company,))
    own.keys["access-code-rules"] = rule[0] if rule else None
    database.rows(
        "INSERT INTO panel_codes (company_id, panel_id, access_code_id, place, wanted, state) "
        "VALUES (?, ?, ?, 1, 'present', 'waiting')",
        (own.company, own["panels"], own["access-codes"]),
    )
    database.rows(
        "INSERT INTO code_notices (company_id, access_code_id, resident_id, channel, address, state, next_try_ms) "
        "VALUES (?, ?, ?, 'sms', '+79120000000', 'waiting', 0)",
        (own.company, own["access-codes"], own["residents"]),
    )
    item = database.row(
        "INSERT INTO probe_items (company_id, campaign_id, apartment_id, state) VALUES (?, ?, ?, 'done') RETURNING id",
        (own.company, own["probe-campaigns"], own["apartments"]),
    )
    call = database.row(
        "INSERT INTO probe_calls (company_id, campaign_id, item_id, apartment_id, panel, number, state, began_at_ms, "
        "ended_at_ms, outcome, recording) VALUES (?, ?, ?, ?, ?, 1, 'ended', 1, ?, 'answered', 'x') RETURNING id",
        (own.company, own["probe-campaigns"], item[0] if item else 0, own["apartments"], own["panel account"], NOW_MS),
    )
    own.keys["probe-calls"] = call[0] if call else None
    own.keys["number dialled"] = apartment["dial"][own["panel account"]]
    own.keys["calls"] = f"call-of-{own.name}"
    database.rows(
        "INSERT INTO call_records (call_id, company_id, apartment_id, panel, dialled, started_at_ms) "
        "VALUES (?, ?, ?, ?, '1', 1790000000000)",
        (own["calls"], own.company, own["apartments"], own["panel account"]),
    )
    database.rows(
        "INSERT INTO access_records (company_id, at_ms, panel, apartment_id, result) "
        "VALUES (?, 1790000000000, ?, ?, 'opened')",
        (own.company, own["panel account"], own["apartments"]),
    )
    lock = database.row(
        "INSERT INTO code_locks (company_id, panel_id, wrong, last_wrong_at_ms) VALUES (?, ?, 1, 1790000000000) "
        "RETURNING id",
        (own.company, own["panels"]),
    )
    sound = database.row(
        "INSERT INTO call_sounds (company_id, kind, call_id, panel, dialled, at_ms, duration_ms, expires_at_ms) "
        "VALUES (?, 'message', ?, ?, '1', 1790000000000, 1000, 1999000000000) RETURNING id",
        (own.company, own["calls"], own["panel account"]),
    )
    own.keys["call-sounds"] = sound[0] if sound else None
    database.rows("INSERT INTO call_sound_files (sound_id, content) VALUES (?, ?)", (own["call-sounds"], b"RIFF"))
    picture = "INSERT INTO message_pictures (company_id, call_id, taken_at_ms, content) VALUES (?, ?, 1, ?)"
    database.rows(picture, (own.company, own["calls"], b"\xff\xd8"))
    own.keys["code-locks"] = lock[0] if lock else None
    own.keys["number-leases"] = lease_of(own, database)
    database.rows(
        "INSERT INTO webhook_deliveries (webhook_id, company_id, event, subject, state, attempts, created_at_ms, "
        "due_at_ms, last_error) VALUES (?, ?, 'call.ended', ?, 'dead', 8, 1, 1, 'HTTP 500')",
        (own["webhooks"], own.company, own["calls"]),
    )
    delivery = database.row("SELECT id FROM webhook_deliveries WHERE webhook_id = ?", (own["webhooks"],))
    own.keys["webhook-deliveries"] = delivery[0] if delivery else None
    if "staff" in own.keys:
        row = database.row(
            "INSERT INTO tokens (principal_id, kind, name, token_hash, created_at_ms, expires_at_ms) "
            "VALUES (?, 'session', ?, ?, 1, 1900000000000) "
            "RETURNING id",
            (own["staff"], "session", hash_of(own.name)),
        )
        own.keys["sessions"] = row[0] if row else None


def lease_of(own: Own, database: CrmDatabase) -> int:
    """Give the company's panel a number of a city: nobody's but the platform's to make."""
    city = database.row("INSERT INTO cities (name, time_zone) VALUES (?, 'UTC') RETURNING id", (f"{own.name} city",))
    assert city is not None
    number = f"+7495{own.company:07}"
    panel = own["panels"]
    found = database.row(
        "INSERT INTO city_numbers (city_id, number, trunk, shared, in_service, panel_id, held_until_ms) "
        "VALUES (?, ?, 'line', ?, ?, ?, 1900000000000) RETURNING id",
        (city[0], number, False, True, panel),
    )
    assert found is not None
    lease = database.row(
        "INSERT INTO number_leases (number_id, city_id, company_id, panel_id, number, panel, leased_at_ms, calls, "
        "call_id, held_until_ms) VALUES (?, ?, ?, ?, ?, ?, 1790000000000, 1, 'c', 1900000000000) RETURNING id",
        (found[0], city[0], own.company, panel, number, own["panel account"]),
    )
    assert lease is not None
    return int(lease[0])


def furnish_platform(platform: Api, own: Own) -> None:
    """Make one of each noun that the platform keeps for all companies."""
    own.keys["cities"] = platform("POST", "/v1/cities", {"name": f"City of {own.name}"})["id"]
    trunk = {"name": f"carrier-of-{own.name}", "address": "127.0.3.8"}
    own.keys["trunks"] = platform("POST", "/v1/trunks", trunk)["id"]
    own.keys["companies"] = own.company
    city = own["cities"]
    body: dict[str, Any] = {"city_id": city, "name": f"{own.name} 112"}
    own.keys["emergency-centres"] = platform("POST", "/v1/emergency-centres", body)["id"]
    body = {"city_id": city, "number": f"+7495112{own.company:04}", "trunk": "line"}
    own.keys["city-numbers"] = platform("POST", "/v1/city-numbers", body)["id"]


def everything_kept(database: CrmDatabase) -> dict[str, list[str]]:
    """Return all that is kept, but for the time when a token was used last."""
    if database.dialect == "sqlite":
        names = database.rows("SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE '%VIRTUAL%'")
    else:
        names = database.rows("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
    kept = sorted(name for (name,) in names if name not in {"tokens", "sqlite_sequence"})
    return {name: sorted(map(repr, database.rows(f"SELECT * FROM {name}"))) for name in kept}  # noqa: S608


def key_of(path: str, own: Own) -> dict[str, Any] | None:
    """Return the keys of the company's own object at this address, None when the table does not know them."""
    if path in KEYS:
        return KEYS[path](own)
    noun, _, rest = path.removeprefix("/v1/").partition("/")
    return {"key": own[noun]} if rest.startswith("{key}") and noun in own.keys else None


def address(path: str, keys: dict[str, Any]) -> str:
    for name, value in keys.items():
        path = path.replace("{" + name + "}", quote(str(value), safe=""))
    return path


def entries(database: CrmDatabase) -> list[dict[str, Any]]:
    """Return all that the audit log holds, as it is kept."""
    assert database
    return [dict(row.__data__) for row in AuditEntry.select().order_by(AuditEntry.id)]


def newest(town: Town, query: str) -> list[dict[str, Any]]:
    """Return what the audit log tells, the newest first."""
    found: list[dict[str, Any]] = town.platform("GET", f"/v1/audit?{query}")["items"]
    return found
