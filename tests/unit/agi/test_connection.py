"""One connection: how old a request is, as the kernel tells it; what is told of digits that may have been sent."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from agi_apps.applications import access_code, unlock
from agi_apps.connection import Connections, waited_s
from agi_apps.crm_client import CodeVerdict
from agi_apps.deadlines import Deadlines
from agi_apps.prefork import listen
from agi_apps.ring_plan import Door
from tests.unit.agi.fake_asterisk import FakeAsterisk
from tests.unit.agi.stand_ins import Crm, Events, Plans, ring_plan, services

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agi_apps.plan_lookup import FoundPlan

Pair = tuple[socket.socket, socket.socket]
_LINES = [f"agi_arg_{number}: ".ljust(60, "x").encode() + b"\n" for number in range(40)]


@pytest.fixture(name="link")
def _link() -> Iterator[Pair]:
    """A connection that Asterisk has made, and the listener at which it waits."""
    (listener,) = listen(("127.0.0.1", 0), 1)
    with listener, socket.create_connection(listener.getsockname()) as asterisk:
        yield asterisk, listener


def read_after(link: Pair, seconds: float) -> float:
    asterisk, listener = link
    for line in _LINES:  # as Asterisk writes its environment
        asterisk.sendall(line)
    time.sleep(seconds)
    peer, _ = listener.accept()
    with peer:
        assert peer.recv(4_096) == b"".join(_LINES)
        return waited_s(peer)


def test_what_is_read_at_once_is_new(link: Pair) -> None:
    assert read_after(link, 0.1) < 0.5


def test_what_has_waited_to_be_accepted_is_as_old_as_its_last_byte(link: Pair) -> None:
    assert 0.9 < read_after(link, 1.0) < 1.5


class CodeCrm(Crm):
    """Grants every code."""

    def enter_code(self, _call_id: str, _panel: str, _code: str) -> CodeVerdict:
        return CodeVerdict("granted", door=Door(3, "dtmf", "77"), access_record_id=18)


PRESSED = FakeAsterisk.environment("unlock", "call-1", "p10001", "12", "h10012a", "%23", "")
TYPED = FakeAsterisk.environment("access_code", "call-1", "p10001", "access_code", "40719")
ACCEPTED, GONE = b"200 result=0\n", b"HANGUP\n200 result=0\n"


def serve(link: Pair, plans: Plans, events: Events, deadlines: Deadlines) -> threading.Thread:
    """Have the connection served beside this test."""
    applications = {"unlock": unlock.APPLICATION, "access_code": access_code.APPLICATION}
    if isinstance(plans, SlowPlans):
        applications["unlock"] = replace(unlock.APPLICATION, deadline_s=0.0)
    connections = Connections(applications, services(plans, CodeCrm(), events), lambda: b"", deadlines)
    peer, _ = link[1].accept()
    thread = threading.Thread(target=connections.serve, args=(peer,))
    thread.start()
    return thread


class SlowPlans(Plans):
    """Finds the plan when the deadline has passed."""

    def __init__(self, deadlines: Deadlines) -> None:
        super().__init__(ring_plan())
        self._deadlines = deadlines

    def find(self, panel: str, dialled: str) -> FoundPlan:
        time.sleep(0.01)
        self._deadlines.enforce()
        return super().find(panel, dialled)


@pytest.mark.parametrize("request_", [PRESSED, TYPED])
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (ACCEPTED, ("sent", "")),
        (GONE, ("failed", "the call was over")),  # MSet runs on a dead channel, too
        (b"511 Command Not Permitted on a dead channel\n", ("failed", "the call was over")),
        (b"", ("failed", "the call was over")),
    ],
)
def test_digits_are_told_as_sent_when_asterisk_has_them_for_a_living_call(
    link: Pair, request_: bytes, answer: bytes, told: tuple[str, str]
) -> None:
    asterisk, events = link[0], Events()
    asterisk.sendall(request_)
    thread = serve(link, Plans(ring_plan()), events, Deadlines())
    assert b"EP_DOOR_DTMF" in asterisk.recv(4_096)
    assert not events.kept
    if answer:
        asterisk.sendall(answer)
    asterisk.shutdown(socket.SHUT_WR)
    thread.join(5)
    assert [(event["result"], event["reason"]) for event in events.kept] == [told]


def test_digits_of_an_answer_that_came_too_late_are_not_told_as_sent(link: Pair) -> None:
    asterisk, events, deadlines = link[0], Events(), Deadlines()
    asterisk.sendall(PRESSED)
    thread = serve(link, SlowPlans(deadlines), events, deadlines)
    assert b"failed" in asterisk.recv(4_096)
    asterisk.sendall(ACCEPTED)
    thread.join(5)
    assert [(event["result"], event["reason"]) for event in events.kept] == [("failed", "the answer came too late")]
