"""A contact that nothing can be sent to is refused, and one that is there already silences nobody."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.sip.households import family
from tests.sip.ordinary import answered_within_a_second

if TYPE_CHECKING:
    from tests.sip.scene import Scene

_NO_PATH = "."


@pytest.mark.usefixtures("nothing_is_said_twice")
@pytest.mark.parametrize(
    "contact",
    [
        "<mailto:a@b.c>",
        "<http://127.0.2.12/>",
        "<foo:bar>",
        "<sip:x@127.0.2.12:70000>",
        "<sip:x@127.0.2.12:abc>",
        "<sip:x@h^ost>",
        "<sip:>",
        "<sip:@127.0.2.12>",
        "<sip:x@[::1>",
        "sip:x@;expires=60",
    ],
)
async def test_an_unusable_contact_is_refused_and_the_household_rings(scene: Scene, contact: str) -> None:
    apartment, at, number = family(scene.town)
    home = await scene.home(apartment)
    first, phone = home.phones[0]

    with answered_within_a_second():
        answer = await phone.register(first.credentials, contact=contact)

    assert answer.status == 400
    await scene.log_line("kamailio", "refused REGISTER", f"call_id={answer.get('Call-ID')}")
    visitor = await scene.visitor(at)
    with answered_within_a_second():
        call = await visitor.call(at.credentials, number)
        await home.all_ring()
    await call.cancel()


@pytest.mark.parametrize(
    "contact",
    [
        "<tel:+74950000000>",
        "<sip:x@no.such.host.example:5070>",
        "<sip:x@host;transport=tls>",
        "sip:[::1]",
        "<sip:x@my_phone:5060>",
    ],
)
async def test_a_contact_that_is_merely_odd_is_rung_where_it_came_from(scene: Scene, contact: str) -> None:
    apartment, at, number = family(scene.town)
    home = await scene.home(apartment)
    first, phone = home.phones[0]
    await phone.register(first.credentials, contact="*", expires_s=0)
    assert (await phone.register(first.credentials, contact=contact)).status == 200
    visitor = await scene.visitor(at)
    since_s = time.monotonic()
    call = await visitor.call(at.credentials, number)
    for _, each in home.phones:
        (await each.incoming(since_s=since_s)).ring()  # else it is called again, also in the next story
    await call.cancel()


async def test_an_unusable_contact_of_before_silences_nobody(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    home = await scene.home(apartment)
    (first, phone), *_ = home.phones
    account = f"{first.credentials.username}@{scene.town.sip.domain}"
    contact = ("mailto:a@b.c", 600, 1.0, _NO_PATH, 0, 0, 8191)
    assert "error" not in await scene.rpc("ul.add", "location", account, *contact)  # as if refreshed last
    visitor = await scene.visitor(at)
    with answered_within_a_second():
        call = await visitor.call(at.credentials, number)
        await home.all_ring()
    assert len(phone.ringing) == 1
    await scene.log_line("kamailio", "nothing can be sent to it", "mailto:a@b.c")
    await call.cancel()
