"""Whose a call, its openings and its phones are: by the number dialled first, whatever comes in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_api.services.call_recording import CallRecording
from tests.unit.crm.conftest import OF_A_WHOLE_TOWN
from tests.unit.crm.query_plans import reads_of
from tests.unit.crm.test_call_records import T, entry, story

if TYPE_CHECKING:
    from crm_api.services.context import Context
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Town


@pytest.fixture
def recording(context: Context) -> CallRecording:
    return CallRecording(context)


def passed_on(call: str) -> list[dict[str, Any]]:
    """A visitor presses 0, and the desk passes him on to 12; a phone there answers, opens, and hangs up."""
    leg = {"stage": 100, "branch": 0, "account": "f12", "trunk": "carrier-a", "phone_ms": 7000}
    told = [
        {"event": "dialled", "at_ms": T, "dialled": "0"},
        {"event": "phone", "at_ms": T + 9000, "dialled": "12", **leg},
        {"event": "door", "at_ms": T + 8000, "dialled": "12", "account": "f12", "door_id": 1, "result": "sent"},
        {"event": "ended", "at_ms": T + 9000, "dialled": "12", "result": "answered", "cause": 16},
    ]
    plan = {"event": "plan", "call_id": call, "at_ms": T + 1000, "stage": 100, "dialled": "12", "outcome": "ring"}
    return [{"call_id": call, "panel": "p1", **event} for event in told] + [plan]


def whose(database: CrmDatabase, call: str) -> Any:
    """Panel, number and home of a call, the apartments of its phones and openings, and those it was passed on to."""
    records = "SELECT panel, dialled, apartment_id, house_id FROM call_records WHERE call_id = ?"
    homes = [
        database.rows(f"SELECT apartment_id FROM {table} WHERE call_id = ?", (call,))  # noqa: S608 - constants
        for table in ("phone_legs", "access_records", "call_apartments")
    ]
    return [*database.rows(records, (call,)), *homes]


@given(data=st.data())
@settings(max_examples=40, suppress_health_check=OF_A_WHOLE_TOWN)
def test_whose_a_call_is_that_a_desk_has_passed_on_is_the_same_in_any_order_and_batches(
    town: Town, recording: CallRecording, database: CrmDatabase, data: st.DataObject
) -> None:
    database.rows("DELETE FROM accounts WHERE account = 'f12'")
    phone = {"account": "f12", "kind": "phone", "apartment_id": town.apartment, "phone": "+79161234567"}
    town.platform("POST", "/v1/accounts", phone)
    found = []
    lost = data.draw(st.booleans())  # Kamailio was killed, and has not told what was dialled
    for _ in range(2):
        call = f"c{uuid4()}"
        events = passed_on(call)[1 if lost else 0 :]
        events[-1]["apartment_id"] = town.apartment
        again = data.draw(st.lists(st.sampled_from(events), max_size=4))
        order = data.draw(st.permutations(events + again))
        cuts = sorted(data.draw(st.sets(st.integers(1, len(order)), max_size=4)))
        for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True):
            recording.record([entry(start, order[start:end])])
        found.append(whose(database, call))
    number = ("12", town.apartment, town.house) if lost else ("0", None, None)
    assert found == [[("p1", *number), *[[(town.apartment,)]] * 3]] * 2


def listed_of(town: Town, apartment: int) -> list[str]:
    return [call["call_id"] for call in town.platform("GET", f"/v1/calls?apartment_id={apartment}")["items"]]


def test_an_apartments_calls_have_those_passed_on_to_it_and_those_from_inside(
    town: Town, recording: CallRecording
) -> None:
    """Told by FastAGI, which knows the plan: a number of the own house means nothing without who dials it."""
    told = [
        {"event": "dialled", "call_id": "c1", "at_ms": T, "panel": "p1", "dialled": "0"},
        {"event": "plan", "call_id": "c1", "at_ms": T + 1, "outcome": "ring", "stage": 100, "dialled": "12",
         "apartment_id": town.apartment},
        {"event": "dialled", "call_id": "c2", "at_ms": T, "panel": "h13", "dialled": "12"},
        {"event": "plan", "call_id": "c2", "at_ms": T + 1, "outcome": "ring", "apartment_id": town.apartment},
        {"event": "dialled", "call_id": "c3", "at_ms": T, "panel": "p1", "dialled": "12"},
        {"event": "plan", "call_id": "c4", "at_ms": T + 1, "outcome": "ring", "apartment_id": 4711},  # gone since
    ]  # fmt: skip
    for number, event in enumerate([*told, *told]):
        recording.record([entry(number, [event])])
    assert listed_of(town, town.apartment) == ["c3", "c2", "c1"]
    assert listed_of(town, town.neighbour) == ["c2"]
    pages = [town.platform("GET", f"/v1/calls?apartment_id={town.apartment}&limit=2")]
    pages.append(town.platform("GET", f"/v1/calls?apartment_id={town.apartment}&limit=2&cursor={pages[0]['next']}"))
    assert [[call["call_id"] for call in page["items"]] for page in pages] == [["c3", "c2"], ["c1"]]
    town.platform("GET", "/v1/calls?apartment_id=0", expect=422)


def test_an_apartments_calls_are_read_without_the_others(
    town: Town, recording: CallRecording, database: CrmDatabase
) -> None:
    recording.record([entry(1, story("c1"))])
    reads = reads_of(database, lambda: listed_of(town, town.apartment))
    assert not [read for read in reads if read.startswith("SCAN") and "call" in read.lower()], reads


def opening(**more: Any) -> dict[str, Any]:
    return {"event": "door", "call_id": "c1", "at_ms": T + 5000, "door_id": 1, "key": "#", "method": "dtmf",
            "result": "sent", "reason": "", **more}  # fmt: skip


@pytest.mark.parametrize(
    "told",
    [
        {"panel": "p1", "dialled": "p1", "account": "a12"},
        {"panel": "a12", "dialled": "p1", "account": "a12"},
        # As a FastAGI of the release before tells it.
        {"panel": "a12", "account": "a12"},
    ],
)
def test_a_resident_who_looks_and_opens_is_recorded_at_the_panel_and_as_his_household(
    town: Town, recording: CallRecording, database: CrmDatabase, told: dict[str, Any]
) -> None:
    recording.record([entry(1, [{"event": "dialled", "call_id": "c1", "at_ms": T, "panel": "a12", "dialled": "p1"}])])
    recording.record([entry(2, [opening(**told)])])
    (found,) = town.platform("GET", "/v1/access-records?panel=p1")["items"]
    assert (found["apartment_id"], found["house_id"], found["result"]) == (town.apartment, town.house, "sent")
    assert found["panel_id"] is not None
    assert database.row("SELECT panel, dialled, apartment_id FROM call_records") == ("a12", "p1", town.apartment)


def test_a_key_of_an_older_fastagi_is_of_the_number_on_record(town: Town, recording: CallRecording) -> None:
    """It names the panel alone; the number of its call came in an earlier batch."""
    for number, event in enumerate([*story("c1")[:8], opening(panel="p1", account="a12")]):
        recording.record([entry(number, [event])])
    (found,) = town.platform("GET", f"/v1/access-records?apartment_id={town.apartment}")["items"]
    assert (found["account"], found["house_id"]) == ("a12", town.house)


def test_a_key_in_a_call_from_inside_is_of_the_household_that_pressed_it(town: Town, recording: CallRecording) -> None:
    recording.record([entry(1, [opening(panel="h13", dialled="12", account="a12", door_id=None, result="refused")])])
    (found,) = town.platform("GET", f"/v1/access-records?apartment_id={town.apartment}")["items"]
    assert (found["panel"], found["result"], found["house_id"]) == ("h13", "refused", town.house)
