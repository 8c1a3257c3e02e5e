"""A test call that nobody answers is taken back: a number that is nobody calls any more does not ring on."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from crm_api.adapters import sip_probe
from crm_api.adapters.sip_probe import ProbeCall, SipProbe

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTACT = "sip:112@127.0.0.1:5999"


class Centre:
    """Says to each method what it is told to, and keeps what it has got; a retransmission is told the same again."""

    def __init__(self, says: Mapping[str, tuple[str, ...]], ends_with: str) -> None:
        self._says, self._ends_with = says, ends_with
        self.got: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(10)
        self.address: tuple[str, int] = self._socket.getsockname()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        invite = ""
        while not self.got or self.methods()[-1] != self._ends_with:
            try:
                data, peer = self._socket.recvfrom(65_535)
            except OSError:
                return
            if peer == self.address:
                return
            request = data.decode()
            method = request.partition(" ")[0]
            self.got.append(request)
            invite = request if method == "INVITE" else invite
            for said in self._says.get(method, ()):
                of, status = said.split(" ", 1)
                self._socket.sendto(answer(invite if of == "INVITE" else request, status).encode(), peer)

    def methods(self) -> list[str]:
        return [request.partition(" ")[0] for request in self.got]

    def all(self, method: str) -> list[dict[str, str]]:
        return [headers(request) for request in self.got if request.startswith(f"{method} ")]

    def close(self) -> None:
        self._socket.sendto(b"that is all", self.address)
        self._thread.join(10)
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


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sip_probe, "RINGS_S", 0.6)


def call(says: Mapping[str, tuple[str, ...]], ends_with: str = "") -> tuple[Centre, list[str]]:
    centre, steps = Centre(says, ends_with), list[str]()
    probe = ProbeCall(centre.address, "door.example", "p1", "0" * 32, "*112*", "test-1", 0.1)
    assert SipProbe(probe, lambda step, _: steps.append(step)).run() == "failed"
    centre.close()
    return centre, steps


def test_a_call_that_rings_without_an_answer_is_taken_back() -> None:
    centre, steps = call(
        {"INVITE": ("INVITE 180 Ringing",), "CANCEL": ("CANCEL 200 OK", "INVITE 487 Request Terminated")}, "ACK"
    )
    assert centre.methods() == ["INVITE", "CANCEL", "ACK"]
    invite, cancel, ack = (headers(request) for request in centre.got)
    for name in ("Via", "From", "To", "Call-ID"):
        assert cancel[name] == invite[name], name
    assert cancel[""] == "CANCEL sip:*112*@door.example SIP/2.0"
    assert (cancel["CSeq"], ack["CSeq"]) == ("1 CANCEL", "1 ACK")
    assert (ack["Via"], ack["To"]) == (invite["Via"], f"{invite['To']};tag=centre")
    assert steps == ["progress", "no_answer"]


def test_an_answer_that_crosses_the_taking_back_is_hung_up() -> None:
    centre, steps = call({"INVITE": ("INVITE 180 Ringing",), "CANCEL": ("CANCEL 200 OK", "INVITE 200 OK")}, "BYE")
    assert centre.methods() == ["INVITE", "CANCEL", "ACK", "BYE"]
    assert centre.all("ACK")[0][""] == f"ACK {CONTACT} SIP/2.0"
    assert centre.all("BYE")[0]["To"].endswith(";tag=centre")
    assert steps == ["progress", "no_answer"]


def test_a_taking_back_that_is_lost_is_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sip_probe, "CANCELS_S", 0.8)
    centre, _ = call({"INVITE": ("INVITE 100 Trying",)})
    assert len(centre.all("CANCEL")) > 1


def test_who_has_not_said_a_word_is_told_nothing_more() -> None:
    centre, steps = call({})
    assert set(centre.methods()) == {"INVITE"}
    assert steps == ["no_answer"]
