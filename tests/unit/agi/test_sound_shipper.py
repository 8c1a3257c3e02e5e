from __future__ import annotations

import io
import os
import threading
import time
import wave
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from agi_apps.audible import is_audible
from agi_apps.sound_shipper import ALIVE, PUT_ASIDE_S, NotOursError, Shipper, is_being_written, recorded, wav_of
from lab.peers.g711 import tone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


LOUD = b"\x20\xa0" * 400 + b"\x20"


class Crm:
    """An HTTP server that answers with the statuses given, then 201, and remembers what it was sent."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.got: list[tuple[dict[str, str], bytes, str]] = []
        crm = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
                body = self.rfile.read(int(self.headers["Content-Length"]))
                crm.got.append((query, body, self.headers["Authorization"]))
                self.send_response(crm.statuses.pop(0) if crm.statuses else 201)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def crm() -> Iterator[Crm]:
    made = Crm()
    yield made
    made.server.shutdown()
    made.server.server_close()


def spooled(spool: Path, name: str = "message.1.2", sound: bytes = LOUD) -> Path:
    (spool / f"{name}.call").write_text("3f1c%40host%2C1,p10001,12,1790000000000\n")
    path = spool / f"{name}.ulaw"
    path.write_bytes(sound)
    return path


def test_a_sound_is_a_wav_file_that_others_can_read() -> None:
    sound = wav_of(b"\x7f\xff" * 400)
    assert sound[:4] == b"RIFF"
    assert len(sound) == 58 + 800
    with pytest.raises(wave.Error, match="unknown format: 7"):
        wave.open(io.BytesIO(sound))  # noqa: SIM115 - the standard library reads the header, and plays PCM alone


def test_it_beats_with_each_look_and_with_each_sound(tmp_path: Path, crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    alive, spool = tmp_path / ALIVE, tmp_path / "spool"
    spool.mkdir()
    shipper = Shipper(spool, crm.url, "secret", alive)
    shipper.ship()
    os.utime(alive, (1, 1))
    shipper.ship()
    assert alive.stat().st_mtime > time.time() - 60
    ages: list[float] = []

    def told(_: object) -> bool:
        ages.append(alive.stat().st_mtime)
        os.utime(alive, (1, 1))
        return True

    monkeypatch.setattr(shipper, "_send", told)
    for number in range(2):
        spooled(spool, f"message.1.{number}")
    shipper.ship()
    assert all(at_s > time.time() - 60 for at_s in [*ages, alive.stat().st_mtime])
    assert len(ages) == 2


def test_a_heartbeat_that_cannot_be_written_keeps_no_sound_from_being_sent(tmp_path: Path, crm: Crm) -> None:
    spooled(tmp_path)
    assert Shipper(tmp_path, crm.url, "secret", tmp_path / "no such directory" / ALIVE).ship()
    assert len(crm.got) == 1


def test_a_sound_is_sent_with_its_call_and_then_gone(tmp_path: Path, crm: Crm) -> None:
    spooled(tmp_path)
    assert Shipper(tmp_path, crm.url, "secret").ship()
    ((query, body, token),) = crm.got
    assert query == {
        "kind": "message", "call_id": "3f1c@host,1", "panel": "p10001", "dialled": "12", "at_ms": "1790000000000",
    }  # fmt: skip
    assert (body, token) == (wav_of(LOUD), "Bearer secret")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("kind", "is_sent"), [("message", False), ("recording", True)])
def test_a_message_in_which_nobody_speaks_is_none(tmp_path: Path, crm: Crm, kind: str, *, is_sent: bool) -> None:
    spooled(tmp_path, f"{kind}.1.2", b"\x7f\xfe" * 4000 + LOUD[:600])
    assert Shipper(tmp_path, crm.url, "secret").ship()
    assert len(crm.got) == int(is_sent)
    assert list(tmp_path.iterdir()) == []


def test_a_voice_is_audible_and_a_quiet_line_is_not() -> None:
    assert is_audible(b"\xff" * 8000 + tone(440, amplitude=1000)[:800])
    assert not is_audible(tone(440, amplitude=1000)[:400])
    assert not is_audible(tone(440, amplitude=100))
    assert not is_audible(b"")


def test_a_sound_that_is_being_written_waits(tmp_path: Path, crm: Crm) -> None:
    path = spooled(tmp_path)
    with path.open("ab"):
        assert is_being_written(path)
        assert Shipper(tmp_path, crm.url, "secret").ship()
        assert crm.got == []
    assert not is_being_written(path)
    assert Shipper(tmp_path, crm.url, "secret").ship()
    assert len(crm.got) == 1


@pytest.mark.parametrize("status", [500, 503, 401, 429])
def test_what_the_crm_does_not_take_now_is_sent_again(tmp_path: Path, crm: Crm, status: int) -> None:
    spooled(tmp_path)
    crm.statuses = [status]
    shipper = Shipper(tmp_path, crm.url, "secret")
    assert not shipper.ship()
    assert shipper.ship()
    assert len(crm.got) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_crm_that_is_away_loses_nothing(tmp_path: Path) -> None:
    path = spooled(tmp_path)
    assert not Shipper(tmp_path, "http://127.0.0.1:9", "secret").ship()
    assert path.exists()


def test_what_the_crm_will_never_take_is_put_aside_and_the_others_are_sent(tmp_path: Path, crm: Crm) -> None:
    spooled(tmp_path, "message.1.1")
    spooled(tmp_path, "message.1.2")
    crm.statuses = [404]
    assert Shipper(tmp_path, crm.url, "secret").ship()
    assert (tmp_path / "message.1.1.refused").exists()
    assert not (tmp_path / "message.1.2.ulaw").exists()


def test_a_message_of_nothing_is_none(tmp_path: Path, crm: Crm) -> None:
    spooled(tmp_path, sound=b"")
    assert Shipper(tmp_path, crm.url, "secret").ship()
    assert crm.got == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "a,b,c", "a,b,c,d", "a,b,c,1,2", "\xff,b,c,1"])
def test_a_file_that_does_not_say_what_it_is_of_is_put_aside(tmp_path: Path, crm: Crm, text: str) -> None:
    path = spooled(tmp_path)
    path.with_suffix(".call").write_text(text, encoding="latin-1")
    with pytest.raises(NotOursError):
        recorded(path)
    assert Shipper(tmp_path, crm.url, "secret").ship()
    assert path.with_suffix(".refused").exists()
    assert crm.got == []


def aged(path: Path, age_s: float) -> None:
    os.utime(path, (time.time() - age_s, time.time() - age_s))


def test_what_was_put_aside_is_removed_after_a_week(tmp_path: Path, crm: Crm) -> None:
    old = spooled(tmp_path, "message.1.1")
    for path in (old, old.with_suffix(".call")):
        aged(path, 2 * PUT_ASIDE_S)  # it has waited for a CRM that was away
    crm.statuses = [404]
    shipper = Shipper(tmp_path, crm.url, "secret")
    assert shipper.ship()
    assert shipper.tidy() == 0, "its week begins when it is put aside"
    refused = old.with_suffix(".refused")
    aged(refused, PUT_ASIDE_S + 1)
    fresh = spooled(tmp_path, "message.1.2")
    aged(fresh, PUT_ASIDE_S + 1)
    aged(fresh.with_suffix(".call"), PUT_ASIDE_S + 1)
    assert shipper.tidy() == 1
    assert {path.name for path in tmp_path.iterdir()} == {"message.1.2.ulaw", "message.1.2.call"}, "a sound that waits"


def test_a_line_whose_sound_never_came_is_removed_after_a_week(tmp_path: Path) -> None:
    path = spooled(tmp_path)
    path.unlink()
    shipper = Shipper(tmp_path, "http://127.0.0.1:9", "secret")
    assert shipper.tidy() == 0
    aged(path.with_suffix(".call"), PUT_ASIDE_S + 1)
    assert shipper.tidy() == 1
    assert list(tmp_path.iterdir()) == []
