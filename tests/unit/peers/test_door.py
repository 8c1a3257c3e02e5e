from __future__ import annotations

import asyncio
import urllib.error
import urllib.request

import pytest

from lab.peers.door import Door
from lab.peers.relay import Fault, HttpRelay

_COMMAND = "/cgi-bin/intercom_cgi?action=maindoor"


def test_only_the_code_opens_and_only_in_one_call() -> None:
    door = Door("42")
    for key in "4142":
        door.hear(key)
    assert [opening.cause for opening in door.openings] == ["dtmf"]
    assert door.is_open
    door.hear("4")
    door.begin_call()
    door.hear("2")
    assert len(door.openings) == 1


def test_a_door_without_a_code_hears_nothing() -> None:
    door = Door("")
    door.hear("1")
    assert door.openings == []


def _command(login: str, path: str = _COMMAND, fault: Fault = "none") -> tuple[int, Door]:
    door = Door("1")
    patience_s = 0.5 if fault == "hangs" else 60.0

    def ask(site: str) -> int:
        passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        user, _, password = login.partition(":")
        passwords.add_password(None, f"{site}/", user, password)
        opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(passwords))
        try:
            with opener.open(f"{site}{path}", timeout=patience_s) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        except TimeoutError:
            return 0

    async def run() -> int:
        relay = await HttpRelay.start(door, "127.0.0.1", "admin", "secret", port=0, fault=fault)
        try:
            return await asyncio.to_thread(ask, f"http://127.0.0.1:{relay.port}")
        finally:
            await relay.stop()

    return asyncio.run(run()), door


def test_the_command_opens() -> None:
    status, door = _command("admin:secret")
    assert status == 200
    assert [opening.cause for opening in door.openings] == ["http"]


@pytest.mark.parametrize(
    ("login", "path", "fault", "status"),
    [
        ("admin:wrong", _COMMAND, "none", 401),
        ("admin:secret", "/cgi-bin/intercom_cgi?action=other", "none", 404),
        ("admin:secret", _COMMAND, "refuses", 500),
        ("admin:secret", _COMMAND, "hangs", 0),
    ],
)
def test_anything_else_does_not(login: str, path: str, fault: Fault, status: int) -> None:
    found, door = _command(login, path, fault)
    assert found == status
    assert door.openings == []
