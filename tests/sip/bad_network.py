"""A network that loses messages or brings them twice: nftables, in the tests' own network namespace."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tests.sip.carriers import FIRST
from tests.sip.emergency_scene import CITY_LINE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from lab.peers.town import Panel, Resident
    from tests.sip.scene import Scene

Fault = Literal["lost", "doubled"]
FAULTS: tuple[Fault, ...] = ("lost", "doubled")
Place = Literal["panel", "phones", "proxy", "node", "line", "carrier"]
Case = tuple[str, Place, Place]
"""How a message begins, where it is sent, and where it arrives."""
_VERDICTS: dict[Fault, str] = {"lost": "drop", "doubled": 'dup to ip daddr device "lo"'}
_TABLE = "ip bad_network"
_START_BIT = 64
"""Where a datagram's text begins, counted from the UDP header."""


@dataclass(frozen=True)
class Datagram:
    """The first datagram from one of these addresses to one of those whose text begins like this.

    Attributes:
        starts: first characters of the SIP message, 16 at most.
        sources: sending addresses.
        targets: receiving addresses.
    """

    starts: str
    sources: Sequence[str]
    targets: Sequence[str]

    def rule(self, fault: Fault) -> str:
        """The rule of nftables. `limit` is its way to say "the first": none is given back within the day."""
        text = self.starts.encode()
        return (
            f"ip saddr {{ {', '.join(self.sources)} }} ip daddr {{ {', '.join(self.targets)} }} meta l4proto udp "
            f"@th,{_START_BIT},{len(text) * 8} 0x{text.hex()} "
            f"limit rate 1/day burst 1 packets counter {_VERDICTS[fault]}"
        )


def name_of(case: Case) -> str:
    """A case as the name of its test."""
    starts, source, target = case
    return f"{starts.removeprefix('SIP/2.0 ')} {source} to {target}".replace(" ", "-")


def sent(scene: Scene, case: Case, at: Panel, residents: Sequence[Resident] = ()) -> Datagram:
    """The message of a case, of a call at this panel to these residents."""
    settings = scene.stack.settings
    addresses: dict[Place, list[str]] = {
        "panel": [at.address],
        "phones": [resident.address for resident in residents],
        "proxy": [settings.sip_address],
        "node": [*settings.asterisk_nodes.values(), settings.emergency_node[1]],
        "line": [CITY_LINE],
        "carrier": [FIRST],
    }
    starts, source, target = case
    return Datagram(starts, addresses[source], addresses[target])


@asynccontextmanager
async def befalling(scene: Scene, fault: Fault, datagram: Datagram) -> AsyncIterator[None]:
    """Inside the block this happens to the datagram.

    Raises:
        AssertionError: at the end, when it is not sent within five seconds: the story is about something else.
    """
    root = scene.stack.settings.root
    rule = datagram.rule(fault)
    await asyncio.to_thread(
        _nft, root, f"table {_TABLE} {{ chain arriving {{ type filter hook input priority 0; {rule}; }}; }}"
    )
    try:
        yield
        deadline_s = time.monotonic() + 5
        while not await asyncio.to_thread(_has_befallen, root):
            assert time.monotonic() < deadline_s, f"{datagram} was not sent"
            await asyncio.sleep(0.02)  # the kernel tells nobody
    finally:
        await asyncio.to_thread(_nft, root, f"delete table {_TABLE}")


async def cut_off(scene: Scene, address: str, protocol: str = "") -> None:
    """Until the story is over, nothing arrives that is sent to or from this address, and nobody says so."""
    root = scene.stack.settings.root
    of = f"meta l4proto {protocol}" if protocol else ""
    rules = f"ip daddr {address} {of} drop; ip saddr {address} {of} drop"
    table = f"{_TABLE}_cut_off"
    await asyncio.to_thread(
        _nft, root, f"table {table} {{ chain arriving {{ type filter hook input priority 0; {rules}; }}; }}"
    )

    async def restore() -> None:
        await asyncio.to_thread(_nft, root, f"delete table {table}")

    scene.when_over(restore)


def _has_befallen(root: Path) -> bool:
    told = json.loads(_nft(root, f"list table {_TABLE}", "--json"))
    rules = [entry["rule"]["expr"] for entry in told["nftables"] if "rule" in entry]
    return any(part["counter"]["packets"] > 0 for rule in rules for part in rule if "counter" in part)


def _nft(root: Path, commands: str, *options: str) -> str:
    command = ["chroot", str(root), "/usr/sbin/nft", *options, "--file", "-"]
    return subprocess.run(command, input=commands, check=True, capture_output=True, text=True).stdout
