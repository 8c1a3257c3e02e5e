"""The number leads to nobody: the visitor hears why before the call ends, and never silence."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.sip.households import blocked, family, nobody_home, stranger

if TYPE_CHECKING:
    from lab.peers.town import Panel
    from tests.sip.scene import Scene

_PROMPT_LIMIT_S = 15.0
_SOUNDS = Path(__file__).parents[2] / "asterisk" / "sounds"
_GSM_FRAME_BYTES = 33  # 20 ms, as long as a packet


async def _hears_a_prompt(scene: Scene, at: Panel, number: str) -> tuple[int, str]:
    """Call; a voice must be heard within a second, then a refusal. Returns its status and the Call-ID."""
    visitor = await scene.visitor(at)
    began_s = time.monotonic()
    call = await visitor.call(at.credentials, number)
    await call.wait_status(183, 1.0)
    heard_s = await call.rtp.wait_for_sound(2.0)
    assert heard_s - began_s < 1.5
    final = await call.final(_PROMPT_LIMIT_S)
    assert 400 <= final.status < 700, final.start_line
    return final.status, call.call_id


async def test_a_blocked_apartment_is_explained(scene: Scene) -> None:
    apartment, at, number = blocked(scene.town)
    home = await scene.home(apartment)

    _, call_id = await _hears_a_prompt(scene, at, number)

    assert all(peer.ringing == [] for _, peer in home.phones)
    assert (await scene.office.call_record(call_id))["result"] == "blocked"


@pytest.mark.parametrize(("language", "spoken"), [("ru", "ru"), ("zh-CN", "zh"), ("pt-BR", "en")])
async def test_the_visitor_is_told_in_the_language_of_the_company(scene: Scene, language: str, spoken: str) -> None:
    """Each language's prompt has a length of its own: so many packets of 20 ms are heard."""
    _, at, number = blocked(scene.town)
    company = (await scene.office.get("/v1/companies"))["items"][0]
    await scene.office.send("PATCH", f"/v1/companies/{company['id']}", {"language": language})
    try:
        await scene.felt()
        visitor = await scene.visitor(at)
        call = await visitor.call(at.credentials, number)
        await call.final(_PROMPT_LIMIT_S)
    finally:
        await scene.office.send("PATCH", f"/v1/companies/{company['id']}", {"language": company["language"]})
        await scene.felt()
    frames = (_SOUNDS / spoken / "blocked.gsm").stat().st_size // _GSM_FRAME_BYTES
    assert abs(call.rtp.packets - frames) < 10
    others = [
        (_SOUNDS / o / "blocked.gsm").stat().st_size // _GSM_FRAME_BYTES for o in ("en", "ru", "zh") if o != spoken
    ]
    assert all(abs(call.rtp.packets - other) > 10 for other in others), (frames, others)


async def test_an_apartment_that_does_not_exist_is_explained(scene: Scene) -> None:
    _, at, _ = family(scene.town)

    status, call_id = await _hears_a_prompt(scene, at, "9871")

    assert status == 404
    assert (await scene.office.call_record(call_id))["result"] == "unknown_number"


async def test_nobody_registered_is_explained(scene: Scene) -> None:
    apartment, at, number = nobody_home(scene.town)

    _, call_id = await _hears_a_prompt(scene, at, number)

    record = await scene.office.call_record(call_id)
    assert record["result"] == "no_answer"
    offline = {branch["account"] for branch in record["branches"] if branch["outcome"] == "offline"}
    assert offline == {resident.credentials.username for resident in apartment.residents}


async def test_an_apartment_behind_another_panel_does_not_ring(scene: Scene) -> None:
    apartment, at, number = stranger(scene.town)
    home = await scene.home(apartment)

    await _hears_a_prompt(scene, at, number)

    assert all(peer.ringing == [] for _, peer in home.phones)


@pytest.mark.parametrize("status", [486, 603])
async def test_everybody_declines(scene: Scene, status: int) -> None:
    apartment, at, number = family(scene.town)
    home = await scene.home(apartment)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)

    for ring in await home.all_ring():
        ring.reject(status)

    final = await call.final(_PROMPT_LIMIT_S)
    assert 400 <= final.status < 700
    record = await scene.office.call_record(call.call_id)
    assert record["result"] in ("busy", "no_answer")
    assert {branch["outcome"] for branch in record["branches"]} <= {"busy", "declined", "cancelled"}


async def test_the_visitor_walks_away_and_the_phones_keep_a_missed_call(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    home = await scene.home(apartment)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    rings = await home.all_ring()
    await call.ringing()

    assert (await call.cancel()).status == 487

    for ring in rings:
        await ring.wait_cancelled()
        assert not ring.answered_elsewhere, ring.reason
    record = await scene.office.call_record(call.call_id)
    assert record["result"] == "caller_hung_up"
    assert {branch["outcome"] for branch in record["branches"]} == {"cancelled"}
