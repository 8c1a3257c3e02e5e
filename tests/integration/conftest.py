"""A Redis of its own for tests that kill it, beside the session's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis as redis_py

from tests.integration.own_lab import own_lab, own_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.stack import Stack


@pytest.fixture(scope="module")
def redis_lab(own_labs: Path) -> Iterator[Stack]:
    """A lab instance of which only Redis runs, at an address of its own."""
    with own_lab(own_settings(own_labs / "redis", 8), "redis") as stack:
        yield stack


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
