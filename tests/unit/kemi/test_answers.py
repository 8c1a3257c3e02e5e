"""What Asterisk is told with the answer of a leg, and told again when the answer is repeated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kemi_routes import answers
from tests.unit.kemi.sip_message import Message

if TYPE_CHECKING:
    from tests.unit.kemi.fake_ksr import FakeKsr

_TOLD = (("X-Entryphone-Answered-By", "f12"), ("X-Entryphone-Trunk", "0 f12 carrier-a"))


def _answer(fake: FakeKsr, tag: str) -> None:
    fake.message = Message(status=200, headers=[("To", f"<sip:a@b>;tag={tag}")])


def test_what_was_told_is_told_again(fake: FakeKsr) -> None:
    _answer(fake, "t1")
    answers.tell(fake.ksr, "leg-1", *_TOLD)
    assert fake.message.headers[1:] == list(_TOLD)
    _answer(fake, "t1")
    answers.tell_again(fake.ksr, "leg-1")
    assert fake.message.headers[1:] == list(_TOLD)
    assert not answers.is_late(fake.ksr, "leg-1")


def test_another_one_is_late(fake: FakeKsr) -> None:
    _answer(fake, "t1")
    answers.tell(fake.ksr, "leg-1", *_TOLD)
    _answer(fake, "t2")
    assert answers.is_late(fake.ksr, "leg-1")


def test_of_a_leg_without_an_answer_nothing_is_told(fake: FakeKsr) -> None:
    _answer(fake, "t1")
    answers.tell_again(fake.ksr, "leg-2")
    assert fake.message.headers == [("To", "<sip:a@b>;tag=t1")]
    assert not answers.is_late(fake.ksr, "leg-2")
