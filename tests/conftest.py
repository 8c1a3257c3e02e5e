"""The running servers for the tests that need them: started once a session, ended whatever happens."""

from __future__ import annotations

import signal
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import hypothesis
import pytest

from lab.settings import TEST_DIRECTORY, LabSettings
from lab.stack import Stack, instance_lock
from tests.at_rest import await_rest

if TYPE_CHECKING:
    from collections.abc import Iterator


def in_own_network() -> bool:
    """Whether this is a fresh network namespace, as under `make test`: it has the loopback interface only."""
    return [name for _, name in socket.if_nameindex()] == ["lo"]


def pytest_configure() -> None:
    """Let TERM end the session like Ctrl-C does, so that the servers are ended, too.

    Examples may take as long as they do: on a busy machine Hypothesis would fail a test for a moment's standstill.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
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
