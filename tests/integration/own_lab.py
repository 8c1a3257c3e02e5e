"""Servers of a test's own, beside the session's: a lab in another directory, at other addresses."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import pytest

from lab.settings import LabSettings
from lab.stack import Stack
from tests.conftest import in_own_network

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def own_settings(directory: Path, network: int, database: Literal["sqlite", "postgres"] = "sqlite") -> LabSettings:
    """A lab all of whose servers are at 127.0.<network>.*; the session's are at 127.0.0.*."""
    net = f"127.0.{network}"
    return LabSettings(
        directory=directory,
        database=database,
        sip_address=f"{net}.10",
        asterisk_nodes={"ast1": f"{net}.21", "ast2": f"{net}.22"},
        probe_node=("ast-probe", f"{net}.23"),
        emergency_node=("ast-emergency", f"{net}.24"),
        agi_host=f"{net}.30",
        redis_host=f"{net}.40",
        crm_host=f"{net}.50",
        postgres_host=f"{net}.60",
    )


@contextmanager
def own_lab(settings: LabSettings, *services: str) -> Iterator[Stack]:
    """Start these services, all when none is named; afterwards nothing of the lab is left."""
    require_own_network()
    stack = Stack(settings)
    try:
        stack.start(*services)
        yield stack
    finally:
        stack.discard()


def require_own_network() -> None:
    """End the session where servers of tests would meet those of the machine."""
    if not in_own_network():
        pytest.exit("tests with servers need a network of their own: run `make test TESTS=...`", returncode=2)
