"""`python -m agi_apps.sound_shipper`: sends what an Asterisk node has recorded to the CRM; runs beside each node.

Asterisk writes two files into the spool: `<kind>.<id>.call`, one line `EP_CALL,epoch ms`, then `<kind>.<id>.ulaw`, the
sound. A sound is whole when nobody has it open for writing any more, which a read lease of the kernel tells. What the
CRM does not take now is sent again later; what it will never take is put aside with the suffix `.refused` for a week.

Heartbeat: the file `.alive` in the spool is touched whenever it gets on, every 15 s at least.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import logging
import os
import signal
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote, urlencode

import urllib3

from agi_apps.audible import is_audible
from agi_apps.config import AgiConfig, InvalidConfig, load_config

_log = logging.getLogger(__name__)

TICK_S: Final = 0.5
RETRY_S: Final = 5.0
PUT_ASIDE_S: Final = 7 * 86_400.0
"""How long what was put aside stays: somebody may look why, and then a visitor's voice is nobody's any more."""
TIDY_EVERY_S: Final = 3600.0
ALIVE: Final = ".alive"
_KINDS: Final = frozenset({"message", "recording"})
_RATE_HZ: Final = 8_000
_MU_LAW: Final = 7
_WORDS: Final = 4
_CREATED, _CLIENT_ERROR, _SERVER_ERROR = 201, 400, 500
_TRY_AGAIN: Final = frozenset({401, 403, 408, 429})


class Recorded(NamedTuple):
    """One sound in the spool and what call it is of."""

    sound: Path
    kind: str
    call_id: str
    panel: str
    dialled: str
    at_ms: int


class NotOursError(Exception):
    """A file in the spool that does not say what it is of."""


def wav_of(mu_law: bytes) -> bytes:
    """A WAV file of µ-law sound, 8 kHz, one channel (RIFF MCI, `WAVE_FORMAT_MULAW`)."""
    padded = mu_law + b"\xff" * (len(mu_law) % 2)
    fmt = struct.pack("<HHIIHHH", _MU_LAW, 1, _RATE_HZ, _RATE_HZ, 1, 8, 0)
    chunks = (
        struct.pack("<4sI", b"fmt ", len(fmt)) + fmt
        + struct.pack("<4sII", b"fact", 4, len(mu_law))
        + struct.pack("<4sI", b"data", len(mu_law)) + padded
    )  # fmt: skip
    return struct.pack("<4sI4s", b"RIFF", 4 + len(chunks), b"WAVE") + chunks


def is_being_written(path: Path) -> bool:
    """Whether somebody has the file open for writing: then the kernel grants no read lease (fcntl(2), F_SETLEASE)."""
    with path.open("rb") as file:
        try:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except BlockingIOError:
            return True
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def recorded(sound: Path) -> Recorded:
    """What a sound is of.

    Raises:
        NotOursError: the file beside it is missing, or says something else.
    """
    kind = sound.name.partition(".")[0]
    try:
        words = sound.with_suffix(".call").read_text(encoding="ascii").strip().split(",")
    except (OSError, UnicodeDecodeError) as error:
        raise NotOursError(f"{sound.name}: {error}") from error
    if kind not in _KINDS or len(words) != _WORDS or not words[3].isdigit():
        raise NotOursError(f"{sound.name}: it takes kind, Call-ID, panel, number and epoch ms, not {kind}: {words}")
    call_id, panel, dialled = map(unquote, words[:3])
    return Recorded(sound, kind, call_id, panel, dialled, int(words[3]))


def _age_s(path: Path) -> float:
    return time.time() - path.stat().st_mtime


class Shipper:
    """Sends what the spool of one node holds."""

    def __init__(self, spool: Path, crm_url: str, token: str, alive: Path | None = None) -> None:
        self._spool, self._alive = spool, alive
        self._url = f"{crm_url.rstrip('/')}/v1/recorded-sounds"
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "audio/wav"}
        self._pool = urllib3.PoolManager(headers=headers, timeout=urllib3.Timeout(10), retries=False)

    def ship(self) -> bool:
        """Send every sound that is whole; False when the CRM did not take one and should be tried again later."""
        self._beat()
        for sound in sorted(self._spool.glob("*.ulaw")):
            if is_being_written(sound):
                continue
            try:
                if not self._send(recorded(sound)):
                    return False
            except NotOursError as error:
                _log.error("put aside: %s", error)
                self._put_aside(sound)
            self._beat()
        return True

    def _beat(self) -> None:
        if self._alive is not None:
            with contextlib.suppress(OSError):  # no room for it on the disk: nobody knows then, and sounds are sent
                self._alive.touch(mode=0o644)

    def _send(self, found: Recorded) -> bool:
        mu_law = found.sound.read_bytes()
        if not mu_law or (found.kind == "message" and not is_audible(mu_law)):
            # The visitor hung up at the tone, or walked away: nobody is told of a message in which nobody speaks.
            _log.info("[%s] %s of %d bytes in which nobody speaks is not kept", found.call_id, found.kind, len(mu_law))
            self._remove(found.sound)
            return True
        what = {"kind": found.kind, "call_id": found.call_id, "panel": found.panel, "dialled": found.dialled}
        query = urlencode({**what, "at_ms": found.at_ms})
        try:
            response = self._pool.request("POST", f"{self._url}?{query}", body=wav_of(mu_law))
        except (urllib3.exceptions.HTTPError, OSError) as error:
            _log.warning("[%s] %s waits: the CRM does not answer (%s)", found.call_id, found.kind, error)
            return False
        if response.status == _CREATED:
            self._remove(found.sound)
            return True
        told = response.data[:200].decode("utf-8", "replace")
        if _CLIENT_ERROR <= response.status < _SERVER_ERROR and response.status not in _TRY_AGAIN:
            _log.error("[%s] %s put aside: the CRM says %s %s", found.call_id, found.kind, response.status, told)
            self._put_aside(found.sound)
            return True
        _log.warning("[%s] %s waits: the CRM says %s %s", found.call_id, found.kind, response.status, told)
        return False

    @staticmethod
    def _remove(sound: Path) -> None:
        sound.unlink()
        sound.with_suffix(".call").unlink(missing_ok=True)

    def tidy(self) -> int:
        """Remove what was put aside a week ago, and a `.call` whose sound never came; return how many."""
        gone = 0
        for aside in self._spool.glob("*.refused"):
            if _age_s(aside) >= PUT_ASIDE_S:
                aside.unlink()
                aside.with_suffix(".call").unlink(missing_ok=True)
                gone += 1
        for line in self._spool.glob("*.call"):
            waits = any(line.with_suffix(suffix).exists() for suffix in (".ulaw", ".refused"))
            if not waits and _age_s(line) >= PUT_ASIDE_S:
                line.unlink()
                gone += 1
        if gone:
            _log.info("%d put aside a week ago are removed", gone)
        return gone

    @staticmethod
    def _put_aside(sound: Path) -> None:
        aside = sound.rename(sound.with_suffix(".refused"))
        os.utime(aside)  # its week begins now, however long it has waited for the CRM


def main() -> int:
    """Ship until SIGTERM; the exit code."""
    parser = argparse.ArgumentParser(prog="agi_apps.sound_shipper", description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("/etc/entryphone/agi.json"))
    parser.add_argument("--spool", type=Path, default=Path("/var/lib/entryphone/sounds"))
    asked = parser.parse_args()
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(process)d %(name)s %(message)s"
    )
    try:
        config: AgiConfig = load_config(asked.config)
    except InvalidConfig as error:
        _log.critical("cannot start: %s", error)
        return 2
    if not asked.spool.is_dir() or not os.access(asked.spool, os.W_OK):
        _log.critical("cannot start: --spool %s is no directory that may be written to", asked.spool)
        return 2
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    shipper = Shipper(asked.spool, config.crm_url, config.crm_token, asked.spool / ALIVE)
    wait_s, tidied_s = TICK_S, -TIDY_EVERY_S
    while not stopped.wait(wait_s):
        if time.monotonic() - tidied_s >= TIDY_EVERY_S:
            tidied_s = time.monotonic()
            shipper.tidy()
        wait_s = TICK_S if shipper.ship() else RETRY_S
    return 0


if __name__ == "__main__":
    sys.exit(main())
