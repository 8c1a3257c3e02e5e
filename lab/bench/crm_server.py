"""The CRM with a city behind it, on SQLite or PostgreSQL, in a lab instance of the bench's own."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal

import psycopg

from crm_api.migrations import migrate
from crm_api.tables.database import CrmDatabase
from lab.bench.process_usage import cpu_ticks
from lab.host_files import write_host_files
from lab.settings import LabSettings
from lab.stack import Stack
from lab.town.city.build import SEED, build_city
from lab.town.city.cache import cache_key, cached_city

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lab.town.city.sizes import CitySize

DIALECTS: Final[tuple[Literal["sqlite", "postgres"], ...]] = ("sqlite", "postgres")
_TOWN: Final = "town"
_SETTLED_WITHIN_S: Final = 60.0
_IDLE_MS_A_S: Final = 120.0


def crm_instance(directory: Path, dialect: Literal["sqlite", "postgres"]) -> LabSettings:
    """The lab instance of one database."""
    return replace(LabSettings(), directory=directory / f"crm-{dialect}", database=dialect)


class CrmServer:
    """Redis, perhaps PostgreSQL, the API and its background processes; the town is a fresh copy of the cached one."""

    def __init__(self, settings: LabSettings, size: CitySize, say: Callable[[str], None]) -> None:
        """Prepare; `settings.database` says on which database."""
        self.settings = settings
        self.size = size
        self.stack = Stack(settings, say)
        self._say = say
        self._secrets = write_host_files(settings)

    @property
    def service_token(self) -> str:
        """Token of the call path."""
        return self._secrets.crm_service_token

    @property
    def admin_token(self) -> str:
        """Token of an admin of all companies."""
        return self._secrets.crm_operator_token

    def start(self) -> None:
        """Put the town in place and start what serves it."""
        self.stack.stop()
        self.stack.start("redis")
        if self.settings.database == "postgres":
            self.stack.start("postgres")
            self._fill_postgres()
        else:
            for old in self.settings.lib.glob("crm.db*"):
                old.unlink()
            shutil.copy(cached_city(self.size, self.settings.domain), self.settings.lib / "crm.db")
        self._crm("migrate")
        names = [name for name in self.stack.services if name.startswith("crm") and name != "crm-call-records"]
        self.stack.start(*names)
        self._settle(*names, *(("postgres",) if self.settings.database == "postgres" else ()))

    def _settle(self, *names: str) -> None:
        """Wait until all have done what they do once after a start (such as looking at every panel's way to 112)."""
        until = time.monotonic() + _SETTLED_WITHIN_S
        while time.monotonic() < until:
            before = self.cpu_ms(*names)
            time.sleep(1)  # the time that is measured
            if self.cpu_ms(*names) - before <= _IDLE_MS_A_S:
                return
        self._say(f"still at work {_SETTLED_WITHIN_S:.0f} s after the start: what they use is counted, too")

    def stop(self) -> None:
        """End everything."""
        self.stack.stop()

    def operator_token(self, company: str) -> str:
        """Make a token of a company's operator."""
        made = self._crm("token", "create", "--name", f"bench {company}", "--kind", "operator", "--company", company,
                         "--replace")  # fmt: skip
        return made.strip()

    def cpu_ms(self, *names: str) -> float:
        """CPU time that services have used so far, in milliseconds."""
        total = 0
        for name in names:
            for pid in self.stack.pids(name):
                # A process of PostgreSQL may end with its connection between the two looks.
                with (
                    contextlib.suppress(FileNotFoundError, ProcessLookupError),
                    open(f"/proc/{pid}/stat") as file,  # noqa: PTH123 - read a hundred times
                ):
                    total += cpu_ticks(file.read())
        return total * 10.0

    def _crm(self, *arguments: str) -> str:
        command = [str(self.settings.python), "-m", "crm_api", *arguments, "--config"]
        done = subprocess.run(
            [*command, str(self.settings.etc / "crm.json")],
            cwd=self.settings.repository, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"crm_api {arguments[0]} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
        return done.stdout

    def _fill_postgres(self) -> None:
        """Make the database anew from a template that holds the town; build the template unless it is this town's."""
        settings, key = self.settings, f"{_TOWN}_{cache_key(self.size, self.settings.domain, SEED)}"
        name = key.replace("-", "_")
        with self._admin() as admin:
            kept = {row[0] for row in admin.execute("SELECT datname FROM pg_database").fetchall()}
            for old in kept:
                if old.startswith(f"{_TOWN}_") and old != name:
                    admin.execute(f"DROP DATABASE {old} WITH (FORCE)".encode())
            if name not in kept:
                fresh = f"{_TOWN}_fresh"
                admin.execute(f"DROP DATABASE IF EXISTS {fresh} WITH (FORCE)".encode())
                admin.execute(f"CREATE DATABASE {fresh}".encode())
                database = CrmDatabase(settings.crm_database_url.rpartition("/")[0] + f"/{fresh}")
                try:
                    migrate(database)
                    build_city(database, self.size, settings.domain)
                finally:
                    database.forget_connection()
                admin.execute(f"ALTER DATABASE {fresh} RENAME TO {name}".encode())
            admin.execute(b"DROP DATABASE IF EXISTS postgres WITH (FORCE)")
            admin.execute(f"CREATE DATABASE postgres TEMPLATE {name} STRATEGY FILE_COPY".encode())
            admin.execute(b"CHECKPOINT")

    def _admin(self) -> psycopg.Connection[Any]:
        settings = self.settings
        return psycopg.connect(
            host=settings.postgres_host, port=settings.postgres_port, user="postgres", dbname="template1",
            autocommit=True,
        )  # fmt: skip
