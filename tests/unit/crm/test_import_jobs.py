"""An import as a job: it waits for the worker, tells its progress, and is done once whoever dies on the way."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import peewee
import pytest

from crm_api.services.importing.residents import ResidentImport
from crm_api.services.imports import Imports
from crm_api.services.job_work import run_job
from crm_api.services.jobs import ATTEMPTS, SILENT_MS, JobLostError
from tests.unit.crm.conftest import seen_by_postgres
from tests.unit.crm.held_writes import written_while_others_wait
from tests.unit.crm.test_imports import counted, send

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from tests.unit.crm.conftest import Clock, Town


def test_a_great_file_waits_for_the_worker_and_tells_its_progress(town: Town, services: Services) -> None:
    text = "address\n" + "".join(f"Long street name number {number}\n" for number in range(5000))
    job = send(town, "houses", text, expect=202)
    assert (job["state"], job["rows_total"], job["rows_done"], job["result"]) == ("waiting", 5001, 0, None)
    told: list[int] = []
    tell = services.jobs.tell

    def listen(taken: Any, rows_done: int, so_far: Any = None) -> None:
        tell(taken, rows_done, so_far)
        shown = town.platform("GET", f"/v1/jobs/{job['id']}")
        told.append(shown["rows_done"])
        assert shown["state"] == "running"

    services.jobs.tell = listen  # type: ignore[method-assign]
    assert services.job_work.work(threading.Event())
    assert told == [1000, 2000, 3000, 4000, 5000, 5000]
    done = town.platform("GET", f"/v1/jobs/{job['id']}")
    assert (done["state"], done["result"]["made"]["houses"]) == ("done", 5000)
    assert not services.job_work.work(threading.Event())
    assert services.jobs.database.rows("SELECT * FROM job_files") == []
    assert [row["state"] for row in town.platform("GET", "/v1/jobs?state=done")["items"]] == ["done"]
    assert seen_by_postgres(services.jobs.database, "houses") in (None, 5002)


class WorkerKilledError(BaseException):
    """Stands for kill -9: nothing is tidied up."""


def killed(*_: Any, **__: Any) -> None:
    raise WorkerKilledError


@pytest.mark.parametrize("moment", ["take", "tell", "end"])
def test_a_small_file_that_meets_a_locked_database_is_left_to_the_worker(
    town: Town, services: Services, clock: Clock, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Whoever were told to try again would make everybody without a phone twice."""

    def locked(*_: Any, **__: Any) -> None:
        raise peewee.OperationalError("database is locked")

    with monkeypatch.context() as patched:
        patched.setattr(services.jobs, moment, locked)
        job = send(town, "residents", "name;address;apartment\nAnna Petrova;Lenina 1;12\n", expect=202)
    assert (job["finished_at_ms"], counted(services)["residents"]) == (None, 0)
    clock.now += SILENT_MS
    assert services.job_work.work(threading.Event())
    assert town.platform("GET", f"/v1/jobs/{job['id']}")["state"] == "done"
    assert counted(services)["residents"] == 1


