from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import structlog

from crm_api.__main__ import main
from crm_api.bootstrap import make_context
from crm_api.config import read_config
from crm_api.domain.problems import UnauthorisedError
from crm_api.services.sessions import Sessions
from crm_api.services.tokens import Tokens
from crm_api.tables.database import CrmDatabase

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from crm_api.services.context import Context

GIVEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "crm.json"
    settings = {
        "database_url": f"sqlite:///{tmp_path}/crm.db",
        "redis_url": "redis://127.0.0.1:1/0",
        "sip_domain": "entryphone.test",
        "encryption_key_file": str(tmp_path / "key"),
        "bootstrap_tokens": [{"name": "lab", "kind": "platform", "token": GIVEN}],
    }
    path.write_text(json.dumps(settings))
    yield path
    structlog.reset_defaults()  # the commands log to the standard error of this test


def run(config: Path, *arguments: str) -> int:
    return main([*arguments, "--config", str(config)])


def context(config: Path) -> Context:
    """Open the database again: the tables belong to the last one that was opened in a process."""
    return make_context(read_config(config))


def test_the_first_admin_is_made_and_logs_in(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config, "migrate") == 0
    capsys.readouterr()
    assert run(config, "staff", "create", "--login", "Chief", "--name", "The chief") == 0
    password = capsys.readouterr().out.strip()
    here = context(config)
    session = Sessions(here).log_in("chief", password, "127.0.0.1")
    chief = Tokens(here).principal(f"Bearer {session['token']}")
    assert (chief.role, chief.tenant.companies, chief.tenant.name) == ("admin", None, "The chief")
    assert run(config, "staff", "password", "--login", "chief") == 0
    renewed = capsys.readouterr().out.strip()
    here.database.forget_connection()
    here = context(config)
    with pytest.raises(UnauthorisedError):
        Sessions(here).log_in("chief", password, "127.0.0.1")
    assert Sessions(here).log_in("chief", renewed, "127.0.0.1")["token"]
    told = here.database.rows("SELECT who, action, noun FROM audit_log WHERE noun = 'member of staff' ORDER BY id")
    assert told == [
        ("command line", "create", "member of staff"),
        ("command line", "reset password", "member of staff"),
    ]
    here.database.forget_connection()


