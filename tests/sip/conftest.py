"""Runs a story (an asynchronous test) and clears its stage."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from tests.sip.scene import Scene, Stack

_HERE = "tests/sip/"
_LAST = "test_nothing_is_left"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every story needs the servers; what looks at the servers after all stories comes last."""
    for item in items:
        if _HERE in item.path.as_posix():
            item.add_marker(pytest.mark.stack)
    items.sort(key=lambda item: item.path.stem == _LAST)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine function in a loop of its own; the scene is closed in that loop, whatever happens."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}

    async def play() -> None:
        try:
            await pyfuncitem.obj(**arguments)
        finally:
            scene = arguments.get("scene")
            if isinstance(scene, Scene):
                await scene.close()

    asyncio.run(play())
    return True


@pytest.fixture
def scene(stack: Stack) -> Scene:
    """The stage, empty."""
    return Scene(stack)
