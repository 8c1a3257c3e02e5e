"""A host whose disk is full: calls ring, doors open, 112 goes out, and nothing that was told is lost."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from lab.peers.office import OfficeError
from tests.at_rest import await_rest
from tests.integration.own_lab import own_lab, own_settings, require_own_network
from tests.sip.emergency_scene import call_112, emergency_record, panel_at
from tests.sip.ordinary import a_good_call, an_answered_call
from tests.sip.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from lab.stack import Stack

_BLOCK = 1 << 16
_MORE_THAN_FIT = 5_000


@pytest.fixture(scope="module")
def on_small_disk(own_labs: Path) -> Iterator[Stack]:
    """A platform of its own, whose files are on a file system that a test can fill."""
    require_own_network()  # and a mount namespace with it, in which this one ends
    disk = own_labs / "small-disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", str(disk)], check=True)
    settings = own_settings(disk / "lab", 7)
    try:
        with own_lab(settings) as stack:
            await_rest(settings)
            yield stack
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@contextlib.contextmanager
def _full(stack: Stack) -> Iterator[None]:
    """Not a byte is free on the file system of the stack."""
    ballast = stack.settings.directory.parent / "ballast"
    try:
        deadline_s = time.monotonic() + 10
        with ballast.open("wb", buffering=0) as file:
            while shutil.disk_usage(ballast.parent).free:  # the servers may remove a file meanwhile
                assert time.monotonic() < deadline_s
                size = _BLOCK
                while size:
                    try:
                        file.write(b"\0" * size)
                    except OSError:
                        size //= 2
        yield
    finally:
        ballast.unlink()


def _play(stack: Stack, story: Callable[[Scene], Awaitable[None]]) -> None:
    async def play() -> None:
        scene = Scene(stack)
        try:
            await story(scene)
        finally:
            await scene.close()

    asyncio.run(play())


def test_calls_ring_doors_open_and_the_record_comes_later(on_small_disk: Stack) -> None:
    async def story(scene: Scene) -> None:
        await a_good_call(scene)
        with _full(on_small_disk):
            call, ring, at = await an_answered_call(scene)
            await ring.rtp.press("#")
            await call.rtp.wait_for_key(at.door_code[0], 3)
            await call.bye()
            await ring.wait_request("BYE", 3)
        opened = await scene.office.access_records(call.call_id)
        assert [(record["result"], record["method"]) for record in opened] == [("sent", "dtmf")]
        assert (await scene.office.call_record(call.call_id))["result"] == "answered"

    _play(on_small_disk, story)


def test_112_goes_out(on_small_disk: Stack) -> None:
    async def story(scene: Scene) -> None:
        with _full(on_small_disk):
            call, ring = await call_112(scene, panel_at(scene))
            await asyncio.gather(call.rtp.wait_for_sound(3), ring.rtp.wait_for_sound(3))
            await call.bye()
        assert (await emergency_record(scene, call.call_id))["result"] == "answered"

    _play(on_small_disk, story)


def test_an_operator_is_told_and_what_was_taken_is_there(on_small_disk: Stack) -> None:
    async def story(scene: Scene) -> None:
        taken: list[int] = []

        async def fill() -> None:
            for number in range(_MORE_THAN_FIT):
                made = await scene.office.send("POST", "/v1/cities", {"name": f"full {number} {'x' * 80}"})
                taken.append(made["id"])

        with _full(on_small_disk):
            with pytest.raises(OfficeError, match=r": 503 .*unavailable"):
                await fill()
            assert (await scene.office.get("/v1/houses?limit=1"))["items"]
        for key in taken:
            assert (await scene.office.get(f"/v1/cities/{key}"))["name"].startswith("full")
        assert (await scene.office.send("POST", "/v1/cities", {"name": "room again"}))["name"] == "room again"

    _play(on_small_disk, story)


def test_all_is_well_again(on_small_disk: Stack) -> None:
    deadline_s = time.monotonic() + 30
    while True:
        wrong = {service.name: service.problem for service in on_small_disk.status() if not service.optional}
        if set(wrong.values()) == {""}:
            return
        assert time.monotonic() < deadline_s, wrong
        time.sleep(0.1)  # a server that finds room again says so when it is asked
