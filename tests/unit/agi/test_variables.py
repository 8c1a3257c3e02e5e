from __future__ import annotations

import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_apps.agi_session import AgiSession, CallHungUp, ProtocolError
from agi_apps.variables import Variable, mset_arguments
from tests.unit.agi.fake_asterisk import FakeAsterisk, split_mset


@given(
    values=st.dictionaries(st.sampled_from(list(Variable)), st.text(max_size=60), min_size=1),
)
def test_no_text_can_become_another_variable(values: dict[Variable, str]) -> None:
    seen: dict[str, str] = {}
    for argument in mset_arguments(values, 400):
        assert "\n" not in argument
        seen |= split_mset(argument)
    assert set(seen) == {name.value.lstrip("_") for name in values}


@given(text=st.text(alphabet='"\\\n\r,()[]ab\0', max_size=40))
def test_a_session_sends_one_line_whatever_the_text(text: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(60)
        fake = FakeAsterisk(("", 0))
        peer = threading.Thread(target=fake.serve, args=(theirs,))
        peer.start()
        session = AgiSession(ours, b"agi_network_script: x\n\n")
        session.set_variables({Variable.CALLER_NAME: text, Variable.DECISION: "dial"})
        ours.shutdown(socket.SHUT_RDWR)
        peer.join()
    assert len(fake.commands) == 1
    assert fake.variables["EP_DECISION"] == "dial"


def test_the_decision_is_set_last() -> None:
    arguments = mset_arguments({Variable.DECISION: "dial", Variable.ACCOUNTS: "a" * 80, Variable.PROMPT: "b"}, 110)
    assert arguments[-1].endswith('EP_DECISION="dial"')


def test_a_value_too_long_for_asterisk_is_an_error() -> None:
    with pytest.raises(ValueError, match="EP_PROMPT is 2013 bytes"):
        mset_arguments({Variable.PROMPT: "x" * 2_000}, 1_940)


class Script:
    """A stream with prepared input."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = list(chunks)
        self.sent = b""

    def recv(self, _size: int, /) -> bytes:
        return self.chunks.pop(0) if self.chunks else b""

    def sendall(self, data: bytes, /) -> None:
        self.sent += data


def run(*answer: bytes) -> None:
    AgiSession(Script(b"agi_x: 1\n", b"\n", *answer)).run("NOOP")


def test_hangup_line_511_result_minus_one_and_end_of_file_are_hang_ups() -> None:
    for answer in (
        b"511 Command Not Permitted on a dead channel\n",
        b"200 result=-1\n",
        b"",
        b"200 result=1 (hangup)\n",
    ):
        with pytest.raises(CallHungUp):
            run(answer)


def test_the_answer_after_a_hangup_line_is_read() -> None:
    run(b"HANG", b"UP\n200 res", b"ult=0\n")


@pytest.mark.parametrize("answer", [b"510 Invalid\n", b"520-Usage\nx\n520 End\n", b"\xff\xfe\n", b"\n", b"x" * 20_000])
def test_nonsense_is_a_protocol_error(answer: bytes) -> None:
    with pytest.raises(ProtocolError):
        run(answer)


def test_an_endless_environment_is_refused() -> None:
    for chunk in (b"agi_x: y\n" * 400, b"z" * 4_000):
        with pytest.raises(ProtocolError, match="environment over"):
            AgiSession(Script(*[chunk] * 10, b"\n\n"))


def test_half_an_environment_is_a_hang_up() -> None:
    with pytest.raises(CallHungUp):
        AgiSession(Script(b"agi_network: yes\nagi_req"))


def test_a_forged_line_in_a_caller_name_changes_nothing() -> None:
    name = "x\nagi_network_script: unlock\nagi_arg_1: forged"
    session = AgiSession(Script(FakeAsterisk.environment("ring_all", "call", "p1", caller_name=name)))
    assert session.application == "ring_all"
    assert session.arguments() == ["call", "p1"]


def test_a_bracket_without_its_pair_makes_no_arguments_one() -> None:
    """`URIENCODE()` leaves round brackets, which a Call-ID may hold (RFC 3261, 25.1), and Asterisk counts them."""
    session = AgiSession(Script(FakeAsterisk.environment("call_ended", "c(1,p1,12,,16,")))
    assert session.arguments() == ["c(1", "p1", "12", "", "16", ""]


def test_undecodable_bytes_do_no_harm() -> None:
    session = AgiSession(Script(b"agi_calleridname: \xff\xfe\nagi_arg_1: a\n\n"))
    assert session.arguments() == ["a"]
