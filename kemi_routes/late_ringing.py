"""A phone whose first reply meets the answer of another phone: tm misses it, so it is said again a moment later.

When a branch is answered, tm marks all others as cancelled. Those that ring get their CANCEL, one that has said nothing
yet gets it with its first reply (RFC 3261, 9.1). tm does this after it has let go of the transaction's lock
(relay_reply, then cancel_uacs in reply_received, t_reply.c of 6.1). A first 180 that another worker takes up in between
finds no mark and is dropped as too late, or finds the mark half set and leaves the CANCEL to the other worker, which
knows of no 180. That phone would ring until it gives up.

So every ringing of a stage is kept before tm has it and let go when its callback has run while nobody had answered.
What stays is said again, once, by a message to ourselves; tm then sends the CANCEL, or repeats it.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from kemi_routes import foreign_text, headers, table_rows

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.settings import Settings

# `Call-ID of a stage, address and port of a device` -> its provisional reply, in hexadecimal.
_TABLE = "ringing"
_RING = 101
_FINAL = 200


def _key(ksr: Ksr, call_id: str) -> str:
    return f"{call_id} {ksr.kx.get_srcip()} {ksr.kx.get_srcport()}"


def is_ringing(ksr: Ksr) -> bool:
    """Tell whether the reply being handled is a provisional one. Asked of every reply, so it stands alone."""
    return _RING <= ksr.kx.get_status() < _FINAL


def keep(ksr: Ksr, settings: Settings) -> None:
    """Keep the provisional reply of a stage's device, before tm has it. In other calls nobody else answers."""
    if ksr.kx.get_tuser() != headers.STAGE_USER or ksr.kx.get_srcip() == settings.sip_address:
        return
    call_id = ksr.kx.get_callid() or ""
    ksr.htable.sht_sets(_TABLE, _key(ksr, call_id), foreign_text.hexadecimal(ksr, "$mb"))


def let_go(ksr: Ksr, call_id: str) -> None:
    """The reply being handled is known to tm, and nobody has answered yet."""
    ksr.htable.sht_rm(_TABLE, _key(ksr, call_id))


class LateRinging:
    """Says again what has stayed, in a process of its own."""

    def __init__(self, settings: Settings) -> None:
        self._us = (settings.sip_address, settings.sip_port)
        self._socket: socket.socket | None = None
        self._seen: set[str] = set()

    def tick(self, ksr: Ksr) -> None:
        """Say again what was here at the last tick, too: the worker that cancels is through by now."""
        waiting = table_rows.collect(ksr, _TABLE)
        for key in self._seen & waiting.keys():
            ksr.htable.sht_rm(_TABLE, key)
            if self._socket is None:
                self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                # It must come from our own address: by that `keep` knows what was said again.
                self._socket.bind((self._us[0], 0))
            try:
                self._socket.sendto(bytes.fromhex(waiting.pop(key)), self._us)
            except OSError as error:
                ksr.err(f"a phone that rings late may ring on: {error}; call_id={key.partition(' ')[0]}\n")
        self._seen = set(waiting)
