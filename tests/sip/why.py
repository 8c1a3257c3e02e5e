"""Why a phone rang or did not, as the office asks for it: over the API, and by the command."""

from __future__ import annotations

import asyncio
import os
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.sip.scene import Scene

_COMMAND = Path(__file__).parents[2] / "bin" / "entryphone"


async def why(scene: Scene, call_id: str, account: str) -> tuple[bool, str]:
    """Whether an account's phone rang in a call, and the sentence about it."""
    told = await scene.office.get(f"/v1/calls/{urllib.parse.quote(call_id, safe='')}/why/{account}")
    return told["rang"], told["sentence"]


async def why_by_command(scene: Scene, call_id: str, account: str) -> str:
    """The sentence that `entryphone why` prints."""
    config = {"ENTRYPHONE_CONFIG": str(scene.stack.settings.etc / "crm.json")}
    asked = await asyncio.create_subprocess_exec(
        *(_COMMAND, "why", call_id, account), stdout=asyncio.subprocess.PIPE, env={**os.environ, **config}
    )
    told, _ = await asked.communicate()
    assert asked.returncode == 0
    return told.decode().rstrip("\n")
