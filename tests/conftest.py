"""The running servers for the tests that need them: started once a session, ended whatever happens."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import hypothesis
import pytest

from lab.interruption import end_like_ctrl_c
from lab.leftovers import discard_leftovers
from lab.settings import TEST_DIRECTORY, TEST_LABS, LabSettings
from lab.stack import Stack, instance_lock
from tests.at_rest import await_rest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def in_own_network() -> bool:
    """Whether this is a fresh network namespace, as under `make test`: it has the loopback interface only."""
    return [name for _, name in socket.if_nameindex()] == ["lo"]


def pytest_configure() -> None:
    """Let TERM and HUP end the session like Ctrl-C does, so that the servers are ended, too.

    Examples may take as long as they do: on a busy machine Hypothesis would fail a test for a moment's standstill.
    """
    end_like_ctrl_c()
    hypothesis.settings.register_profile(
        "shared machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("shared machine")


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The whole platform with the demo town in `var/test-lab`; its `settings` and `town` say where everything is."""
    if not in_own_network():
        pytest.exit("tests with servers need a network of their own: run `make test TESTS=...`", returncode=2)
    running = Stack(replace(LabSettings(), directory=TEST_DIRECTORY))
    with instance_lock(TEST_DIRECTORY):  # another test run in this clone uses the same directory
        running.discard()
        try:
            running.start()
            await_rest(running.settings)
            yield running
        finally:
            running.stop()


@pytest.fixture(scope="session")
def own_labs() -> Iterator[Path]:
    """A directory for labs of tests' own: `make down` ends what runs there once this session is gone."""
    directory = TEST_LABS / f"{os.getpid()}-{secrets.token_hex(4)}"
    with instance_lock(directory):
        discard_leftovers(TEST_LABS)  # of sessions that were killed
        directory.mkdir(mode=0o700)
        yield directory
        shutil.rmtree(directory, ignore_errors=True)  # what a process that ends yet writes there
        directory.with_name(f"{directory.name}.lock").unlink(missing_ok=True)
