"""Bytes that are not UTF-8, and NULs: whoever reads what strangers write gets text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kemi_routes import foreign_text
from kemi_routes.foreign_text import MARK

if TYPE_CHECKING:
    from tests.unit.kemi.fake_ksr import FakeKsr

_BAD = "\udccf\0"


def test_what_cannot_be_read_is_marked(fake: FakeKsr) -> None:
    message = fake.message
    message.headers = [
        ("Contact", f"{_BAD}a"),
        ("To", "<sip:a@b>;tag=\udcff"),
        ("Contact", "b\udcff"),
        ("Contact", "c"),
    ]
    message.body, message.from_user, message.to_user = f"v=0{_BAD}", "\udcd0", "я\0"
    assert foreign_text.read(fake.ksr, "$rb") == f"v=0{MARK}{MARK}"
    assert foreign_text.read(fake.ksr, "$tt") == MARK
    assert foreign_text.header(fake.ksr, "contact") == f"{MARK}{MARK}a"
    contacts = [foreign_text.nth_header(fake.ksr, "Contact", index) for index in (1, 2, 3)]
    assert contacts == [f"b{MARK}", "c", None]
    assert (foreign_text.caller(fake.ksr), foreign_text.called(fake.ksr)) == (MARK, f"я{MARK}")


def test_anything_else_is_as_it_is(fake: FakeKsr) -> None:
    fake.message.headers = [("Contact", "Дом <sip:a@b>")]
    assert foreign_text.header(fake.ksr, "Contact") == "Дом <sip:a@b>"
    assert foreign_text.header(fake.ksr, "Subject") == ""
    assert foreign_text.read(fake.ksr, "$avp(first_answer)") is None
    assert foreign_text.read(fake.ksr, "$T(id_index)") == "17"


@pytest.mark.parametrize(("name", "text"), [("$rb", "\udccf\0ж"), ("$(ct{nameaddr.uri})", "sip:\udcff@b")])
def test_bytes_are_kept_as_they_are(fake: FakeKsr, name: str, text: str) -> None:
    fake.message.headers, fake.message.body = [("Contact", f"<{text}>")], text
    assert bytes.fromhex(foreign_text.hexadecimal(fake.ksr, name)) == text.encode("utf-8", "surrogateescape")
    assert foreign_text.hexadecimal(fake.ksr, "$avp(first_answer)") == ""
