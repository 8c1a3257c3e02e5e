"""Every address and path of one lab instance, in one place."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lab.process_scan import MARK_FILE

REPOSITORY = Path(__file__).resolve().parent.parent
VAR = REPOSITORY / "var"
DEFAULT_DIRECTORY = VAR / "lab"
TEST_DIRECTORY = VAR / "test-lab"
TEST_LABS = VAR / "test-labs"
"""Of labs that tests start beside that one: a directory for each session."""
BENCH_DIRECTORY = VAR / "bench-lab"


@dataclass(frozen=True)
class LabSettings:
    """Addresses and paths of one lab instance (docs/contracts.md, sections 1 and 2).

    Two instances of one machine differ in their directory and run in different network namespaces, so the addresses
    are the same for all of them.
    """

    directory: Path = DEFAULT_DIRECTORY
    repository: Path = REPOSITORY
    domain: str = "entryphone.test"
    sip_address: str = "127.0.0.10"
    sip_port: int = 5060
    asterisk_nodes: dict[str, str] = field(default_factory=lambda: {"ast1": "127.0.0.21", "ast2": "127.0.0.22"})
    probe_node: tuple[str, str] = ("ast-probe", "127.0.0.23")  # makes quality probes, carries no visitor
    emergency_node: tuple[str, str] = ("ast-emergency", "127.0.0.24")  # idle but for emergency calls
    asterisk_port: int = 5060
    rtp_ports: tuple[int, int] = (20000, 39998)
    agi_host: str = "127.0.0.30"
    agi_port: int = 4573
    redis_host: str = "127.0.0.40"
    redis_port: int = 6379
    crm_host: str = "127.0.0.50"
    crm_port: int = 8080
    push_host: str = "127.0.0.70"  # simulated push services, while a test or a demo plays them
    twilio_host: str = "127.0.0.72"  # simulated Twilio, while a test or a demo plays it
    postgres_host: str = "127.0.0.60"
    postgres_port: int = 5432
    database: Literal["sqlite", "postgres"] = "sqlite"  # where the CRM keeps its tables
    kamailio_overrides: dict[str, str] = field(default_factory=dict)  # names of kamailio-host.cfg.example

    @property
    def root(self) -> Path:
        """The Debian root of the servers: a link to the machine-wide cache."""
        return self.repository / "var" / "root"

    @property
    def every_asterisk_node(self) -> dict[str, str]:
        """Nodes for visitors, the one for probes and the one for emergency calls: address by name."""
        return {**self.asterisk_nodes, **dict((self.probe_node, self.emergency_node))}

    @property
    def python(self) -> Path:
        """Python of the virtual environment."""
        return self.repository / ".venv" / "bin" / "python"

    @property
    def etc(self) -> Path:
        """What the servers see as `/etc/entryphone`."""
        return self.directory / "etc"

    @property
    def run(self) -> Path:
        """What the servers see as `/run/entryphone`."""
        return self.directory / "run"

    @property
    def lib(self) -> Path:
        """What the servers see as `/var/lib/entryphone`."""
        return self.directory / "lib"

    @property
    def log(self) -> Path:
        """What the servers see as `/var/log/entryphone`; also the output of every process."""
        return self.directory / "log"

    @property
    def records(self) -> Path:
        """One JSON file for each process started: pid, start time, command."""
        return self.directory / "processes"

    @property
    def town_file(self) -> Path:
        """What `make up` tells tests and outside tools about the demo town."""
        return self.directory / "town.json"

    @property
    def crm_url(self) -> str:
        """Base URL of the CRM's API."""
        return f"http://{self.crm_host}:{self.crm_port}"

    @property
    def redis_url(self) -> str:
        """URL of the lab's Redis."""
        return f"redis://{self.redis_host}:{self.redis_port}/0"

    @property
    def crm_database_url(self) -> str:
        """URL of the CRM's database as the CRM wants it."""
        if self.database == "postgres":
            return f"postgresql://postgres@{self.postgres_host}:{self.postgres_port}/postgres"
        return f"sqlite:///{self.lib}/crm.db"

    def create_directories(self) -> None:
        """Make the instance's directories; they hold secrets, so only their owner may enter.

        Those that are there stay as they are: PostgreSQL has had its way to its files opened, and stops without it.
        """
        for path in (self.directory, self.etc, self.run, self.lib, self.log, self.records):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        mark = self.run / MARK_FILE
        mark.touch(mode=0o600)
        mark.write_text(str(self.directory), encoding="utf-8")