def test_a_small_file_is_told_as_kept_when_the_database_has_gone_away(
    town: Town, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can be read of it any more: neither can the job be told as it is now."""
    tell, got = services.jobs.tell, services.jobs.got

    def gone(*_: Any, **__: Any) -> None:
        raise peewee.OperationalError("the connection is lost")

    def told_and_gone(*arguments: Any) -> None:
        tell(*arguments)
        monkeypatch.setattr(services.jobs, "tell", gone)
        monkeypatch.setattr(services.jobs, "end", gone)
        monkeypatch.setattr(services.jobs, "got", gone)

    monkeypatch.setattr(services.jobs, "tell", told_and_gone)
    job = send(town, "houses", "address\nNew 1\n", expect=202)
    monkeypatch.setattr(services.jobs, "got", got)
    assert town.platform("GET", f"/v1/jobs/{job['id']}")["finished_at_ms"] is None


@pytest.mark.parametrize("moment", ["tell", "end"])
def test_a_killed_workers_job_is_done_once_by_the_next(
    town: Town, services: Services, clock: Clock, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    job = send(town, "houses", "address\nNew 1\n", "&background=true", expect=202)
    with monkeypatch.context() as patched:
        patched.setattr(services.jobs, moment, killed)
        with pytest.raises(WorkerKilledError):
            services.job_work.work(threading.Event())
    assert town.platform("GET", f"/v1/jobs/{job['id']}")["state"] == "running"
    assert not services.job_work.work(threading.Event()), "its worker may still live"
    town.platform("DELETE", f"/v1/jobs/{job['id']}", expect=409)
    clock.now += SILENT_MS
    assert services.job_work.work(threading.Event())
    done = town.platform("GET", f"/v1/jobs/{job['id']}")
    assert (done["state"], done["attempts"], done["result"]["made"]) == ("done", 2, {"houses": 1, "entrances": 0})
    assert counted(services)["houses"] == 3


def test_a_worker_that_wakes_up_late_writes_nothing(town: Town, services: Services, clock: Clock) -> None:
    send(town, "houses", "address\nNew 1\n", "&background=true", expect=202)
    slow = services.jobs.take()
    assert slow is not None
    clock.now += SILENT_MS
    assert services.job_work.work(threading.Event())
    run_job(services.jobs, slow, services.imports)
    assert counted(services)["houses"] == 3
    with pytest.raises(JobLostError):
        services.jobs.tell(slow, 1)


def test_a_job_that_loses_every_worker_fails_cleanly(town: Town, services: Services, clock: Clock) -> None:
    job = send(town, "houses", "address\nNew 1\n", "&background=true", expect=202)
    for _ in range(ATTEMPTS):
        assert services.jobs.take() is not None
        clock.now += SILENT_MS
    assert services.jobs.take() is None
    failed = town.platform("GET", f"/v1/jobs/{job['id']}")
    assert failed["state"] == "failed"
    assert "lost 3 times" in failed["result"]["error"]
    town.platform("DELETE", f"/v1/jobs/{job['id']}")


def test_a_worker_that_has_to_stop_gives_the_job_back(town: Town, services: Services) -> None:
    text = "address\n" + "".join(f"Street {number}\n" for number in range(2000))
    job = send(town, "houses", text, "&background=true", expect=202)
    stopped = threading.Event()
    stopped.set()
    services.job_work.work(stopped)
    waiting = town.platform("GET", f"/v1/jobs/{job['id']}")
    assert (waiting["state"], waiting["attempts"]) == ("waiting", 0)
    services.job_work.work(threading.Event())
    assert town.platform("GET", f"/v1/jobs/{job['id']}")["state"] == "done"


def test_rows_that_somebody_else_makes_meanwhile_fail_the_job(
    town: Town, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = services.jobs.tell

    def meanwhile(taken: Any, rows: int) -> None:
        tell(taken, rows)
        town.platform("POST", "/v1/houses", {"company_id": town.company, "address": "New 1"})

    monkeypatch.setattr(services.jobs, "tell", meanwhile)
    job = send(town, "houses", "address\nNew 1\nNew 2\n")
    assert job["state"] == "failed"
    assert "somebody else" in job["result"]["error"].casefold()
    assert counted(services)["houses"] == 3


@pytest.mark.parametrize("phone", ["+79123456789", ""])
def test_of_two_imports_at_one_moment_one_makes_the_residents(
    town: Town, services: Services, monkeypatch: pytest.MonkeyPatch, phone: str
) -> None:
    text = f"name;address;apartment;phones\nAnna Petrova;Lenina 1;12;{phone}\n"
    jobs = [send(town, "residents", text, "&background=true", expect=202)["id"] for _ in range(2)]
    both, both_write = threading.Barrier(2, timeout=60), threading.Barrier(2)
    looked_at, write = Imports._looked_at, ResidentImport.write

    def looked_at_by_both(*arguments: Any) -> Any:
        found = looked_at(*arguments)
        both.wait()
        return found

    def written_by_both(importer: ResidentImport) -> dict[str, int]:
        with contextlib.suppress(threading.BrokenBarrierError):  # the other has to wait until this one is through
            both_write.wait(0.2)
        return write(importer)

    monkeypatch.setattr(Imports, "_looked_at", looked_at_by_both)
    monkeypatch.setattr(ResidentImport, "write", written_by_both)

    def work() -> None:
        while not services.job_work.work(threading.Event()):
            pass  # both have reached for the same job: the other one is left
        services.jobs.database.forget_connection()

    threads = [threading.Thread(target=work) for _ in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done, failed = sorted((town.platform("GET", f"/v1/jobs/{job}") for job in jobs), key=lambda job: str(job["state"]))
    assert (done["state"], failed["state"]) == ("done", "failed")
    assert "Anna Petrova was made meanwhile" in failed["result"]["error"]
    assert (counted(services)["residents"], counted(services)["residencies"]) == (1, 1)


def test_residents_whom_somebody_makes_meanwhile_fail_no_import_of_others(
    town: Town, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = services.jobs.tell

    def meanwhile(taken: Any, rows: int) -> None:
        tell(taken, rows)
        home = {"apartment_id": town.apartment, "role": "owner"}
        body = {"company_id": town.company, "name": "Olga", "phones": ["+79123456789"], "apartments": [home]}
        town.platform("POST", "/v1/residents", body)

    monkeypatch.setattr(services.jobs, "tell", meanwhile)
    job = send(town, "residents", "name;address;apartment;phones\nAnna;Lenina 1;12;+79123456789\nIvan;Lenina 1;12;\n")
    assert (job["state"], job["result"]["made"]["residents"]) == ("done", 2)


RESIDENTS = "name;address;apartment;phones\n" + "".join(
    f"Anna {n};Lenina 1;12;+7912{n:07}, +7913{n:07}\n" for n in range(40)
)
GUESTS = "name;address;apartment;role;until\n" + "".join(
    f"Guest {n};Lenina 1;12;guest;{2100 + n}-01-31\n" for n in range(40)
)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("houses", "address;entrances\n" + "".join(f"New {n};1-4\n" for n in range(40))),
        ("apartments", "address;entrance;apartment\nLenina 1;1;20-60\nLenina 1;2;61-99\n"),
        ("residents", RESIDENTS),
        ("residents", GUESTS),
        ("keys", "number;address\n" + "".join(f"00C6{n:04X};Lenina 1\n" for n in range(1, 41))),
    ],
)
def test_all_rows_of_a_table_are_written_at_once_while_others_wait(
    town: Town, services: Services, monkeypatch: pytest.MonkeyPatch, kind: str, text: str
) -> None:
    """SQLite has one writer at a time: what can be done before its transaction is done there."""
    options = "&make_entrances=true" if kind == "apartments" else ""
    held = written_while_others_wait(town, services, monkeypatch, (kind, text, options))
    inserts = [sql for sql in held.executed if sql.lstrip().startswith("INSERT")]
    held_up = [*held.rows, *inserts]
    assert len(held_up) < 10, held_up
    assert services.jobs.database.rows("SELECT name FROM sqlite_temp_schema") == []


def test_another_writer_need_not_wait_while_rows_are_made_ready(
    town: Town, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever stands before the transaction holds no lock: somebody else writes when everything lies ready."""
    prepare = ResidentImport.prepare
    wrote: list[str] = []

    def somebody_else() -> None:
        with services.jobs.database.transaction_at_once():
            wrote.append(services.tokens.create("meanwhile", "platform"))
        services.jobs.database.forget_connection()

    def prepared(importer: ResidentImport) -> None:
        prepare(importer)
        thread = threading.Thread(target=somebody_else)
        thread.start()
        thread.join()

    monkeypatch.setattr(ResidentImport, "prepare", prepared)
    assert send(town, "residents", RESIDENTS)["state"] == "done"
    assert len(wrote) == 1


def test_an_import_that_fails_at_last_leaves_nothing(
    town: Town, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = counted(services)

    def fails(*_: Any) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(Imports, "_tell_the_audit_log", fails)
    assert send(town, "residents", RESIDENTS)["state"] == "failed"
    assert counted(services) == before
    monkeypatch.undo()
    assert send(town, "residents", RESIDENTS)["result"]["made"] == {"residents": 40, "residencies": 40}
    phones = services.jobs.database.rows(
        "SELECT r.name, p.phone, p.position FROM resident_phones p JOIN residents r ON r.id = p.resident_id "
        "ORDER BY p.id"
    )
    assert phones == [(f"Anna {n}", f"+79{12 + i}{n:07}", i) for n in range(40) for i in (0, 1)]


def test_a_fault_of_ours_fails_the_job_and_not_the_worker(
    town: Town, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*_: Any) -> None:
        raise RuntimeError("bug")

    monkeypatch.setattr(services.jobs, "tell", fault)
    job = send(town, "houses", "address\nNew 1\n")
    assert job["state"] == "failed"
    assert "fault of ours" in job["result"]["error"]
