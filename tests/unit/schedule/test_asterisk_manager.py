"""Asterisk's manager interface, against a server that speaks it as Asterisk does."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from scheduler.asterisk_manager import AsteriskAwayError, AsteriskManager

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "s3cret"


class FakeAsterisk:
    """Takes one login, answers every action, and sends an event in between; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, list[str]]] = []
        self.channels = {"probe-1"}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._peers: list[socket.socket] = []
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        self.hang_up()

    def hang_up(self) -> None:
        for peer in self._peers:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
            peer.close()
        self._peers.clear()

    def _run(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self._peers.append(peer)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        peer.sendall(b"Asterisk Call Manager/11.0.0\r\n")
        try:
            file = peer.makefile("rb")
            while True:
                action: dict[str, list[str]] = {}
                while line := file.readline().decode().rstrip("\r\n"):
                    key, _, value = line.partition(": ")
                    action.setdefault(key, []).append(value)
                if not action:
                    return
                self.asked.append(action)
                peer.sendall(b"Event: Noise\r\nActionID: other\r\n\r\n" + self._answer(action))
        except (OSError, ValueError):
            return

    def _answer(self, action: dict[str, list[str]]) -> bytes:
        good, message = True, "ok"
        if action["Action"] == ["Login"]:
            good = action["Secret"] == [SECRET]
        elif action["Action"] == ["Hangup"] and action["Channel"][0] not in self.channels:
            good, message = False, "No such channel"
        response = "Success" if good else "Error"
        more = ""
        if action["Action"] == ["CoreStatus"]:
            more = "CoreStartupDate: 2026-11-23\r\nCoreStartupTime: 04:05:06\r\nCoreCurrentCalls: 0\r\n"
        elif action["Action"] == ["Getvar"]:
            more = f"Variable: {action['Variable'][0]}\r\nValue: of {action['Channel'][0]}\r\n"
        head = f"Response: {response}\r\nActionID: {action['ActionID'][0]}\r\n"
        return f"{head}{more}Message: {message}\r\n\r\n".encode()


@pytest.fixture
def asterisk() -> Iterator[FakeAsterisk]:
    made = FakeAsterisk()
    yield made
    made.close()


@pytest.fixture
def manager(asterisk: FakeAsterisk) -> Iterator[AsteriskManager]:
    made = AsteriskManager("127.0.0.1", asterisk.port, "entryphone", SECRET)
    yield made
    made.close()


def test_a_call_is_originated_with_its_variables(asterisk: FakeAsterisk, manager: AsteriskManager) -> None:
    header = {"PJSIP_HEADER(add,X-Entryphone-Target)": "handset p1 12", "EP_PROBE": "1"}
    manager.originate("probe-1", "PJSIP/kamailio/sip:probe@127.0.0.10:5060", "probe,s", 25, header)
    login, call = asterisk.asked
    assert login["Events"] == ["off"]
    assert (call["Context"], call["Exten"], call["Timeout"], call["Async"]) == (["probe"], ["s"], ["25000"], ["true"])
    assert call["Variable"] == ["PJSIP_HEADER(add,X-Entryphone-Target)=handset p1 12", "EP_PROBE=1"]


def test_no_value_can_become_another_action(asterisk: FakeAsterisk, manager: AsteriskManager) -> None:
    manager.originate("probe-1", "x", "probe,s", 25, {"A": "1\r\n\r\nAction: Command\r\nCommand: core stop now"})
    assert [action["Action"] for action in asterisk.asked] == [["Login"], ["Originate"]]


def test_hanging_up_what_is_over_is_no_error(manager: AsteriskManager) -> None:
    assert manager.hang_up("probe-1")
    assert not manager.hang_up("probe-99")


def test_a_variable_of_a_call_is_told(manager: AsteriskManager) -> None:
    assert manager.variable("probe-1", "EP_GAVE_WAY") == "of probe-1"


def test_when_it_was_started_is_told(manager: AsteriskManager) -> None:
    assert manager.started() == "2026-11-23 04:05:06"


def test_a_lost_connection_is_made_again(asterisk: FakeAsterisk, manager: AsteriskManager) -> None:
    manager.hang_up("probe-1")
    asterisk.hang_up()
    with pytest.raises(AsteriskAwayError):
        manager.hang_up("probe-1")
    manager.hang_up("probe-1")


def test_a_wrong_secret_and_a_node_that_is_away_are_told(asterisk: FakeAsterisk) -> None:
    with pytest.raises(AsteriskAwayError, match="secret"):
        AsteriskManager("127.0.0.1", asterisk.port, "entryphone", "wrong").hang_up("x")
    asterisk.close()
    with pytest.raises(AsteriskAwayError, match=r"127\.0\.0\.1"):
        AsteriskManager("127.0.0.1", 1, "entryphone", SECRET).hang_up("x")
