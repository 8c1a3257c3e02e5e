"""Codes renewed by real scheduler processes that are killed in the middle: nobody gets a second code, none is lost."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.fernet import Fernet

from crm_api.adapters.encryption import Encryption
from crm_api.migrations import migrate
from crm_api.services.context import Context, Tenant
from crm_api.services.job_runs import SILENT_MS
from crm_api.services.scheduled_jobs import ScheduledJobs
from crm_api.services.timetable import Timetable
from tests.unit.crm.conftest import empty_database, url_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from crm_api.tables.database import CrmDatabase

ENTRANCES, PANELS = 6_000, 60
KILLS = 3


class Panels:
    """Sixty panels at one address, told apart by user name; one command in twenty is answered 500."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[int, str]] = {}
        self.commands = self.failed = 0
        rng, lock, panels = random.Random(7), Lock(), self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
                with lock:
                    panels.commands += 1
                    fails = rng.random() < 0.05
                    panels.failed += fails
                    if not fails:
                        panels.obey(self.headers["Authorization"], asked)
                self.send_response(500 if fails else 200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"OK")

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()

    def obey(self, login: str, asked: dict[str, str]) -> None:
        kept = self.kept.setdefault(login, {})
        if asked["action"] == "set":
            kept[int(asked["Number"])] = asked["DoorCode"]
        else:
            kept.pop(int(asked["FirstNumber"]), None)


@pytest.fixture
def panels() -> Iterator[Panels]:
    made = Panels()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def context(tmp_path: Path, panels: Panels) -> Iterator[Context]:
    for database in empty_database(tmp_path):
        migrate(database)
        yield _filled(tmp_path, database, panels)


def _filled(tmp_path: Path, database: CrmDatabase, panels: Panels) -> Context:
    (tmp_path / "key").write_bytes(Fernet.generate_key())
    context = Context(database, "entryphone.test", Encryption.from_file(tmp_path / "key"))
    config = {
        "database_url": url_of(database),
        "redis_url": "redis://127.0.0.1:1/0",
        "sip_domain": "entryphone.test",
        "encryption_key_file": str(tmp_path / "key"),
        "panel_codes_per_s": 50,
        "device_networks": ["127.0.0.0/8"],
    }
    (tmp_path / "crm.json").write_text(json.dumps(config), encoding="utf-8")
    fill(context, panels)
    return context


