"""Which prompt a caller hears: the sound that a node reads at this moment, and how long it is.

Length alone does not tell languages apart: "nobody is at home" is 88 packets long in English and in Chinese.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.sip.emergency_scene import until

if TYPE_CHECKING:
    from lab.peers.rtp import RtpStream
    from tests.sip.scene import Scene

_SOUNDS: Final = Path(__file__).parents[2] / "asterisk" / "sounds"
_GSM_FRAME_BYTES: Final = 33  # 20 ms, as long as a packet
_AT_THE_EDGES: Final = 9
"""Packets of a prompt that may not be heard, as when its last ones are sent the call is over."""


def packets_of(prompt: str) -> int:
    """How many packets of 20 ms a prompt takes, such as `ru/blocked`."""
    return (_SOUNDS / f"{prompt}.gsm").stat().st_size // _GSM_FRAME_BYTES


async def heard_beside(prompt: str, stream: RtpStream, before: int = 0) -> int:
    """Wait until a prompt was heard to its end; how many packets came beside it.

    The end of a call may be read while the last packets wait in their own socket.

    Args:
        prompt: such as `ru/blocked`.
        stream: where it is heard.
        before: packets that had come when it began.

    Raises:
        TimeoutError: a part of it did not come.
    """
    whole = before + packets_of(prompt)
    await stream.wait_for_packets(whole - _AT_THE_EDGES, 3)
    return stream.packets - whole


async def prompt_plays(scene: Scene, prompt: str, timeout_s: float = 10.0) -> None:
    """Wait until a node plays a prompt, such as `ru/blocked`: it has the file open."""
    pids = [pid for node in scene.stack.settings.every_asterisk_node for pid in scene.stack.pids(node)]

    async def playing() -> set[str]:
        return await asyncio.to_thread(_open_sounds, pids)

    await until(playing, lambda sounds: prompt in sounds, timeout_s)


def _open_sounds(pids: list[int]) -> set[str]:
    found = set()
    for pid in pids:
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed in this moment
                path = handle.readlink()
                if path.suffix == ".gsm":
                    found.add(f"{path.parent.name}/{path.stem}")
    return found
