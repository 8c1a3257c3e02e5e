"""Who looks for an opening of a door finds it: by the apartment, in the report of the house, by the panel."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tests.sip.households import family
from tests.sip.ordinary import a_look
from tests.sip.records import answer_recorded, opening_recorded

if TYPE_CHECKING:
    from lab.peers.town import Resident
    from tests.sip.scene import Scene


async def _home_of(scene: Scene, resident: Resident) -> tuple[int, int]:
    """Apartment and house of a resident, by the office's own books and not by any record of a call."""
    account = await scene.office.get(f"/v1/accounts/{resident.credentials.username}")
    apartment = await scene.office.get(f"/v1/apartments/{account['apartment_id']}")
    return apartment["id"], apartment["house_id"]


async def _found(scene: Scene, query: str, call_id: str) -> list[dict[str, Any]]:
    """The openings of a call among those that a query finds."""
    items = (await scene.office.get(f"/v1/access-records?{query}"))["items"]
    return [record for record in items if record["call_id"] == call_id]


async def _reported(scene: Scene, house_id: int, call_id: str) -> list[dict[str, Any]]:
    now_ms = time.time_ns() // 1_000_000
    span = f"from_ms={now_ms - 120_000}&to_ms={now_ms + 60_000}"
    items = (await scene.office.get(f"/v1/reports/entries?{span}&house_id={house_id}"))["items"]
    return [entry for entry in items if entry["call_id"] == call_id]


async def test_an_ordinary_opening_is_found_by_its_apartment_and_in_the_report_of_its_house(scene: Scene) -> None:
    """The permission is fresh, so that FastAGI opens by itself; whose call it is the CRM was told long before."""
    apartment, at, number = family(scene.town)
    apartment_id, house_id = await _home_of(scene, apartment.residents[0])
    call, ring, _ = await scene.talk(apartment, at, number)
    await answer_recorded(scene, call.call_id)
    await ring.rtp.press("#")
    await call.rtp.wait_for_key(at.door_code[0], 3)
    opening = await opening_recorded(scene, call.call_id)
    await call.bye()

    story = (await scene.office.call_record(call.call_id))["story"]
    assert "access_record_id" not in next(line for line in story if line["event"] == "door")  # the CRM was not asked
    assert (opening["result"], opening["method"], opening["panel"]) == ("sent", "dtmf", at.credentials.username)
    assert (opening["apartment_id"], opening["house_id"]) == (apartment_id, house_id)
    assert await _found(scene, f"apartment_id={apartment_id}", call.call_id) == [opening]
    (entry,) = await _reported(scene, house_id, call.call_id)
    assert (entry["id"], entry["panel"], entry["apartment"]) == (opening["id"], at.name, apartment.number)


async def test_an_opening_by_a_resident_who_looks_is_found_by_the_panel_and_his_apartment(scene: Scene) -> None:
    apartment, at, _ = family(scene.town)
    apartment_id, house_id = await _home_of(scene, apartment.residents[0])
    call, ring = await a_look(scene, apartment.residents[0], at)
    await answer_recorded(scene, call.call_id)
    await call.rtp.press("#")
    await ring.rtp.wait_for_key(at.door_code[0], 3)
    opening = await opening_recorded(scene, call.call_id)
    await call.bye()

    assert (opening["result"], opening["panel"]) == ("sent", at.credentials.username)
    assert opening["panel_id"] is not None
    assert await _found(scene, f"panel={at.credentials.username}", call.call_id) == [opening]
    assert await _found(scene, f"apartment_id={apartment_id}", call.call_id) == [opening]
    (entry,) = await _reported(scene, house_id, call.call_id)
    assert entry["panel"] == at.name