def fill(context: Context, panels: Panels) -> None:
    database = context.database
    address = f"127.0.0.1:{panels.server.server_port}"
    with database.transaction():
        database.rows(
            "INSERT INTO companies (id, name, language, active, ring_timeout_s, talk_limit_s, created_at_ms) "
            "VALUES (1, 'Homes', 'en', ?, 30, 60, 1)",
            (True,),
        )
        houses = ENTRANCES // 60
        database.many(
            "INSERT INTO houses (id, company_id, address) VALUES (?, 1, ?)",
            [(n, f"L {n}") for n in range(1, houses + 1)],
        )
        database.many(
            "INSERT INTO entrances (id, company_id, house_id, number) VALUES (?, 1, ?, ?)",
            [(n + 1, n // 60 + 1, n % 60 + 1) for n in range(ENTRANCES)],
        )
        for n in range(1, PANELS + 1):
            login = context.encryption.encrypted(json.dumps({"user": f"panel{n}", "password": "x"}))
            database.rows(
                "INSERT INTO accounts (id, company_id, account, kind, ha1, enabled, created_at_ms) "
                "VALUES (?, 1, ?, 'panel', ?, ?, 1)",
                (n, f"p{n}", "0" * 32, True),
            )
            database.rows(
                "INSERT INTO panels (id, company_id, account_id, name, driver, address, credentials) "
                "VALUES (?, 1, ?, ?, 'beward', ?, ?)",
                (n, n, f"Panel {n}", address, login),
            )
            database.rows(
                "INSERT INTO panel_places (panel_id, company_id, house_id, entrance_id, code) VALUES (?, 1, 1, ?, '')",
                (n, n),
            )


def scheduler(tmp_path: Path) -> subprocess.Popen[bytes]:
    with (tmp_path / "scheduler.log").open("ab") as log:
        return subprocess.Popen([sys.executable, "-m", "scheduler", "--config", str(tmp_path / "crm.json")], stderr=log)


def wait_for(what: Any, limit_s: float = 100.0) -> None:
    deadline = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)  # a table has nothing to wait on


def test_killed_at_random_points_nobody_gets_two_codes_and_every_panel_has_its_own(
    context: Context, panels: Panels, tmp_path: Path
) -> None:
    database, jobs, rng = context.database, ScheduledJobs(context), random.Random(3)
    Timetable(context).fill()
    row = database.row("SELECT id FROM scheduled_jobs WHERE kind = 'access_codes'")
    assert row is not None
    jobs.start(Tenant(None, "test"), row[0])

    def count(sql: str) -> int:
        found = database.row(sql)
        return int(found[0]) if found else 0

    running = scheduler(tmp_path)
    try:
        for _ in range(KILLS):
            before = count("SELECT count(*) FROM access_codes")
            wait_for(lambda before=before: count("SELECT count(*) FROM access_codes") > before)
            time.sleep(rng.uniform(0.0, 0.1))
            running.kill()
            running.wait()
            # The seconds that make lease and run lost have passed.
            database.rows("UPDATE scheduler_leases SET until_ms = 1")
            database.rows("UPDATE job_runs SET heartbeat_at_ms = heartbeat_at_ms - ?", (SILENT_MS + 1,))
            running = scheduler(tmp_path)
            if count("SELECT count(*) FROM access_codes") == ENTRANCES:
                break
        wait_for(lambda: count("SELECT count(*) FROM job_runs WHERE state = 'done'") == 1)
        wait_for(lambda: panels.commands > PANELS // 3)
        running.kill()
        running.wait()
        database.rows("UPDATE scheduler_leases SET until_ms = 1")
        running = scheduler(tmp_path)

        # Those that failed are told again after half a minute: that time passes here at once.
        def told() -> bool:
            database.rows("UPDATE panel_codes SET next_try_ms = 0 WHERE state = 'waiting'")
            return count("SELECT count(*) FROM panel_codes WHERE state = 'done'") == PANELS

        wait_for(told)
    finally:
        running.kill()
        running.wait()
    assert count("SELECT count(*) FROM access_codes") == ENTRANCES
    assert count("SELECT count(DISTINCT entrance_id) FROM access_codes") == ENTRANCES
    assert panels.failed > 0, "no panel failed: the test has shown nothing"
    for n in range(1, PANELS + 1):
        found = database.row("SELECT code_encrypted FROM access_codes WHERE entrance_id = ?", (n,))
        assert found is not None
        code = context.encryption.decrypted(found[0])
        assert any(list(kept.values()) == [code] for kept in panels.kept.values()), f"panel {n}"
    assert "Traceback" not in (tmp_path / "scheduler.log").read_text("utf-8")


def test_a_standby_takes_over_when_the_first_dies(context: Context, tmp_path: Path) -> None:
    database = context.database

    def holder() -> str:
        found = database.row("SELECT holder FROM scheduler_leases WHERE until_ms > ?", (context.now_ms(),))
        return found[0] if found else ""

    first = scheduler(tmp_path)
    second = None
    try:
        wait_for(lambda: holder().endswith(f"-{first.pid}"))
        second = scheduler(tmp_path)
        first.kill()
        first.wait()
        wait_for(lambda: holder().endswith(f"-{second.pid}"))
        assert database.row("SELECT term FROM scheduler_leases") == (2,)
        second.terminate()
        assert second.wait(60) == 0
        assert holder() == "", "it gives the lease back when it ends in good order"
    finally:
        for process in (first, second):
            if process is not None:
                process.kill()
                process.wait()
