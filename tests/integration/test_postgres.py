"""The whole platform on PostgreSQL: calls, with Kamailio reading the views there, and what happens when it is away."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from kemi_routes.database import REST_S
from lab.peers.digest import Credentials
from tests.at_rest import await_rest
from tests.integration.own_lab import own_lab, own_settings
from tests.sip.households import family
from tests.sip.ordinary import a_good_call, an_answered_call, answered_within_a_second
from tests.sip.promises import kept_within
from tests.sip.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.stack import Stack

_UNAUTHORIZED, _UNAVAILABLE = 401, 503
pytestmark = [pytest.mark.postgres, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def on_postgres(own_labs: Path) -> Iterator[Stack]:
    """A platform of its own beside the session's: other addresses, PostgreSQL instead of SQLite."""
    settings = own_settings(own_labs / "postgres", 4, "postgres")
    with own_lab(settings) as stack:
        await_rest(settings)
        yield stack


def _admin(stack: Stack) -> psycopg.Connection[tuple[object, ...]]:
    settings = stack.settings
    return psycopg.connect(host=settings.postgres_host, port=settings.postgres_port, user="postgres", autocommit=True)


def test_the_town_is_in_postgres_and_nowhere_else(on_postgres: Stack) -> None:
    with _admin(on_postgres) as admin:
        rows = admin.execute("SELECT account, kind, enabled FROM kamailio_accounts WHERE kind = 'panel'").fetchall()
    assert {row[0] for row in rows} == {panel["account"] for panel in on_postgres.town["panels"]}
    assert {row[2] for row in rows} == {1}
    assert not (on_postgres.settings.lib / "crm.db").exists()


def test_a_call_on_postgres(on_postgres: Stack) -> None:
    async def play() -> None:
        scene = Scene(on_postgres)
        try:
            await a_good_call(scene)
        finally:
            await scene.close()

    asyncio.run(play())


def test_a_changed_password_is_felt_within_a_second_on_postgres(on_postgres: Stack) -> None:
    async def play() -> None:
        scene = Scene(on_postgres)
        try:
            apartment, _, _ = family(scene.town)
            name = apartment.residents[0].credentials.username
            lives_in = (await scene.office.get(f"/v1/accounts/{name}"))["apartment_id"]
            wanted = {"account": "postgres-app", "kind": "app", "apartment_id": lives_in}
            made = await scene.office.send("POST", "/v1/accounts", wanted)
            peer = await scene.peer("127.0.3.40")
            password: str = made["password"]

            async def took_s() -> float:
                nonlocal password
                old = Credentials("postgres-app", password)
                assert (await peer.register(old)).status == 200
                rotated = await scene.office.send("POST", "/v1/accounts/postgres-app/rotate-password")
                password = rotated["password"]
                began_s = time.monotonic()
                while (await peer.register(Credentials("postgres-app", password))).status != 200:
                    assert time.monotonic() - began_s < 5
                    await asyncio.sleep(0.25 if time.monotonic() - began_s < 1 else 2)  # ten refusals bar the address
                took_s = time.monotonic() - began_s
                assert (await peer.register(old)).status == 401
                return took_s

            await kept_within(1, took_s)
        finally:
            await scene.close()

    asyncio.run(play())


def test_connections_that_the_server_has_closed_cost_no_request(on_postgres: Stack) -> None:
    """As after its restart: the first request of each of the CRM's readers finds a connection that has ended."""
    connected = "FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"

    async def play() -> None:
        scene = Scene(on_postgres)
        try:
            with _admin(on_postgres) as admin:
                before = {row[0] for row in admin.execute(f"SELECT pid {connected}").fetchall()}
                admin.execute(f"SELECT pg_terminate_backend(pid, 5000) {connected}")
                left = before & {row[0] for row in admin.execute(f"SELECT pid {connected}").fetchall()}
            assert before
            assert not left
            await asyncio.gather(*(scene.office.get("/v1/houses") for _ in range(40)))
            await scene.office.send("POST", "/v1/cities", {"name": "after the restart"})
            await a_good_call(scene)
        finally:
            await scene.close()

    asyncio.run(play())


def test_postgres_that_hangs_keeps_no_sip_worker(on_postgres: Stack) -> None:
    """Whoever is not cached is asked of it, and each is answered; calls of those that are cached ring meanwhile."""

    async def play() -> None:
        scene = Scene(on_postgres)
        try:
            await a_good_call(scene)
            peers = [await scene.peer(f"127.0.3.{41 + number}") for number in range(8)]
            with _hanging(on_postgres):
                strangers = [
                    asyncio.create_task(peer.register(Credentials(f"stranger-{number}", "x"), timeout_s=20))
                    for peer in peers
                    for number in range(5)
                ]
                await _a_call_is_answered(scene)  # while a worker waits
                refused = await asyncio.gather(*strangers)
                assert {final.status for final in refused} == {_UNAVAILABLE}
            back_s = time.monotonic()
            while (await peers[0].register(Credentials("stranger-0", "x"), timeout_s=20)).status != _UNAUTHORIZED:
                assert time.monotonic() - back_s < 2 * REST_S
                await asyncio.sleep(1)  # nobody tells when the database is asked again
            await a_good_call(scene)
        finally:
            await scene.close()

    asyncio.run(play())


@contextlib.contextmanager
def _hanging(stack: Stack) -> Iterator[None]:
    """PostgreSQL takes connections and says nothing."""
    for _ in range(2):  # the second time those that were forked meanwhile: the postmaster stands still by then
        stack.kill("postgres", signal.SIGSTOP)
    try:
        yield
    finally:
        stack.kill("postgres", signal.SIGCONT)


async def _a_call_is_answered(scene: Scene) -> None:
    """Of a family that has registered before: all the proxy needs is cached. What `#` does then is not told here."""
    with answered_within_a_second():
        call, _, _ = await an_answered_call(scene)  # registered anew: the accounts come from the cache
    await call.bye()


def test_calls_ring_while_postgres_is_away(on_postgres: Stack) -> None:
    """Kamailio's cached accounts stay valid, the ring plan is in Redis."""

    async def play() -> None:
        scene = Scene(on_postgres)
        try:
            await a_good_call(scene)
            await scene.kill("postgres")
            await _a_call_is_answered(scene)
        finally:
            await scene.close()

    asyncio.run(play())
