"""The call of `make demo`, also after one that was killed, or whose terminal closed, in the middle of it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from typing import TYPE_CHECKING

import pytest

from lab.demo import choose_household
from lab.process_scan import members, processes_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.sip.scene import Scene

_PHONES = 4
_LASTS_S = 60.0
_SIP_PORT = 5060
_EARLIER_CANCEL = (
    b"CANCEL sip:phone@127.0.0.1 SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKearlier\r\n"
    b"From: <sip:panel@entryphone.test>;tag=earlier\r\n"
    b"To: <sip:phone@entryphone.test>\r\n"
    b"Call-ID: earlier\r\n"
    b"CSeq: 1 CANCEL\r\n"
    b"Reason: Q.850;cause=127\r\n"
    b"Max-Forwards: 70\r\n"
    b"Content-Length: 0\r\n\r\n"
)
"""As of a call whose phone is gone: the proxy repeats it until somebody replies."""


@contextlib.asynccontextmanager
async def _demo(scene: Scene) -> AsyncIterator[asyncio.subprocess.Process]:
    settings = scene.stack.settings
    process = await asyncio.create_subprocess_exec(
        # HUP as a terminal leaves it, also when the tests themselves run under nohup(1).
        *(
            "env",
            "--default-signal=HUP",
            str(settings.python),
            "-u",
            "-m",
            "lab.demo",
            "--directory",
            str(settings.directory),
        ),
        cwd=settings.repository,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def _rings(demo: asyncio.subprocess.Process) -> None:
    assert demo.stdout is not None
    async with asyncio.timeout(_LASTS_S):
        while line := await demo.stdout.readline():
            if b"hears that it rings" in line:
                return
    raise AssertionError("the demo ended before its call rang")


def _left(scene: Scene) -> tuple[int, list[str]]:
    """Phones of demos, and their directories."""
    settings = scene.stack.settings
    phones = members(processes_of(settings.directory, settings.run), "demo", None)
    return len(phones), sorted(path.name for path in settings.directory.glob("demo-*"))


async def test_after_one_that_was_killed_the_next_is_played(scene: Scene) -> None:
    async with _demo(scene) as killed:
        await _rings(killed)
        killed.kill()
        await killed.wait()
    phones, directories = _left(scene)
    assert (phones, len(directories)) == (_PHONES, 1)
    async with _demo(scene) as demo:
        told, wrong = await asyncio.wait_for(demo.communicate(), _LASTS_S)
    assert (demo.returncode, wrong) == (0, b"")
    assert b"door opens" in told
    assert _left(scene) == (0, [])


async def test_what_still_comes_of_an_earlier_call_at_its_addresses_is_not_taken_for_its_own(scene: Scene) -> None:
    apartment, *_ = choose_household(scene.town)
    async with _demo(scene) as demo:
        await _rings(demo)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as proxy:
            for resident in apartment.residents:
                proxy.sendto(_EARLIER_CANCEL, (resident.address, _SIP_PORT))
        told, wrong = await asyncio.wait_for(demo.communicate(), _LASTS_S)
    assert (demo.returncode, wrong) == (0, b"")
    assert told.count(b"answered elsewhere") == len(apartment.residents) - 1


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
async def test_one_that_is_told_to_end_leaves_nothing(scene: Scene, number: signal.Signals) -> None:
    async with _demo(scene) as demo:
        await _rings(demo)
        demo.send_signal(number)
        _, wrong = await asyncio.wait_for(demo.communicate(), _LASTS_S)
    assert (demo.returncode, wrong) == (130, b"")
    assert _left(scene) == (0, [])
