"""One connection: how old a request is, as the kernel tells it; what is told of digits that may have been sent."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from agi_apps.application import TOO_OLD
from agi_apps.applications import access_code, ring_all, unlock
from agi_apps.connection import TOO_LATE, Connections, waited_s
from agi_apps.crm_client import CodeVerdict, Opening
from agi_apps.deadlines import Deadlines
from agi_apps.partings import Partings
from agi_apps.prefork import listen
from agi_apps.prompts import Prompt
from agi_apps.ring_plan import Door
from tests.unit.agi.fake_asterisk import FakeAsterisk
from tests.unit.agi.stand_ins import Crm, Events, Plans, ring_plan, services

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agi_apps.plan_lookup import FoundPlan

Pair = tuple[socket.socket, socket.socket]
_TICK_S = 0.02
"""The kernel counts in its own ticks: of 10 ms, at most."""
_LINES = [f"agi_arg_{number}: ".ljust(60, "x").encode() + b"\n" for number in range(40)]


@pytest.fixture(name="link")
def _link() -> Iterator[Pair]:
    """A connection that Asterisk has made, and the listener at which it waits."""
    (listener,) = listen(("127.0.0.1", 0), 1)
    with listener, socket.create_connection(listener.getsockname()) as asterisk:
        yield asterisk, listener


def read_after(link: Pair, seconds: float) -> tuple[float, float]:
    """How old what comes is said to be when it is read so much later, and how old it is at most."""
    asterisk, listener = link
    began_s = time.monotonic()
    for line in _LINES:  # as Asterisk writes its environment
        asterisk.sendall(line)
    time.sleep(seconds)
    peer, _ = listener.accept()
    with peer:
        assert peer.recv(4_096) == b"".join(_LINES)
        said_s = waited_s(peer)
        return said_s, time.monotonic() - began_s + _TICK_S


def test_what_is_read_at_once_is_new(link: Pair) -> None:
    said_s, most_s = read_after(link, 0.1)
    assert said_s < most_s


def test_what_has_waited_to_be_accepted_is_as_old_as_its_last_byte(link: Pair) -> None:
    said_s, most_s = read_after(link, 1.0)
    assert 0.9 < said_s < most_s


class CodeCrm(Crm):
    """Grants every code."""

    def enter_code(self, _call_id: str, _panel: str, _code: str) -> CodeVerdict:
        return CodeVerdict("granted", door=Door(3, "dtmf", "77"), access_record_id=18)


PRESSED = FakeAsterisk.environment("unlock", "call-1", "p10001", "12", "h10012a", "%23", "")
TYPED = FakeAsterisk.environment("access_code", "call-1", "p10001", "access_code", "40719")
ACCEPTED, GONE = b"200 result=0\n", b"HANGUP\n200 result=0\n"


def serve(
    link: Pair, plans: Plans, events: Events, deadlines: Deadlines, partings: Partings | None = None
) -> threading.Thread:
    """Have the connection served beside this test."""
    known = (unlock.APPLICATION, access_code.APPLICATION, ring_all.APPLICATION)
    applications = {application.name: application for application in known}
    if isinstance(plans, SlowPlans):
        applications["unlock"] = replace(unlock.APPLICATION, deadline_s=0.0)
    connections = Connections(
        applications, services(plans, CodeCrm(), events), lambda: b"", deadlines, partings or Partings()
    )
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
    thread.join(60)
    assert [(event["result"], event["reason"]) for event in events.kept] == [told]


def test_digits_of_an_answer_that_came_too_late_are_not_told_as_sent(link: Pair) -> None:
    asterisk, events, deadlines = link[0], Events(), Deadlines()
    asterisk.sendall(PRESSED)
    thread = serve(link, SlowPlans(deadlines), events, deadlines)
    assert b"failed" in asterisk.recv(4_096)
    asterisk.sendall(ACCEPTED)
    thread.join(60)
    assert [(event["result"], event["reason"]) for event in events.kept] == [("failed", "the answer came too late")]


class Clock:
    """A clock by which a process may stand still."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stood_still_s = 0.0
        real = time.monotonic
        monkeypatch.setattr("agi_apps.connection.time.monotonic", lambda: real() + self.stood_still_s)


