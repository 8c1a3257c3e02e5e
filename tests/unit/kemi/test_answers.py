"""What Asterisk is told with the answer of a leg, and told again when the answer is repeated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from kemi_routes import answers, emergency_calls, panel_calls, settings, stage_calls, trunk_calls
from tests.unit.kemi.sip_message import Message

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.settings import Settings
    from tests.unit.kemi.fake_ksr import FakeKsr


class _Routes(Protocol):
    def on_reply(self, ksr: Ksr, settings: Settings, /) -> None: ...


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


@pytest.mark.parametrize("routes", [stage_calls, trunk_calls, emergency_calls, panel_calls])
def test_an_answer_of_a_branch_that_was_given_up_is_hung_up_and_nobodys(fake: FakeKsr, routes: _Routes) -> None:
    fake.message = Message(
        status=200, headers=[("CSeq", "7 INVITE"), ("To", "<sip:a@b>;tag=t1"), ("Contact", "<sip:a@127.0.3.11>")]
    )
    fake.pvs["$T_reply_last"] = 408
    routes.on_reply(fake.ksr, settings.read(fake.ksr))
    assert [str(arguments[1]).partition(" ")[0] for arguments in fake.called("corex.send_data")] == ["ACK"]
    assert [arguments[0] for arguments in fake.called("tm.t_uac_send")] == ["BYE"]
    assert not fake.tables["answers"]
    assert not fake.called("htable.sht_rm")
