"""The number leads to nobody: the visitor hears why before the call ends, and never silence."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.sip.households import blocked, family, nobody_home, stranger
from tests.sip.ordinary import the_family_is_rung
from tests.sip.promises import in_most_tries
from tests.sip.prompts import heard_beside, prompt_plays

if TYPE_CHECKING:
    from lab.peers.town import Panel
    from tests.sip.scene import Scene

_PROMPT_LIMIT_S = 15.0


async def _hears_a_prompt(scene: Scene, at: Panel, number: str) -> tuple[int, str]:
    """Call; a voice must be heard within a second, then a refusal. Returns its status and the Call-ID."""
    visitor = await scene.visitor(at)

    async def play() -> tuple[float, float, int, str]:
        began_s = time.monotonic()
        call = await visitor.call(at.credentials, number)
        await call.wait_status(183, 5.0)
        begun_after_s = time.monotonic() - began_s
        heard_after_s = await call.rtp.wait_for_sound(5.0) - began_s
        final = await call.final(_PROMPT_LIMIT_S)
        assert 400 <= final.status < 700, final.start_line
        return begun_after_s, heard_after_s, final.status, call.call_id

    _, _, status, call_id = await in_most_tries(play, lambda seen: seen[0] < 1.0 and seen[1] < 1.5)
    return status, call_id


async def test_a_blocked_apartment_is_explained(scene: Scene) -> None:
    apartment, at, number = blocked(scene.town)
    home = await scene.home(apartment)

    _, call_id = await _hears_a_prompt(scene, at, number)

    assert all(peer.ringing == [] for _, peer in home.phones)
    assert (await scene.office.call_record(call_id))["result"] == "blocked"


@pytest.mark.parametrize(
    ("language", "spoken", "unknown"), [("ru", "ru", "9872"), ("zh-CN", "zh", "9873"), ("pt-BR", "en", "9874")]
)
async def test_the_visitor_is_told_in_the_language_of_the_company(
    scene: Scene, language: str, spoken: str, unknown: str
) -> None:
    """Why nobody rings: the node reads the language's own sound, and the whole of it is heard.

    What a number means that leads nowhere is kept for a minute, its language too: each time it is another one.
    """
    _, at, _ = family(scene.town)
    told = {
        "blocked": blocked(scene.town)[1:],
        "unknown-number": (at, unknown),
        "nobody-home": nobody_home(scene.town)[1:],
    }
    async with scene.company_with(language=language):
        for why, (panel, number) in told.items():
            visitor = await scene.visitor(panel)
            call = await visitor.call(panel.credentials, number)
            await prompt_plays(scene, f"{spoken}/{why}")
            await call.final(_PROMPT_LIMIT_S)
            assert await heard_beside(f"{spoken}/{why}", call.rtp) < 10


async def test_an_apartment_that_does_not_exist_is_explained(scene: Scene) -> None:
    _, at, _ = family(scene.town)

    status, call_id = await _hears_a_prompt(scene, at, "9871")

    assert status == 404
    assert (await scene.office.call_record(call_id))["result"] == "unknown_number"


async def test_nobody_registered_is_explained(scene: Scene) -> None:
    apartment, at, number = nobody_home(scene.town)

    _, call_id = await _hears_a_prompt(scene, at, number)

    record = await scene.office.call_record(call_id, branches=len(apartment.residents))
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
    apartment, _, _ = family(scene.town)
    call, rings, _ = await the_family_is_rung(scene)

    for ring in rings:
        ring.reject(status)

    final = await call.final(_PROMPT_LIMIT_S)
    assert 400 <= final.status < 700
    record = await scene.office.call_record(call.call_id, branches=len(apartment.residents))
    assert record["result"] in ("busy", "no_answer")
    assert {branch["outcome"] for branch in record["branches"]} <= {"busy", "declined", "cancelled"}


async def test_the_visitor_walks_away_and_the_phones_keep_a_missed_call(scene: Scene) -> None:
    apartment, _, _ = family(scene.town)
    call, rings, _ = await the_family_is_rung(scene)

    assert (await call.cancel()).status == 487

    for ring in rings:
        await ring.wait_cancelled()
        assert not ring.answered_elsewhere, ring.reason
    record = await scene.office.call_record(call.call_id, branches=len(apartment.residents))
    assert record["result"] == "caller_hung_up"
    assert {branch["outcome"] for branch in record["branches"]} == {"cancelled"}
