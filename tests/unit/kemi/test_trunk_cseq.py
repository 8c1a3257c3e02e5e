"""Numbers of a leg's INVITEs to carriers: they grow with each try, and Asterisk sees none of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kemi_routes import dialogs, headers, settings, trunk_calls, trunks
from kemi_routes.pipeline import DONE
from tests.unit.kemi.test_trunks import HEADER, A, B, fail

if TYPE_CHECKING:
    from collections.abc import Callable

    from kemi_routes.pipeline import Request
    from tests.unit.kemi.fake_ksr import FakeKsr

    Make = Callable[[FakeKsr], Request]


@pytest.fixture
def leg(fake: FakeKsr) -> FakeKsr:
    fake.trunk_rows = [(*A[:3], "we", "realm-a", "0" * 32, *A[6:]), B]
    trunks.TrunkKeeper().tick(fake.ksr)
    fake.message.source_ip = "127.0.0.21"
    fake.message.ruri = "sip:f12@127.0.0.10"
    return fake


def ring(fake: FakeKsr, request_of: Make, cseq: int) -> None:
    fake.message.cseq = str(cseq)
    fake.message.headers = [(headers.TRUNK, HEADER), ("CSeq", f"{cseq} INVITE")]
    trunk_calls.ring_phone(fake.ksr, request_of(fake))


def sent(fake: FakeKsr, request_of: Make) -> int:
    """The number of the INVITE that has just been relayed; as in Kamailio, the request itself stays as it was."""
    before = list(fake.message.headers)
    trunk_calls.on_branch(fake.ksr, request_of(fake).settings)
    (line,) = (value for name, value in fake.message.headers if name == "CSeq")
    fake.message.headers[:] = before
    return int(line.removesuffix(" INVITE"))


def tries(fake: FakeKsr, request_of: Make, cseq: int) -> list[int]:
    """A challenge, another refusal, the next trunk, its challenge."""
    ring(fake, request_of, cseq)
    numbers = [sent(fake, request_of)]
    for status in (407, 503, 401):
        fail(fake, status)
        numbers.append(sent(fake, request_of))
    assert len(fake.relayed) == len(numbers)
    return numbers


def test_numbers_grow_and_stay_below_what_asterisk_says_next(leg: FakeKsr, request_of: Make) -> None:
    assert tries(leg, request_of, 4711) == [4631, 4632, 4633, 4634]


@pytest.mark.parametrize(("cseq", "expected"), [(0, [0] * 4), (1, [1] * 4), (3, [1, 2, 3, 3]), (80, [1, 2, 3, 4])])
def test_a_low_number_leaves_less_room(leg: FakeKsr, request_of: Make, cseq: int, expected: list[int]) -> None:
    assert tries(leg, request_of, cseq) == expected


def reply(fake: FakeKsr, status: int, number: int) -> list[str]:
    fake.message.status, fake.message.cseq = status, str(number)
    fake.message.headers = [("CSeq", f"{number} INVITE")]
    trunk_calls.on_reply(fake.ksr, settings.read(fake.ksr))
    return [value for name, value in fake.message.headers if name == "CSeq"]


def acknowledge(fake: FakeKsr, request_of: Make, number: int, call_id: str = "call-1") -> list[str]:
    message = fake.message
    message.method, message.status, message.to_tag, message.cseq, message.call_id = "ACK", 0, True, str(number), call_id
    message.source_ip = "127.0.0.21"
    message.headers = [("CSeq", f"{number} ACK")]
    assert dialogs.pass_ack(fake.ksr, request_of(fake)) is DONE
    return [value for name, value in message.headers if name == "CSeq"]


@pytest.mark.parametrize("status", [180, 183, 200, 486])
def test_asterisk_is_answered_by_its_own_number(leg: FakeKsr, request_of: Make, status: int) -> None:
    ring(leg, request_of, 4711)
    assert reply(leg, status, 4631) == ["4711 INVITE"]


def test_the_ack_has_the_number_of_the_invite_that_was_answered(leg: FakeKsr, request_of: Make) -> None:
    ring(leg, request_of, 4711)
    fail(leg, 407)
    fail(leg, 503)
    reply(leg, 200, 4632)  # the first trunk after all
    for _ in range(2):
        assert acknowledge(leg, request_of, 4711) == ["4632 ACK"]
    assert acknowledge(leg, request_of, 4712) == ["4712 ACK"], "of a later INVITE of Asterisk"
    assert acknowledge(leg, request_of, 4711, "another") == ["4711 ACK"]


def test_an_ack_is_left_alone_where_nobody_answered(leg: FakeKsr, request_of: Make) -> None:
    ring(leg, request_of, 4711)
    reply(leg, 183, 4631)
    assert acknowledge(leg, request_of, 4711) == ["4711 ACK"]
