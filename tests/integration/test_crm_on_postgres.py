"""The CRM's own tests once more, on PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.integration.own_lab import own_lab, own_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.settings import LabSettings

pytestmark = pytest.mark.postgres

TESTS = (
    "tests/unit/crm",
    "tests/contract/test_schemathesis.py",
    "tests/integration/test_jobs_worker.py",
    "tests/integration/test_code_renewal_killed.py",
    "--ignore=tests/unit/crm/test_panel_drivers.py",
)
"""What needs a database of the CRM and no other server."""


@pytest.fixture
def database_server(own_labs: Path) -> Iterator[LabSettings]:
    """A lab instance of which only PostgreSQL runs, at an address of its own."""
    settings = own_settings(own_labs / "crm-on-postgres", 6, "postgres")
    with own_lab(settings, "postgres"):
        yield settings


def _of_no_session() -> dict[str, str]:
    """The environment without what pytest says of the session that runs this test."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}


@pytest.mark.timeout(2400)
def test_the_crms_own_tests_pass_on_postgres(database_server: LabSettings) -> None:
    host, port = database_server.postgres_host, database_server.postgres_port
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", *TESTS),
            *("-q", "--maxfail=5", "--tb=short", "-p", "no:cacheprovider"),
            "--timeout=600",  # with what the stories leave of the processor, as everything beside them
            "--numprocesses=2",  # each test has a database of its own; PostgreSQL does half of the work
        ],
        cwd=database_server.repository,
        env=_of_no_session() | {"ENTRYPHONE_TEST_POSTGRES_URL": f"postgresql://postgres@{host}:{port}/postgres"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:]
    with psycopg.connect(host=host, port=port, user="postgres", autocommit=True) as admin:
        left = admin.execute("SELECT datname FROM pg_database WHERE datname LIKE 'test\\_%'").fetchall()
        made = admin.execute("SELECT max(oid::bigint) - min(oid::bigint) FROM pg_database").fetchone()
    assert left == []
    assert made is not None