def test_staff_of_companies(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(config, "migrate")
    here = context(config)
    for number, name in enumerate(("Homes", "Others"), start=1):
        here.database.rows(
            "INSERT INTO companies (id, name, language, active, ring_timeout_s, talk_limit_s, created_at_ms) "
            "VALUES (?, ?, 'en', 1, 30, 120, 1)",
            (number, name),
        )
    more = ("--company", "Homes", "--company", "Others")
    assert run(config, "staff", "create", "--login", "both", "--role", "read_only", *more) == 0
    password = capsys.readouterr().out.split()[-1]
    here.database.forget_connection()
    here = context(config)
    session = Sessions(here).log_in("both", password, "127.0.0.1")
    assert Tokens(here).principal(f"Bearer {session['token']}").tenant.companies == frozenset({1, 2})
    here.database.forget_connection()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("create", "--login", "a b"), "login='a b'"),
        (("create", "--login", "chief", "--company", "Nowhere"), "company='Nowhere': name an existing company"),
        (("password", "--login", "nobody"), "nobody"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    config: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    run(config, "migrate")
    capsys.readouterr()
    assert run(config, "staff", *arguments) == 2
    error = capsys.readouterr().err
    assert told in error
    assert len(error.splitlines()) == 1
    context(config).database.forget_connection()


def test_the_labs_tokens_are_the_same_after_another_migrate(config: Path) -> None:
    run(config, "migrate")
    here = context(config)
    first = Tokens(here).principal(f"Bearer {GIVEN}").token_id
    here.database.forget_connection()
    assert run(config, "migrate") == 0
    here = context(config)
    assert Tokens(here).principal(f"Bearer {GIVEN}").token_id == first
    here.database.forget_connection()


def test_a_login_that_is_taken_is_named(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(config, "migrate")
    assert run(config, "staff", "create", "--login", "chief") == 0
    capsys.readouterr()
    assert run(config, "staff", "create", "--login", "chief") == 2
    assert capsys.readouterr().err.startswith("crm_api: login='chief': is taken")
    context(config).database.forget_connection()


def test_a_database_without_tables_is_told_in_one_line(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config, "staff", "create", "--login", "chief") == 2
    error = capsys.readouterr().err
    assert "no such table" in error
    assert "`crm_api migrate`" in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("database_url", "sqlite:////nowhere/crm.db", "'/nowhere/crm.db': make the directory"),
        (
            "database_url",
            "postgresql://me:geheim@127.0.0.1/crm?sslcert=x",
            "...?sslcert=: a query may have sslmode and",
        ),
        ("database_url", "postgresql://me:geheim@127.0.0.1/crm?sslmode=full", "...?sslmode=full: one of disable, "),
        ("database_url", "postgresql://me:geheim@127.0.0.1/crm?sslrootcert=", "...?sslrootcert=: give it once"),
        ("database_url", "postgresql://me:geheim@127.0.0.1/crm?verify", "...?verify=: a query may have"),
        ("database_url", "sqlite:////nowhere/crm.db?mode=ro", "...?mode=: no query is known here"),
        ("encryption_key_file", "/nowhere/key", "encryption_key_file /nowhere/key: "),
        ("redis_url", "http://127.0.0.1", "redis_url='http://127.0.0.1'"),
        ("redis_url", "http://me:geheim@127.0.0.1", "redis_url='http://...@127.0.0.1'"),
        ("sip_domain", "", "sip_domain=''"),
        ("sip_proxy", "127.0.0.10", "sip_proxy='127.0.0.10'"),
        ("colour", "geheim", "colour: there is no such field"),
        ("bootstrap_tokens", [{"name": "x", "kind": "service", "token": "geheim"}], "bootstrap_tokens.0.token: "),
        ("sip_domain", None, "sip_domain is missing"),
    ],
)
def test_a_wrong_setting_is_told_in_one_line_and_no_secret_with_it(
    config: Path, capsys: pytest.CaptureFixture[str], setting: str, value: object, told: str
) -> None:
    settings = json.loads(config.read_text()) | {setting: value}
    config.write_text(json.dumps({name: value for name, value in settings.items() if value is not None}))
    assert run(config, "migrate") == 2
    error = capsys.readouterr().err
    assert told in error
    assert len(error.splitlines()) == 1
    assert "geheim" not in error
    assert GIVEN not in error


def test_a_process_with_a_wrong_file_ends_with_a_line(tmp_path: Path) -> None:
    for module in ("crm_api.outbox", "scheduler"):
        command = [sys.executable, "-m", module, "--config", str(tmp_path / "none.json")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert (
            done.stderr
            == f"{module}: {tmp_path}/none.json: No such file or directory; give the right path with --config\n"
        )


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_database_of_sqlite_is_for_its_owner_and_his_group_alone(config: Path, tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        assert main(["migrate", "--config", str(config)]) == 0
        database = CrmDatabase(f"sqlite:///{tmp_path}/crm.db")
        database.rows("UPDATE companies SET name = name")
        assert modes(tmp_path) == {"crm.db": 0o660, "crm.db-shm": 0o660, "crm.db-wal": 0o660}
        database.forget_connection()
    finally:
        os.umask(before)


def test_migrate_takes_a_database_of_a_former_release_from_others(config: Path, tmp_path: Path) -> None:
    assert main(["migrate", "--config", str(config)]) == 0
    database = CrmDatabase(f"sqlite:///{tmp_path}/crm.db")
    (tmp_path / "crm.db").chmod(0o664)
    database.rows("UPDATE companies SET name = name")
    for path in tmp_path.glob("crm.db-*"):
        path.chmod(0o644)
    assert main(["migrate", "--config", str(config)]) == 0
    assert modes(tmp_path) == {"crm.db": 0o660, "crm.db-shm": 0o640, "crm.db-wal": 0o640}
    database.forget_connection()


def modes(directory: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.glob("crm.db*")}
