"""What several of these tests set up, and what they read: the story told, a login, a stage to ring."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from kemi_routes import panel_calls
from tests.unit.kemi import ksr_functions
from tests.unit.kemi.sip_message import Message

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from kemi_routes.pipeline import Request
    from tests.unit.kemi.fake_ksr import FakeKsr

    Make = Callable[[FakeKsr], Request]


def events(fake: FakeKsr) -> list[dict[str, object]]:
    return [event for _, value in fake.queues["story"] for event in json.loads(f"[{value}]")]


def login(fake: FakeKsr, name: str = "p1", kind: str = "panel", *, password: bool = True, enabled: int = 1) -> None:
    assert fake.database is not None
    fake.database[name] = ("ha1-of-" + name, kind, enabled)
    fake.message.auth_user = name
    fake.passwords[name] = "ha1-of-" + name if password else "another"


def stage(fake: FakeKsr, accounts: str) -> None:
    fake.message = Message(
        ruri="sip:stage@127.0.0.10",
        source_ip="127.0.0.21",
        call_id="leg-1",
        headers=[
            ("X-Entryphone-Stage", f"1 {accounts} call-1,p1,12"),
        ],
    )


def called_by(fake: FakeKsr, make: Make, account: str, number: str = "12") -> Request:
    """A panel's call that has been sent to a node."""
    fake.message.ruri = f"sip:{number}@entryphone.test"
    request = make(fake)
    request.account, request.kind = account, "panel"
    panel_calls.send_to_node(fake.ksr, request)
    return request


def cancelled_while(monkeypatch: pytest.MonkeyPatch, function: str, result: int = -1) -> None:
    """Another worker of Kamailio takes the CANCEL while this function runs; tm then relays nothing any more."""

    def run(fake: FakeKsr, *_: object) -> int:
        fake.results["tm.t_is_canceled"] = 1
        return result

    monkeypatch.setitem(ksr_functions.HANDLERS, function, run)


RELAY = "tm.t_relay_to_flags"
