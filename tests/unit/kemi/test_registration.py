"""Contacts: NAT, paths, a busy database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kemi_routes import registration
from kemi_routes.pipeline import DONE
from tests.unit.kemi.ksr_functions import HANDLERS
from tests.unit.kemi.sip_message import Contact

if TYPE_CHECKING:
    from collections.abc import Callable

    from kemi_routes.pipeline import Request
    from tests.unit.kemi.fake_ksr import FakeKsr

    Make = Callable[[FakeKsr], Request]


def test_contacts_behind_nat_are_kept_alive(fake: FakeKsr, request_of: Make) -> None:
    fake.message.method, fake.message.natted = "REGISTER", True
    request = request_of(fake)
    request.kind = "handset"
    assert registration.save_contacts(fake.ksr, request) is DONE
    assert fake.called("setbflag") == [(6,)]
    assert fake.called("registrar.save") == [("location", 2)]
    assert len(fake.called("registrar.reg_send_reply")) == 1


@pytest.mark.parametrize(
    ("contact", "fixed"),
    [
        ("<sip:a@127.0.1.1>", False),
        ("sip:a@127.0.1.1:5060;expires=60", False),
        ("<sip:112@127.0.0.21:5060>", True),
        ("<sip:a@127.0.1.1:5061>", True),
        ("<sip:a@127.0.1.1;maddr=127.0.0.21>", True),
        ("<sip:a@n1.slow.example>", True),
        ("<sip:a@127.0.1.1>, <sip:112@127.0.0.21>", True),
        ("*", True),
    ],
)
def test_a_contact_is_reached_where_it_came_from(fake: FakeKsr, request_of: Make, contact: str, *, fixed: bool) -> None:
    fake.message.method, fake.message.headers = "REGISTER", [("Contact", contact)]
    request = request_of(fake)
    request.kind = "handset"
    registration.save_contacts(fake.ksr, request)
    assert bool(fake.called("nathelper.fix_nated_register")) is fixed
    assert fake.called("registrar.save")


def test_several_contacts_are_reached_where_they_came_from(fake: FakeKsr, request_of: Make) -> None:
    fake.message.method = "REGISTER"
    fake.message.headers = [("Contact", "<sip:a@127.0.1.1>"), ("Contact", "<sip:112@127.0.0.21>")]
    request = request_of(fake)
    request.kind = "handset"
    registration.save_contacts(fake.ksr, request)
    assert fake.called("nathelper.fix_nated_register")


@pytest.mark.parametrize("bad", ["\udccf", "\0"])
@pytest.mark.parametrize(
    ("contact", "kept"),
    [
        ('"{}" <sip:a@127.0.1.1>', True),
        ('"a, <{}" <sip:a@127.0.1.1>', True),
        ("{} <sip:a@127.0.1.1>", True),
        ("<sip:{}@127.0.1.1>", False),
        ("sip:{}@127.0.1.1", False),
        ('"{}" <sip:a@127.0.1.1>;+sip.instance="<{}>"', False),
        ('<sip:a@127.0.1.1>, "b" <sip:{}@127.0.1.1>', False),
    ],
)
@pytest.mark.parametrize("several", [False, True])
def test_a_name_may_be_no_text_an_address_not(
    fake: FakeKsr, request_of: Make, contact: str, *, kept: bool, bad: str, several: bool
) -> None:
    fake.message.method = "REGISTER"
    fake.message.headers = [("User-Agent", bad), ("Expires", "60")] + [("Contact", "<sip:b@127.0.1.1>")] * several
    fake.message.headers.append(("Contact", contact.replace("{}", bad)))
    request = request_of(fake)
    request.kind = "handset"
    assert registration.save_contacts(fake.ksr, request) is DONE
    assert fake.replies == ([] if kept else [(400, "Bad Contact")])
    assert bool(fake.called("registrar.save")) is kept


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize(
    ("contact", "kept"),
    [
        ("<mailto:a@b.c>", False),
        ('"a, <sip:a@b>" <http://127.0.1.1/>', False),
        ("<sip:a@127.0.1.1:70000>", False),
        ("sip:a@127.0.1.1:port;expires=60", False),
        ("<sip:>", False),
        ("<>", False),
        ("<sip:a@127.0.1.1>;q=1, <sip:a@h^ost>", False),
        ("sip:a@127.0.1.1;expires=60, sip:@", False),
        ("*", True),
        ('A phone <sip:a@127.0.1.1:65535;transport=tcp;x="<,">;q=0.5', True),
        ("sip:a@127.0.1.1 ; expires=60 , sips:127.0.1.1", True),
        ("<sip:a@[::1]:5060>", True),
        ("<tel:+7495>", True),
        ("", True),
    ],
)
def test_a_contact_that_nothing_can_be_sent_to_is_refused(
    fake: FakeKsr, request_of: Make, contact: str, *, kept: bool, several: bool
) -> None:
    fake.message.method = "REGISTER"
    fake.message.headers = [("Contact", "<sip:b@127.0.1.1>")] * several + [("Contact", contact)]
    request = request_of(fake)
    request.kind = "handset"
    assert registration.save_contacts(fake.ksr, request) is DONE
    assert fake.replies == ([] if kept else [(400, "Bad Contact")])
    assert bool(fake.called("registrar.save")) is kept
    assert kept or "nothing can be sent to the contact" in fake.logs[0]


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize(
    ("received", "kept"),
    [("sip:127.0.1.1:5060", True), ("sip:127.0.0.21:5060", False), ("sip:127.0.1.1:5060;maddr=127.0.0.21", False)],
)
def test_received_is_believed_of_nobody_but_ourselves(
    fake: FakeKsr, request_of: Make, received: str, *, kept: bool, several: bool
) -> None:
    fake.message.method = "REGISTER"
    fake.message.headers = [("Contact", "<sip:b@127.0.1.1>")] * several
    fake.message.headers.append(("Contact", f'<sip:a@127.0.1.1>;Received="{received}"'))
    request = request_of(fake)
    request.kind = "handset"
    registration.save_contacts(fake.ksr, request)
    assert fake.replies == ([] if kept else [(403, "Forbidden")])
    assert bool(fake.called("registrar.save")) is kept


def test_a_busy_database_is_asked_once_more_before_the_answer(fake: FakeKsr, request_of: Make) -> None:
    fake.message.method = "REGISTER"
    request = request_of(fake)
    request.kind = "handset"
    fake.results["registrar.save"] = -1
    registration.save_contacts(fake.ksr, request)
    assert len(fake.called("registrar.save")) == 2
    assert len(fake.called("registrar.reg_send_reply")) == 1
    assert len(fake.logs) == 1


@pytest.fixture
def full(fake: FakeKsr, request_of: Make, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """Register a contact of an account that has ten, refreshed in order; returns those that it has lost."""
    fake.location["h1"] = [Contact(f"sip:h1@127.0.2.1:{port}", f"r{port}", port) for port in range(5009, 4999, -1)]
    fake.location["h1"][4].instance = "<urn:uuid:1>"

    def save(kemi: FakeKsr, _table: str, _flags: int) -> int:
        return -2 if len(kemi.location["h1"]) >= 10 else 1

    monkeypatch.setitem(HANDLERS, "registrar.save", save)

    def run(contact: str) -> list[str]:
        fake.message.method, fake.message.headers = "REGISTER", [("Contact", contact)]
        request = request_of(fake)
        request.kind, request.account = "app", "h1"
        before = [contact.ruid for contact in fake.location["h1"]]
        registration.save_contacts(fake.ksr, request)
        return [ruid for ruid in before if ruid not in {contact.ruid for contact in fake.location["h1"]}]

    return run


def test_the_eleventh_address_takes_the_place_of_that_refreshed_longest_ago(
    fake: FakeKsr, full: Callable[[str], list[str]]
) -> None:
    assert full("<sip:h1@127.0.2.1:5100>") == ["r5000"]
    assert len(fake.called("registrar.save")) == 2
    assert fake.fetched == []


def test_a_device_that_names_itself_takes_its_own_place(full: Callable[[str], list[str]]) -> None:
    assert full('<sip:h1@127.0.2.1:5100>;+sip.instance="<urn:uuid:1>"') == ["r5005"]


def test_several_at_once_take_nobodys_place(fake: FakeKsr, full: Callable[[str], list[str]]) -> None:
    assert full("<sip:h1@127.0.2.1:5100>, <sip:h1@127.0.2.1:5101>") == []
    assert len(fake.called("registrar.save")) == 1


def test_what_fails_for_another_reason_takes_nobodys_place(fake: FakeKsr, full: Callable[[str], list[str]]) -> None:
    fake.results["registrar.save"] = -1
    assert full("<sip:h1@127.0.2.1:5100>") == []


def test_a_contact_that_is_over_does_not_make_room(fake: FakeKsr, full: Callable[[str], list[str]]) -> None:
    fake.location["h1"][-1].expires = 1
    assert full("<sip:h1@127.0.2.1:5100>") == ["r5001"]


def test_a_trunk_does_not_register(fake: FakeKsr, request_of: Make) -> None:
    fake.message.method = "REGISTER"
    request = request_of(fake)
    request.kind = "trunk"
    registration.save_contacts(fake.ksr, request)
    assert fake.replies == [(403, "Forbidden")]
    assert not fake.called("registrar.save")


def test_a_strangers_path_is_refused(fake: FakeKsr, request_of: Make) -> None:
    fake.message.headers = [("Path", "<sip:127.0.0.21;lr>")]
    request = request_of(fake)
    request.kind = "handset"
    registration.save_contacts(fake.ksr, request)
    assert fake.replies == [(403, "Forbidden")]


@pytest.mark.parametrize("kept", [True, False])
def test_the_path_of_our_network_is_said_again(fake: FakeKsr, request_of: Make, *, kept: bool) -> None:
    fake.defines["EP_EXEMPT_NETWORKS"] = "127.0.1.0/24"
    fake.message.headers = [("Path", "<sip:127.0.1.1;lr>"), ("Path", "<sip:127.0.1.2;lr>,<sip:127.0.1.3;lr>")]
    fake.message.headers.append(("Contact", "<sip:a@10.0.0.1>"))
    if not kept:
        fake.results["registrar.save"] = -1
    request = request_of(fake)
    request.kind = "handset"
    assert registration.save_contacts(fake.ksr, request) is DONE
    said = ["Path: <sip:127.0.1.1;lr>\r\n", "Path: <sip:127.0.1.2;lr>,<sip:127.0.1.3;lr>\r\n"]
    assert fake.reply_headers == (said if kept else [])


@pytest.mark.parametrize(
    "contact",
    [
        "<sip:a@1.2.3.4>",
        '"A. B" <sip:a@1.2.3.4:5061;transport=tcp>;expires=60;+sip.instance="x"',
        '<sip:a@1.2.3.4>;+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>";reg-id=1',
        '"A, \\"B\\"" <sip:a@1.2.3.4>;methods="INVITE, ACK"',
    ],
)
def test_a_contact_that_is_alone_may_go_to_the_journal(contact: str) -> None:
    assert registration._only_uri(contact) == contact.partition("<")[2].partition(">")[0]


@pytest.mark.parametrize(
    "contact",
    ["", "*", "sip:a@1.2.3.4", "<sip:a@1.2.3.4", "<sip:a@1.2.3.4>, <sip:b@1.2.3.4>", "<<sip:a@1.2.3.4>>",
     "<sip:a@1.2.3.4>>", "a>b <sip:a@1.2.3.4>", "< sip:a@1.2.3.4>", "<sip:a @1.2.3.4>", "<>",
     "<sip:>", f"<sip:{'a' * 252}>", '<sip:a@1.2.3.4>;x="', '<sip:a"b"@1.2.3.4>', '"<sip:a@1.2.3.4>"',
     '<sip:a@1.2.3.4>;x="y", <sip:b@1.2.3.4>;x="y"'],
)  # fmt: skip
def test_any_other_is_written_through(contact: str) -> None:
    assert not registration._only_uri(contact)
