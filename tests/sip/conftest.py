"""Runs a story (an asynchronous test) and clears its stage."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING

import pytest

from lab.peers import transactions
from lab.peers.watch import Patience
from tests.sip.emergency_scene import rested
from tests.sip.scene import Scene, Stack
from tests.sip.server_settings import agi_settings
from tests.sip.stopwatch import stalled_s

if TYPE_CHECKING:
    from collections.abc import Iterator

_HERE = "tests/sip/"
_LAST = "test_nothing_is_left"


def pytest_configure() -> None:
    """An event that is late because other work had the processors is no missing one."""
    Patience.stalled_s = staticmethod(stalled_s)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every story needs the servers; what looks at the servers after all stories comes last."""
    for item in items:
        if _HERE in item.path.as_posix():
            item.add_marker(pytest.mark.stack)
    items.sort(key=lambda item: item.path.stem == _LAST)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine function in a loop of its own; the scene is closed in that loop, whatever happens.

    A trunk that failed in the story before would be tried last for half a minute.
    """
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}

    async def play() -> None:
        scene = arguments.get("scene")
        try:
            if isinstance(scene, Scene):
                await rested(scene)
            await pyfuncitem.obj(**arguments)
        except Exception:
            if isinstance(scene, Scene):
                pyfuncitem.add_report_section("call", "servers", scene.told())
            raise
        finally:
            if isinstance(scene, Scene):
                await scene.close()

    asyncio.run(play())
    return True


@pytest.fixture(scope="module")
def patient_leases(stack: Stack) -> Iterator[None]:
    """FastAGI waits longer for the CRM's number, as long as its own deadline allows.

    For stories that ask which number it is, not when: after the usual 0.15 s it is rightly another one.
    """
    with agi_settings(stack, lease_timeout_s=0.8):
        yield


@pytest.fixture
def nothing_is_said_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripted peers do not repeat what a proxy that stands still for half a second has: it would be logged again."""
    monkeypatch.setattr(transactions, "T1_S", 6.0)


@pytest.fixture
def scene(stack: Stack) -> Scene:
    """The stage, empty."""
    return Scene(stack)
