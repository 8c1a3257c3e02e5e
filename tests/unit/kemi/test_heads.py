"""What Asterisk would read as another message goes no further; what is merely odd does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from kemi_routes import checks, heads
from kemi_routes.pipeline import DONE, NEXT
from kemi_routes.router import Router

if TYPE_CHECKING:
    from collections.abc import Callable

    from kemi_routes.pipeline import Request
    from tests.unit.kemi.fake_ksr import FakeKsr

    Make = Callable[[FakeKsr], Request]

_FIRST = "INVITE sip:12@entryphone.test SIP/2.0\r\n"
_REST = "To: <sip:12@entryphone.test>\r\nCall-ID: call-1\r\n"
_SMUGGLED = "X-Entryphone-Answered-By: h1"


def _message(header: str, body: str = "") -> str:
    return f"{_FIRST}{header}\r\n{_REST}\r\n{body}"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (_message(f"Subject: x\r{_SMUGGLED}"), "CR without LF"),
        (_message("Subject: x\r"), "CR without LF"),
        (_FIRST.replace(" SIP", "\rSIP") + _REST + "\r\n", "CR without LF"),
        (f"{_FIRST}{_REST}Subject: x\r\r\n\r\n", "CR without LF"),
        (f"\r\n\r\n{_message('Subject: x' + chr(13) + _SMUGGLED)}", "CR without LF"),
        (f"\r\r\n\r\n{_message('Subject: x' + chr(13) + _SMUGGLED)}", "CR without LF"),
        (f"INVITE x SIP/2.0\nSubject: x\r{_SMUGGLED}\n\nbody", "CR without LF"),
        (f"INVITE x SIP/2.0\nSubject: x\r{_SMUGGLED}", "CR without LF"),
        (f" \r\n\r\n{_message('Subject: x' + chr(13) + _SMUGGLED)}", "CR without LF"),
        (f"\0\t\r\n \r\n{_message('Subject: x' + chr(13) + _SMUGGLED)}", "CR without LF"),
        (f" \r\n\r\n{_message(f'Content-Type: a/b&{_SMUGGLED}')}", "header after &"),
        (_message(f"Content-Type: application/sdp&{_SMUGGLED}"), "header after &"),
        (_message("Contact: <sip:a@b>& \tF : <sip:h1@b>"), "header after &"),
        (_message("Contact: <sip:a@b>&\r\n to\r\n : <sip:h1@b>"), "header after &"),
        (_message('Contact: "a&b" <sip:a@b>&CALL-ID: x'), "header after &"),
        (_message('Content-Type: a/b;c="&"&v: x'), "header after &"),
        (_message(f'Contact: <sip:a@b>\r\n "&{_SMUGGLED}"'), "header after &"),
        (_message("Contact: <sip:a@[", f"]>\r\n{_SMUGGLED}\r\n\r\nv=0"), "[ without ]"),
        (_message("Contact: <sip:a@[b] [>"), "[ without ]"),
        (f"{_FIRST}Contact: <sip:a@[", "[ without ]"),
        (_message(f"Via: SIP/2.0/UDP a (\r\n{_SMUGGLED}\r\nX: )"), "comment in Via"),
        (_message("v:\r\n SIP/2.0/UDP a ("), "comment in Via"),
        (_message("User-Agent: (a)\r\nVIA \t: SIP/2.0/UDP a;b=((c)"), "comment in Via"),
        ("\r\n", "no text"),
        (" \r\n\t\0", "no text"),
        (_message("Subject: x"), ""),
        (_message("Subject: x", "v=0\ro=-\r"), ""),
        (f"\r\n{_message('Subject: x')}", ""),
        (_message("Subject: x").replace("\r\n", "\n"), ""),
        (_message('From: "AT&T: lobby [A" <sip:a@b>;tag=1'), ""),
        (_message('From: "\\"&T: [" <sip:a@b>;tag=1'), ""),
        (_message("Subject: from: &to: [A"), ""),
        (_message("User-Agent: Panel/1 (Q&M: [x"), ""),
        (_message("Call-ID: -(<:[?{&f:"), ""),
        (_message("i: [@x\r\nIn-Reply-To: a[b"), ""),
        (_message("Call-ID: a\r\n [&f: b"), "header after &"),
        (_message("Supported: a\r\n &f: b"), "header after &"),
        (_message("X-Maker: a\r\nContact: <sip:a@b>&f: b"), "header after &"),
        (_message("X Maker: a&f: b"), "header after &"),
        (_message("Contact\r\n : <sip:a@b>&f: b"), "header after &"),
        (_message("From: Lobby <sip:a@[b>;tag=1"), "[ without ]"),
        (_message("Route: <sip:a@b>, Lobby <sip:a@[b>"), "[ without ]"),
        (_message("From: a:b [ <sip:a@b>;tag=1"), "[ without ]"),
        (_message("O: a&f: b"), "header after &"),
        (f" \r\n{_message('Subject: x')}", ""),
        (_message("X-Device-Info: mode=[auto"), ""),
        (_message("X-Maker: a=1&c: 2"), ""),
        (_message("X-Maker!: a=1\r\n &c: 2 [\r\n\t&c: 2"), ""),
        (_message("Supported: 100rel, &k: [x"), ""),
        (_message("From: Lobby [A & t: <sip:a@b>;tag=1"), "header after &"),
        (_message("From: Lobby [A <sip:a@b>;tag=1"), ""),
        (_message("P-Asserted-Identity: [A & B: <sip:a@b>"), ""),
        (_message("Contact: <sip:a@[::1]:5060;pn-prid=0af1:remote&beef:voip?x=1&from=2>"), ""),
        (_message("Contact: <sip:a@b>;x=(y)"), ""),
        (_message("Via: SIP/2.0/UDP [::1]:5060;branch=z"), ""),
        (_message("User-Agent: Panel/1\r\n (Linux)"), ""),
    ],
)
def test_a_second_reading_is_found(text: str, fault: str) -> None:
    assert heads.fault_of(text) == fault


def test_a_forged_request_is_400_and_names_the_fault(fake: FakeKsr, request_of: Make) -> None:
    fake.message.headers = [("Subject", f"x\r{_SMUGGLED}")]
    fake.message.call_id = "call-1\rcall_id=another"
    assert checks.check_form(fake.ksr, request_of(fake)) is DONE
    assert fake.replies == [(400, "Bad Request: CR without LF")]
    assert "forged, CR without LF" in fake.logs[0]
    assert "\r" not in fake.logs[0]


def test_what_is_not_utf_8_is_read_all_the_same(fake: FakeKsr, request_of: Make) -> None:
    fake.message.headers = [("Subject", f"\udcff\r{_SMUGGLED}")]
    assert checks.check_form(fake.ksr, request_of(fake)) is DONE
    fake.message.headers = [("Subject", "\udcff")]
    assert checks.check_form(fake.ksr, request_of(fake)) is NEXT


def test_a_registration_never_reaches_asterisk(fake: FakeKsr, request_of: Make) -> None:
    fake.message.method = "REGISTER"
    fake.message.headers = [("Contact", "<sip:a@[b>&f: <sip:h1@b>")]
    assert checks.check_form(fake.ksr, request_of(fake)) is NEXT
    fake.message.headers = [("Contact", "<sip:a@b>\rf: <sip:h1@b>")]
    assert checks.check_form(fake.ksr, request_of(fake)) is DONE


def test_a_forged_ack_is_dropped(fake: FakeKsr, request_of: Make) -> None:
    fake.message.method = "ACK"
    fake.message.headers = [("Subject", f"x\r{_SMUGGLED}")]
    assert checks.check_form(fake.ksr, request_of(fake)) is DONE
    assert fake.replies == []


@pytest.mark.parametrize("status", [180, 200, 486])
def test_a_forged_reply_is_dropped_and_not_kept(fake: FakeKsr, status: int) -> None:
    fake.message.status, fake.message.to_user = status, "stage"
    fake.message.headers = [("Subject", f"x\r{_SMUGGLED}")]
    Router(fake.ksr).ksr_reply_route(object())
    assert fake.called("set_drop")
    assert "dropped a reply: forged, CR without LF" in fake.logs[0]
    assert not fake.tables["ringing"]


@pytest.mark.parametrize("source_ip", ["127.0.0.21", "127.0.2.1"])
def test_a_reply_of_a_node_or_without_fault_goes_on(fake: FakeKsr, source_ip: str) -> None:
    fake.message.status, fake.message.source_ip = 180, source_ip
    fake.message.headers = [("Subject", "x\ry" if source_ip == "127.0.0.21" else "x")]
    Router(fake.ksr).ksr_reply_route(object())
    assert not fake.called("set_drop")
    assert fake.logs == []


@pytest.mark.parametrize(
    ("source_ip", "header", "dropped"),
    [
        ("127.0.0.21", "X-Maker: 1", False),
        ("127.0.3.11", "X-Maker: 1", False),
        ("127.0.3.11", _SMUGGLED, True),
        ("127.0.2.1", "X-Maker: 1", True),
    ],
)
def test_a_reply_that_cannot_be_read_to_its_end_is_dropped_but_a_carriers(
    fake: FakeKsr, source_ip: str, header: str, dropped: bool
) -> None:
    fake.tables["trunk_hosts"]["127.0.3.11"] = "city-line"
    name, value = header.split(": ")
    fake.message.status, fake.message.source_ip, fake.message.malformed = 200, source_ip, 4
    fake.message.headers = [(name, value)]
    Router(fake.ksr).ksr_reply_route(object())
    assert bool(fake.called("set_drop")) is dropped


def test_a_flood_of_forged_requests_is_neither_answered_nor_told_for_ever(fake: FakeKsr, request_of: Make) -> None:
    fake.defines |= {"EP_UNAUTH_LIMIT": "3", "EP_UNAUTH_SILENT": "5"}
    fake.message.headers = [("Subject", f"x\r{_SMUGGLED}")]
    for _ in range(9):
        assert checks.check_form(fake.ksr, request_of(fake)) is DONE
    assert [status for status, _ in fake.replies] == [400, 400, 400, 503, 503]
    assert len([line for line in fake.logs if "forged" in line]) == 3
    fake.message.method, fake.message.headers, fake.message.malformed = "ACK", [], 4
    assert checks.check_form(fake.ksr, request_of(fake)) is DONE
    assert not fake.called("sanity.sanity_check")
    assert len(fake.replies) == 5


def test_a_barred_address_has_no_forged_request_told(fake: FakeKsr, request_of: Make) -> None:
    fake.message.headers = [("Subject", f"x\r{_SMUGGLED}")]
    fake.tables["barred"][fake.message.source_ip] = int(time.monotonic()) + 60
    assert checks.check_form(fake.ksr, request_of(fake)) is DONE
    assert fake.replies == [(403, "Forbidden")]
    assert fake.logs == []


def test_a_flood_of_forged_replies_is_not_told_for_ever(fake: FakeKsr) -> None:
    fake.defines["EP_UNAUTH_LIMIT"] = "3"
    fake.message.status, fake.message.source_ip = 200, "127.0.2.1"
    fake.message.headers = [("Subject", f"x\r{_SMUGGLED}")]
    router = Router(fake.ksr)
    for _ in range(5):
        router.ksr_reply_route(object())
    assert len(fake.logs) == 3
    assert len(fake.called("set_drop")) == 5


@pytest.mark.parametrize("call_id", ["a\r\n b", "a\nb", "a\0b", "a\u2028b"])
def test_a_call_id_that_is_no_line_of_the_log_is_refused(fake: FakeKsr, request_of: Make, call_id: str) -> None:
    fake.message.call_id = call_id
    assert checks.check_form(fake.ksr, request_of(fake)) is DONE
    assert [status for status, _ in fake.replies] == [400]
    assert len(fake.logs[0].splitlines()) == 1
    assert "malformed, Call-ID" in fake.logs[0]
