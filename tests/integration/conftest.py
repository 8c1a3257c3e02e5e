"""A Redis of its own for tests that kill it, beside the session's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import redis as redis_py

from lab.settings import LabSettings
from lab.stack import Stack
from tests.conftest import in_own_network

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def redis_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A lab instance of which only Redis runs, at an address of its own."""
    if not in_own_network():
        pytest.exit("tests with servers need a network of their own: run `make test TESTS=...`", returncode=2)
    settings = replace(LabSettings(), directory=tmp_path_factory.mktemp("redis-lab"), redis_host="127.0.4.41")
    stack = Stack(settings)
    try:
        yield stack
    finally:
        stack.discard()


@pytest.fixture
def client(redis_lab: Stack) -> Iterator[redis_py.Redis]:
    """A connection of the test's own to an empty Redis that runs; the test may kill it."""
    redis_lab.start("redis")
    with redis_py.Redis.from_url(redis_lab.settings.redis_url) as client:
        client.flushall()
        yield client


@pytest.fixture
def url(redis_lab: Stack, client: redis_py.Redis) -> str:
    """Where that Redis is."""
    del client
    return redis_lab.settings.redis_url
