"""Contacts: NAT, paths, a busy database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kemi_routes import registration
from kemi_routes.pipeline import DONE

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


def test_a_busy_database_is_asked_once_more_before_the_answer(fake: FakeKsr, request_of: Make) -> None:
    fake.message.method = "REGISTER"
    request = request_of(fake)
    request.kind = "handset"
    fake.results["registrar.save"] = -1
    registration.save_contacts(fake.ksr, request)
    assert len(fake.called("registrar.save")) == 2
    assert len(fake.called("registrar.reg_send_reply")) == 1
    assert len(fake.logs) == 1


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


@pytest.mark.parametrize(
    "contact", ["<sip:a@1.2.3.4>", '"A. B" <sip:a@1.2.3.4:5061;transport=tcp>;expires=60;+sip.instance="x"']
)
def test_a_contact_that_is_alone_may_go_to_the_journal(contact: str) -> None:
    assert registration._only_uri(contact) == contact.partition("<")[2].partition(">")[0]


@pytest.mark.parametrize(
    "contact",
    ["", "*", "sip:a@1.2.3.4", "<sip:a@1.2.3.4", "<sip:a@1.2.3.4>, <sip:b@1.2.3.4>", "<<sip:a@1.2.3.4>>",
     "<sip:a@1.2.3.4>>", "a>b <sip:a@1.2.3.4>", "< sip:a@1.2.3.4>", "<sip:a @1.2.3.4>", "<>",
     "<sip:>", f"<sip:{'a' * 252}>"],
)  # fmt: skip
def test_any_other_is_written_through(contact: str) -> None:
    assert not registration._only_uri(contact)
