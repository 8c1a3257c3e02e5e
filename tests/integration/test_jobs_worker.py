"""The worker of jobs as a process: killed in the middle of an import, it leaves nothing half-done behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from cryptography.fernet import Fernet

from crm_api.adapters.encryption import Encryption
from crm_api.migrations import migrate
from crm_api.services.context import Context, Tenant
from crm_api.services.imports import Imports
from crm_api.services.job_work import JobWork
from crm_api.services.jobs import SILENT_MS, Jobs
from tests.unit.crm.conftest import empty_database, url_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from crm_api.tables.database import CrmDatabase

ROWS = 30_000
_CATCHES = 5


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    """A database with one house, that the worker opens, too."""
    for database in empty_database(tmp_path):
        migrate(database)
        yield _filled(tmp_path, database)


def _filled(tmp_path: Path, database: CrmDatabase) -> Jobs:
    database.rows(
        "INSERT INTO companies (id, name, language, active, ring_timeout_s, talk_limit_s, created_at_ms) "
        "VALUES (1, 'Homes', 'en', ?, 30, 60, 1)",
        (True,),
    )
    database.rows("INSERT INTO houses (id, company_id, address) VALUES (1, 1, 'Lenina 1')")
    database.rows("INSERT INTO entrances (id, company_id, house_id, number) VALUES (1, 1, 1, 1)")
    database.rows("INSERT INTO apartments (id, company_id, house_id, entrance_id, number) VALUES (1, 1, 1, 1, 12)")
    (tmp_path / "key").write_bytes(Fernet.generate_key())
    config = {
        "database_url": url_of(database),
        "redis_url": "redis://127.0.0.1:1/0",
        "sip_domain": "entryphone.test",
        "encryption_key_file": str(tmp_path / "key"),
    }
    (tmp_path / "crm.json").write_text(json.dumps(config), encoding="utf-8")
    return Jobs(Context(database, "entryphone.test", Encryption.from_file(tmp_path / "key")))


def _worker(tmp_path: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "crm_api.jobs", "--config", str(tmp_path / "crm.json")]
    with (tmp_path / "jobs.log").open("ab") as log:
        return subprocess.Popen(command, stderr=log)


def _submitted(jobs: Jobs) -> int:
    text = "name;address;apartment;phones\n"
    text += "".join(f"Resident {number};Lenina 1;12;+7912{number:07}\n" for number in range(ROWS))
    imports = Imports(jobs.context, jobs)
    options = {"background": True}
    return int(imports.submit(Tenant(None, "office"), "residents", 1, options, text.encode())["id"])


def _wait(jobs: Jobs, job_id: int, *states: str, rows_done: int = 0, limit_s: float = 200) -> dict[str, object]:
    deadline = time.monotonic() + limit_s
    while True:
        job = jobs.got(Tenant(None), job_id)
        if job["state"] in states and job["rows_done"] >= rows_done:
            return job
        assert time.monotonic() < deadline, job
        time.sleep(0.02)  # a table has nothing to wait on


def _left_in_the_middle(jobs: Jobs, tmp_path: Path, end: signal.Signals) -> int:
    """An import whose worker has ended before it was done: where we stand still for long, it is done."""
    for _ in range(_CATCHES):
        job_id = _submitted(jobs)
        worker = _worker(tmp_path)
        try:
            _wait(jobs, job_id, "running", "done", rows_done=5000)
            worker.send_signal(end)
            status = worker.wait(100)
        finally:
            worker.kill()
            worker.wait()
        assert end == signal.SIGKILL or status == 0
        if jobs.got(Tenant(None), job_id)["state"] != "done":
            return job_id
        jobs.database.rows("DELETE FROM residencies")
        jobs.database.rows("DELETE FROM residents")
    raise AssertionError("each import was done before its worker was ended")


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_an_import_whose_worker_ends_is_done_once_by_the_next(jobs: Jobs, tmp_path: Path, end: signal.Signals) -> None:
    database = jobs.database
    job_id = _left_in_the_middle(jobs, tmp_path, end)
    if end == signal.SIGTERM:
        assert jobs.got(Tenant(None), job_id)["state"] == "waiting"
    assert database.row("SELECT count(*) FROM residents") == (0,)
    # The minute of silence that makes a worker lost has passed.
    database.rows("UPDATE jobs SET heartbeat_at_ms = heartbeat_at_ms - ?", (SILENT_MS + 1,))
    second = _worker(tmp_path)
    try:
        job = _wait(jobs, job_id, "done", "failed")
        assert job["state"] == "done", job
        assert database.row("SELECT count(*) FROM residents") == (ROWS,)
        assert database.row("SELECT count(*) FROM residencies") == (ROWS,)
    finally:
        second.send_signal(signal.SIGTERM)
        assert second.wait(100) == 0
    assert "Traceback" not in (tmp_path / "jobs.log").read_text("utf-8")


def test_a_hundred_thousand_rows_of_which_the_last_is_broken(jobs: Jobs) -> None:
    rows = "".join(f"Житель {number};Lenina 1;12;+7912{number:07}\n" for number in range(99_999))
    text = f"ФИО;Адрес;Квартира;Телефон\n{rows}Последний;Lenina 1;12;нет телефона\n"
    imports, office = Imports(jobs.context, jobs), Tenant(None, "office")
    waiting = imports.submit(office, "residents", 1, {}, text.encode("cp1251"))
    assert waiting["state"] == "waiting"
    assert JobWork(jobs, {"import": imports}).work(threading.Event())
    job = jobs.got(office, waiting["id"])
    assert (job["state"], job["rows_done"], job["result"]["encoding"]) == ("failed", 100_000, "cp1251")
    assert [(found["row"], found["column"]) for found in job["result"]["problems"]] == [(100_001, "phones")]
    assert jobs.database.row("SELECT count(*) FROM residents") == (0,)
