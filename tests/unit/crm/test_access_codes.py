from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from crm_api.services.access_codes import is_obvious

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from tests.unit.crm.conftest import Clock, Town


DAY_MS = 86_400_000


def made(town: Town, **more: Any) -> Any:
    return town.platform("POST", "/v1/access-codes", {"entrance_id": town.entrance, **more})


def test_a_code_is_drawn_hidden_and_told_to_who_may(
    town: Town, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted = iter("40719")  # any other may by chance be part of a moment in the audit log
    monkeypatch.setattr("crm_api.services.access_codes.secrets.choice", lambda _: next(scripted))
    code = made(town)
    assert code["code"] == "40719"
    path = f"/v1/access-codes/{code['id']}"
    assert "code" not in town.platform("GET", path)
    assert town.platform("POST", f"{path}/reveal")["code"] == code["code"]
    kept = services.access_codes.database.row("SELECT code_encrypted, code_hash FROM access_codes")
    assert kept is not None
    assert code["code"] not in str(kept[0])
    audit = services.access_codes.database.rows("SELECT action, state_after FROM audit_log WHERE noun = 'access code'")
    assert [action for action, _ in audit] == ["create", "read the code"]
    assert all(code["code"] not in after for _, after in audit)


def test_a_code_out_of_turn_is_as_the_companys_codes_are(town: Town, services: Services) -> None:
    services.access_code_rules.fill()
    rule = town.platform("GET", "/v1/access-code-rules")["items"][0]
    town.platform("PATCH", f"/v1/access-code-rules/{rule['id']}", {"length": 7, "alphabet": "2468"})
    drawn = [made(town)["code"] for _ in range(10)]
    assert {len(code) for code in drawn} == {7}
    assert set("".join(drawn)) <= set("2468")
    longer = made(town, length=9, single_use=True)["code"]
    assert (len(longer), set(longer) <= set("2468")) == (9, True)


def test_a_right_code_opens_only_where_and_while_it_is_valid(town: Town, services: Services, clock: Clock) -> None:
    start = clock.now + 60_000
    code = made(town, code="40719", valid_from_ms=start, valid_until_ms=start + 60_000)
    typed = services.access_codes.typed
    assert not typed(1, "40719").opens
    clock.now = start
    assert typed(1, "40719").opens
    assert typed(1, "40719").code_id == code["id"]
    assert not typed(2, "40719").opens, "the gate has codes of its own"
    assert not typed(1, "40718").opens
    clock.now = start + 60_000
    assert not typed(1, "40719").opens


def test_a_gate_has_codes_of_its_own(town: Town, services: Services) -> None:
    gate = town.platform("POST", "/v1/gates", {"name": "Yard", "houses": [town.house]})["id"]
    town.platform("PATCH", "/v1/panels/2", {"gate_id": gate})
    town.platform("POST", "/v1/access-codes", {"gate_id": gate, "code": "40719"})
    assert services.access_codes.typed(2, "40719").opens
    assert not services.access_codes.typed(1, "40719").opens


def test_a_single_use_code_lets_in_one_of_many(town: Town, services: Services) -> None:
    made(town, code="40719", single_use=True)

    def press(_: int) -> bool:
        try:
            return services.access_codes.typed(1, "40719").opens
        finally:
            services.access_codes.database.forget_connection()

    with ThreadPoolExecutor(8) as visitors:
        assert sum(visitors.map(press, range(16))) == 1
    assert made(town, code="40719")["code"] == "40719", "a used code may come again"


def test_a_block_stops_the_codes_of_its_apartment(town: Town, services: Services) -> None:
    made(town, code="40719", apartment_id=town.apartment)
    kind = {"company_id": town.company, "name": "debt", "stops_codes": True}
    kind_id = town.platform("POST", "/v1/block-kinds", kind)["id"]
    block = {"apartment_id": town.apartment, "kind_id": kind_id, "reason": "owes"}
    block_id = town.platform("POST", "/v1/blocks", block)["id"]
    verdict = services.access_codes.typed(1, "40719")
    assert (verdict.opens, verdict.apartment_id) == (False, town.apartment)
    town.platform("POST", f"/v1/blocks/{block_id}/lift", {"reason": "paid"})
    assert services.access_codes.typed(1, "40719").opens


def test_two_codes_that_open_one_door_differ(town: Town) -> None:
    first = made(town, code="40719")
    town.platform("POST", "/v1/access-codes", {"entrance_id": town.entrance, "code": "40719"}, 409)
    town.platform("POST", f"/v1/access-codes/{first['id']}/end", {"reason": "known to too many"})
    assert made(town, code="40719")["id"] != first["id"]
    assert len(town.platform("GET", "/v1/access-codes?active=true")["items"]) == 1
    assert len(town.platform("GET", "/v1/access-codes?active=false")["items"]) == 1


def test_codes_of_one_panels_entrances_and_gate_differ(town: Town) -> None:
    """Typed there, nobody could say whose code it was."""
    gate = town.platform("POST", "/v1/gates", {"name": "Yard", "houses": [town.house, town.second_house]})["id"]
    other = town.platform("GET", f"/v1/entrances?house_id={town.second_house}")["items"][0]["id"]
    beyond = town.platform("POST", "/v1/houses", {"company_id": town.company, "address": "Far 1"})["id"]
    far = town.platform("POST", "/v1/entrances", {"house_id": beyond, "number": 1})["id"]
    first = made(town, code="40719")  # panel p2 serves both houses
    for place in ({"entrance_id": other}, {"gate_id": gate}):
        town.platform("PATCH", "/v1/panels/2", {"gate_id": gate})
        problem = town.platform("POST", "/v1/access-codes", {**place, "code": "40719"}, 409)
        assert "another of its panel" in problem["detail"]
    town.platform("POST", "/v1/access-codes", {"entrance_id": far, "code": "40719"})
    town.platform("POST", f"/v1/access-codes/{first['id']}/end", {"reason": "known to too many"})
    town.platform("POST", "/v1/access-codes", {"gate_id": gate, "code": "40719"})
    town.platform("POST", "/v1/access-codes", {"entrance_id": other, "code": "40719"}, 409)


def test_a_drawn_code_is_none_that_opened_within_four_weeks(
    town: Town, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    draws = iter("4071940719" + "52863" + "40719")
    monkeypatch.setattr("crm_api.services.access_codes.secrets.choice", lambda _: next(draws))
    first = made(town)
    assert first["code"] == "40719"
    clock.now += 300 * DAY_MS
    town.platform("POST", f"/v1/access-codes/{first['id']}/end", {"reason": "old"})
    clock.now += 27 * DAY_MS
    assert made(town)["code"] == "52863"
    clock.now += 2 * DAY_MS
    assert made(town)["code"] == "40719"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"entrance_id": 1, "gate_id": 1},
        {"entrance_id": 1, "code": "12a4"},
        {"entrance_id": 1, "code": "٤٠٧١٩"},
        {"entrance_id": 1, "length": 3},
        {"entrance_id": 1, "valid_until_ms": 1},
    ],
)
def test_what_is_no_code(town: Town, body: dict[str, Any]) -> None:
    town.platform("POST", "/v1/access-codes", body, 422)
    assert town.platform("GET", "/v1/access-codes")["items"] == []


@pytest.mark.parametrize(
    ("code", "obvious"), [("1111", True), ("1234", True), ("9876", True), ("8901", True), ("4071", False)]
)
def test_what_anybody_would_try_first(code: str, obvious: bool) -> None:
    assert is_obvious(code) is obvious
