"""Every wrong field is named at once, also those that only the database or a rule of several fields can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel, ValidationError, model_validator

from crm_api.resources.broken_rules import broken

if TYPE_CHECKING:
    from tests.unit.crm.conftest import Town

STAGE = {"ring_timeout_s": 10, "targets": [{"kind": "all"}, {"account": "no1"}, {"account": "no2"}]}
WRONG: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    "houses of a gate": ("/v1/gates", {"name": "g", "houses": [998, 1, 999]}, {"houses.0", "houses.2"}),
    "houses of a gate, none of which is there": (
        "/v1/gates",
        {"name": "g", "houses": [8, 9]},
        {"houses.0", "houses.1"},
    ),
    "a ring plan of nobody": (
        "/v1/ring-plans",
        {"house_id": 999, "stages": [{"ring_timeout_s": 10, "targets": [{"kind": "all"}]}]},
        {"house_id"},
    ),
    "houses of a gate of a company": (
        "/v1/gates",
        {"name": "g", "company_id": 1, "houses": [998, 999]},
        {"houses.0", "houses.1"},
    ),
    "targets of a ring plan": (
        "/v1/ring-plans",
        {"company_id": 1, "stages": [STAGE, STAGE]},
        {f"stages.{stage}.targets.{target}.account" for stage in (0, 1) for target in (1, 2)},
    ),
    "a ring plan of nowhere": (
        "/v1/ring-plans",
        {"apartment_id": 999, "stages": [STAGE]},
        {"apartment_id", "stages.0.targets.1.account", "stages.0.targets.2.account"},
    ),
    "a handset with a phone and without an apartment": (
        "/v1/accounts",
        {"kind": "handset", "phone": "+79120000001", "company_id": 99},
        {"phone", "apartment_id", "company_id"},
    ),
    "a panel in an apartment of nobody": (
        "/v1/accounts",
        {"kind": "panel", "phone": "+79120000001", "apartment_id": 1, "company_id": 99},
        {"phone", "apartment_id", "company_id"},
    ),
    "an account of a resident who does not live there": (
        "/v1/accounts",
        {"kind": "app", "phone": "+79120000001", "apartment_id": 1, "resident_id": 99},
        {"phone", "resident_id"},
    ),
    "a kind that is none, and half a time": (
        "/v1/accounts",
        {"kind": "nonsense", "quiet_from": "07:00"},
        {"kind", "body"},
    ),
    "a place within a panel": (
        "/v1/panels",
        {"account": "p9", "name": "", "places": [{"code": "x y"}], "doors": []},
        {"name", "places.0.code", "places.0"},
    ),
    "parts of a house": (
        "/v1/apartment-ranges",
        {"house_id": 1, "parts": [{"entrance": 1, "numbers": "x"}, {"entrance": 1, "numbers": "9-1"}]},
        {"parts.0.numbers", "parts.1.numbers"},
    ),
    "parts that stand twice, and labels": (
        "/v1/apartment-ranges",
        {
            "house_id": 1,
            "parts": [{"entrance": 1, "numbers": n} for n in ("40-42", "41", "42")],
            "labels": {"50": "a", "51": "b"},
        },
        {"parts.1.numbers", "parts.2.numbers"},
    ),
    "labels of no apartments": (
        "/v1/apartment-ranges",
        {"house_id": 1, "parts": [{"entrance": 1, "numbers": "40"}], "labels": {"50": "a", "51": "a"}},
        {"labels.50", "labels.51", "labels"},
    ),
    "doors of a relay": (
        "/v1/relays",
        {
            "name": "r",
            "company_id": 99,
            "address": "10.0.0.9",
            "doors": [{"output": 1, "entrance_id": 99}, {"output": 2, "gate_id": 99}],
        },
        {"company_id", "doors.0.entrance_id", "doors.1.gate_id"},
    ),
    "all of a panel": (
        "/v1/panels",
        {
            "account": "nobody",
            "name": "p",
            "gate_id": 99,
            "places": [{"entrance_id": 99, "code": "21"}, {"house_id": 99, "code": "22"}],
            "doors": [{"method": "relay", "relay_id": 99, "relay_output": 1}],
        },
        {"account", "gate_id", "places.0.entrance_id", "places.1.house_id", "doors.0.relay_id"},
    ),
    "a house": ("/v1/houses", {"company_id": 99, "city_id": 999, "address": "x"}, {"company_id", "city_id"}),
    "a company": (
        "/v1/companies",
        {"name": "x", "city_id": 999, "dispatch_account": "no"},
        {"city_id", "dispatch_account"},
    ),
}


NOT_THERE = {"a ring plan of nobody", "doors of a relay", "a house", "a company"}
"""Whose fields name what is not there, and are right otherwise."""


@pytest.mark.parametrize("name", WRONG)
def test_what_is_to_be_made_with_wrong_fields_is_told_all_of_them(town: Town, name: str) -> None:
    path, body, fields = WRONG[name]
    problem = town.platform("POST", path, body, 404 if name in NOT_THERE else 422)
    assert {error["field"] for error in problem["errors"]} == fields
    assert all(error["remedy"] for error in problem["errors"])
    assert len(problem["errors"]) == len(fields)


@pytest.mark.parametrize(
    ("path", "body", "fields"),
    [
        ("/v1/gates/1", {"houses": [998, 999]}, {"houses.0", "houses.1"}),
        ("/v1/houses/1", {"city_id": 999}, {"city_id"}),
        ("/v1/companies/1", {"city_id": 999, "dispatch_account": "no"}, {"city_id", "dispatch_account"}),
        ("/v1/panels/1", {"gate_id": 99, "places": [{"entrance_id": 99}]}, {"gate_id", "places.0.entrance_id"}),
        ("/v1/accounts/h12", {"phone": "+79120000001", "resident_id": 99}, {"phone", "resident_id"}),
        ("/v1/accounts/h12", {"enabled": 7, "quiet_from": "07:00"}, {"enabled", "body"}),
    ],
)
def test_what_is_to_be_changed_to_wrong_fields_is_told_all_of_them(
    town: Town, path: str, body: dict[str, Any], fields: set[str]
) -> None:
    town.platform("POST", "/v1/gates", {"name": "g", "houses": [town.house]})
    before = town.platform("GET", path)
    names_what_is_there = not fields & {"city_id", "gate_id"}
    problem = town.platform("PATCH", path, body, 422 if names_what_is_there else 404)
    assert {error["field"] for error in problem["errors"]} == fields
    assert town.platform("GET", path) == before


def test_a_rule_whose_own_fields_are_wrong_is_not_judged(town: Town) -> None:
    """What is wrong with them may be all that is: it would be told what is right already."""
    body: dict[str, Any] = {"number": "00C688AC", "apartment_id": "seven"}
    problem = town.platform("POST", "/v1/keys", body, 422)
    assert [error["field"] for error in problem["errors"]] == ["apartment_id"]
    body = {"kind": "app", "apartment_id": 1, "quiet_from": "7 o'clock", "quiet_until": "07:00"}
    problem = town.platform("POST", "/v1/accounts", body, 422)
    assert [error["field"] for error in problem["errors"]] == ["quiet_from"]


def test_places_that_a_panel_keeps_are_judged_with_all_that_is_changed(town: Town) -> None:
    places = [{"house_id": town.house, "code": "7"}, {"house_id": town.second_house, "code": "8"}]
    town.platform("PATCH", "/v1/panels/2", {"separator": "*", "places": places})
    before = town.platform("GET", "/v1/panels/2")
    problem = town.platform("PATCH", "/v1/panels/2", {"separator": None, "gate_id": 99}, 422)
    assert {error["field"] for error in problem["errors"]} == {"places", "gate_id"}
    assert town.platform("GET", "/v1/panels/2") == before


class Box(BaseModel):
    """An input whose rule reads what no text has."""

    name: str
    size: int

    @model_validator(mode="after")
    def _closed(self) -> Box:
        text: Any = self.name
        if text.lid:
            raise ValueError("close it")
        return self


def test_a_rule_that_is_wrong_itself_is_a_fault_and_not_passed_over() -> None:
    document = {"name": "box", "size": "large"}
    with pytest.raises(ValidationError) as found:
        Box.model_validate(document)
    with pytest.raises(AttributeError, match="lid"):
        broken(Box, document, found.value.errors())
    document = {"size": "large"}
    with pytest.raises(ValidationError) as found:
        Box.model_validate(document)
    assert broken(Box, document, found.value.errors()) == []