class SlowStart(ThreadPoolExecutor):
    """Ten seconds go by before it begins anything, as in a process that is stopped."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(4)
        self._clock = clock

    def submit(self, *arguments: Any, **named: Any) -> Future[Any]:
        self._clock.stood_still_s += 10
        return super().submit(*arguments, **named)


class OpeningCrm(Crm):
    """Opens whatever door it is asked to open."""

    def __init__(self) -> None:
        super().__init__(Opening("opened"))
        self.entered: list[str] = []

    def enter_code(self, _call_id: str, _panel: str, code: str) -> CodeVerdict:
        self.entered.append(code)
        return CodeVerdict("opened")


@pytest.mark.parametrize("request_", [PRESSED, TYPED])
def test_no_door_is_opened_by_a_worker_that_stands_still_just_before(
    link: Pair, request_: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten seconds later the visitor has left, and somebody else stands there."""
    asterisk, listener = link
    crm, events, clock = OpeningCrm(), Events(), Clock(monkeypatch)
    plans = Plans(ring_plan(door={"door_id": 3, "method": "http", "dtmf": None}))
    applications = {application.name: application for application in (unlock.APPLICATION, access_code.APPLICATION)}
    helped = replace(services(plans, crm, events), beside=SlowStart(clock))
    connections = Connections(applications, helped, lambda: b"", Deadlines(), Partings())
    asterisk.sendall(request_)
    peer, _ = listener.accept()
    thread = threading.Thread(target=connections.serve, args=(peer,))
    thread.start()
    assert Prompt.DOOR_FAILED.value.sound.encode() in asterisk.recv(4_096)
    asterisk.sendall(ACCEPTED)
    thread.join(60)
    peer.close()
    assert (crm.asked, crm.entered) == ([], [])
    assert [(event["result"], event["reason"]) for event in events.kept] == [("failed", TOO_OLD)]


def test_no_digits_are_sent_by_a_worker_that_stood_still_although_its_watchdog_did_too(
    link: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    asterisk, events, clock = link[0], Events(), Clock(monkeypatch)

    class StoppedPlans(Plans):
        def find(self, panel: str, dialled: str) -> FoundPlan:
            clock.stood_still_s += 10
            return super().find(panel, dialled)

    asterisk.sendall(PRESSED)
    thread = serve(link, StoppedPlans(ring_plan()), events, Deadlines())
    assert b"EP_DOOR_DTMF" not in asterisk.recv(4_096)
    asterisk.sendall(ACCEPTED)
    thread.join(60)
    assert [(event["result"], event["reason"]) for event in events.kept] == [("failed", TOO_LATE)]


def test_after_its_last_command_nobody_waits_for_asterisk(link: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    asterisk = link[0]
    asterisk.settimeout(60)
    asterisk.sendall(FakeAsterisk.environment("ring_all", "call-1", "p10001", "12"))
    partings = Partings()
    thread = serve(link, Plans(ring_plan()), Events(), Deadlines(), partings)
    thread.join(60)
    assert asterisk.recv(4_096).startswith(b"EXEC MSet")
    assert asterisk.recv(4_096) == b"", "no command follows, and Asterisk knows before it answers"
    asterisk.sendall(ACCEPTED)
    monkeypatch.setattr("agi_apps.partings.LOOK_AFTER_S", 0.0)
    partings.look()
    assert asterisk.recv(4_096) == b"", "its answer was welcome"


@pytest.mark.parametrize(
    ("said", "refused"),
    [(ACCEPTED, False), (GONE, False), (b"511 Command Not Permitted on a dead channel\n", False), (b"510 ?\n", True)],
)
def test_what_asterisk_has_answered_is_looked_at_later(
    link: Pair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, said: bytes, *, refused: bool
) -> None:
    asterisk, listener = link
    peer, _ = listener.accept()
    partings = Partings()
    partings.add(peer, "call-1")
    partings.look()
    monkeypatch.setattr("agi_apps.partings.LOOK_AFTER_S", 0.0)
    partings.look()
    assert peer.fileno() >= 0, "it is not answered yet"
    asterisk.sendall(said)
    partings.look()
    assert peer.fileno() < 0
    assert bool(caplog.records) is refused


def test_an_asterisk_that_never_answers_is_given_up(link: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    peer, _ = link[1].accept()
    partings = Partings()
    partings.add(peer, "call-1")
    monkeypatch.setattr("agi_apps.partings.LOOK_AFTER_S", 0.0)
    monkeypatch.setattr("agi_apps.partings.GIVEN_UP_AFTER_S", 0.0)
    partings.look()
    assert peer.fileno() < 0
