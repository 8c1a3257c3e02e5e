"""A test call that nobody answers is taken back: a number that is nobody calls any more does not ring on."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from crm_api.adapters import sip_probe
from crm_api.adapters.sip_probe import ProbeCall, SipProbe

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTACT = "sip:112@127.0.0.1:5999"


class Centre:
    """Says to each method what it is told to, and keeps what it has got; a retransmission is told the same again.

    Time passes only while nothing comes from it: how busy the machine is plays no part.
    """

    def __init__(self, says: Mapping[str, tuple[str, ...]]) -> None:
        self._says = says
        self.got: list[str] = []
        self.sent, self._answers, self._now_s = 0, 0, 0.0
        self._invite = ""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(60)
        self.address: tuple[str, int] = self._socket.getsockname()

    def take(self) -> None:
        """Take everything that was sent."""
        while len(self.got) < self.sent:
            data, peer = self._socket.recvfrom(65_535)
            request = data.decode()
            method = request.partition(" ")[0]
            self.got.append(request)
            self._invite = request if method == "INVITE" else self._invite
            for said in self._says.get(method, ()):
                of, status = said.split(" ", 1)
                self._socket.sendto(answer(self._invite if of == "INVITE" else request, status).encode(), peer)
                self._answers += 1

    def select(self, reading: list[Any], _writing: list[Any], _odd: list[Any], longest_s: float) -> Any:
        """As `select.select`."""
        self.take()
        if not self._answers:
            self._now_s += longest_s
            return [], [], []
        self._answers -= 1
        return select.select(reading, [], [], 60)

    def monotonic(self) -> float:
        """As `time.monotonic`."""
        return self._now_s

    def methods(self) -> list[str]:
        return [request.partition(" ")[0] for request in self.got]

    def all(self, method: str) -> list[dict[str, str]]:
        return [headers(request) for request in self.got if request.startswith(f"{method} ")]

    def close(self) -> None:
        self.take()
        self._socket.close()


def headers(message: str) -> dict[str, str]:
    lines = message.partition("\r\n\r\n")[0].split("\r\n")
    return {"": lines[0]} | {name: value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}


def answer(request: str, status: str) -> str:
    told = headers(request)
    lines = [f"{name}: {told[name]}" for name in ("Via", "From", "Call-ID", "CSeq")]
    return "\r\n".join(
        [
            f"SIP/2.0 {status}",
            *lines,
            f"To: {told['To']};tag=centre",
            f"Contact: <{CONTACT}>",
            "Content-Length: 0",
            "",
            "",
        ]
    )


Call = Callable[[dict[str, tuple[str, ...]]], tuple[Centre, list[str]]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Call:
    """Call a centre that says this; what it has got, and the steps that were told."""

    def made(says: dict[str, tuple[str, ...]]) -> tuple[Centre, list[str]]:
        centre, steps, send = Centre(says), list[str](), SipProbe._send

        def sent(probe: SipProbe, text: str) -> None:
            send(probe, text)
            centre.sent += 1

        monkeypatch.setattr(SipProbe, "_send", sent)
        monkeypatch.setattr(sip_probe, "select", SimpleNamespace(select=centre.select))
        monkeypatch.setattr(sip_probe, "time", SimpleNamespace(monotonic=centre.monotonic))
        probe = ProbeCall(centre.address, "door.example", "p1", "0" * 32, "*112*", "test-1", 0.1)
        assert SipProbe(probe, lambda step, _: steps.append(step)).run() == "failed"
        centre.close()
        return centre, steps

    return made


def test_a_call_that_rings_without_an_answer_is_taken_back(call: Call) -> None:
    centre, steps = call(
        {"INVITE": ("INVITE 180 Ringing",), "CANCEL": ("CANCEL 200 OK", "INVITE 487 Request Terminated")}
    )
    assert centre.methods() == ["INVITE", "CANCEL", "ACK"]
    invite, cancel, ack = (headers(request) for request in centre.got)
    for name in ("Via", "From", "To", "Call-ID"):
        assert cancel[name] == invite[name], name
    assert cancel[""] == "CANCEL sip:*112*@door.example SIP/2.0"
    assert (cancel["CSeq"], ack["CSeq"]) == ("1 CANCEL", "1 ACK")
    assert (ack["Via"], ack["To"]) == (invite["Via"], f"{invite['To']};tag=centre")
    assert steps == ["progress", "no_answer"]


def test_an_answer_that_crosses_the_taking_back_is_hung_up(call: Call) -> None:
    centre, steps = call({"INVITE": ("INVITE 180 Ringing",), "CANCEL": ("CANCEL 200 OK", "INVITE 200 OK")})
    assert centre.methods() == ["INVITE", "CANCEL", "ACK", "BYE"]
    assert centre.all("ACK")[0][""] == f"ACK {CONTACT} SIP/2.0"
    assert centre.all("BYE")[0]["To"].endswith(";tag=centre")
    assert steps == ["progress", "no_answer"]


def test_a_taking_back_that_is_lost_is_said_again(call: Call) -> None:
    centre, _ = call({"INVITE": ("INVITE 100 Trying",)})
    assert len(centre.all("CANCEL")) > 1


def test_who_has_not_said_a_word_is_told_nothing_more(call: Call) -> None:
    centre, steps = call({})
    assert set(centre.methods()) == {"INVITE"}
    assert steps == ["no_answer"]
