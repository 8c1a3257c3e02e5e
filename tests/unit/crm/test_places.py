from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.unit.crm.conftest import Town

FIAS = "0c5b2444-70a0-4932-980c-b4dc0d3f02b5"


def test_cities_houses_and_companies_keep_what_operators_know(town: Town) -> None:
    city = town.platform(
        "POST", "/v1/cities", {"name": "Moscow", "fias_id": FIAS.upper(), "dispatch_number": "+74951120112"}
    )
    assert (city["fias_id"], city["dispatch_number"]) == (FIAS, "+74951120112")
    house = {"company_id": town.company, "address": "Tverskaya 1", "fias_id": FIAS, "latitude": 55.76, "longitude": 37}
    made = town.platform("POST", "/v1/houses", house)
    assert (made["latitude"], made["longitude"], made["fias_id"]) == (55.76, 37, FIAS)
    path = f"/v1/companies/{town.company}"
    assert town.platform("PATCH", path, {"billing_id": "10045"})["billing_id"] == "10045"


def test_the_dispatch_number_of_a_city_is_that_of_its_dispatch_centre(town: Town) -> None:
    """Whoever gives a city such a number expects 112 to go there."""

    def centres(city: dict[str, Any]) -> list[tuple[str, str | None]]:
        found = town.platform("GET", f"/v1/emergency-centres?city_id={city['id']}")["items"]
        return [(centre["number"], centre["public_number"]) for centre in found]

    city = town.platform("POST", "/v1/cities", {"name": "Moscow", "dispatch_number": "+74951120112"})
    assert centres(city) == [("+74951120112", "+74951120112")]
    path = f"/v1/cities/{city['id']}"
    assert town.platform("PATCH", path, {"dispatch_number": "112"})["dispatch_number"] == "112"
    assert centres(city) == [("112", "+74951120112")]
    problem = town.platform("PATCH", path, {"dispatch_number": None}, 422)
    assert "DELETE /v1/emergency-centres/" in problem["errors"][0]["remedy"]
    other = town.platform("POST", "/v1/cities", {"name": "Tver"})
    assert (other["dispatch_number"], centres(other)) == (None, [])
    town.platform("POST", "/v1/emergency-centres", {"city_id": other["id"], "name": "Tver 112", "number": "103"})
    assert town.platform("GET", f"/v1/cities/{other['id']}")["dispatch_number"] == "103"


@pytest.mark.parametrize("number", ["+112", "+123456"])
def test_what_no_other_trunk_dials_is_no_public_number(town: Town, number: str) -> None:
    city = town.platform("POST", "/v1/cities", {"name": "Moscow", "dispatch_number": number})
    (centre,) = town.platform("GET", f"/v1/emergency-centres?city_id={city['id']}")["items"]
    assert (centre["number"], centre["public_number"]) == (number, None)


def test_a_centres_own_public_number_is_left_alone(town: Town) -> None:
    city = town.platform("POST", "/v1/cities", {"name": "Moscow"})
    centre = {"city_id": city["id"], "name": "112", "number": "112", "public_number": "+74951120112"}
    key = town.platform("POST", "/v1/emergency-centres", centre)["id"]
    for number in ("103", "+74951120113"):
        town.platform("PATCH", f"/v1/cities/{city['id']}", {"dispatch_number": number})
        shown = town.platform("GET", f"/v1/emergency-centres/{key}")
        assert (shown["number"], shown["public_number"]) == (number, "+74951120112")


@pytest.mark.parametrize(
    ("noun", "body", "field"),
    [
        ("cities", {"name": "x", "fias_id": "none"}, "fias_id"),
        ("cities", {"name": "x", "fias_id": f"{{{FIAS}}}"}, "fias_id"),
        ("cities", {"name": "x", "dispatch_number": "0-800"}, "dispatch_number"),
        ("houses", {"address": "x", "latitude": 91}, "latitude"),
        ("houses", {"address": "x", "longitude": "37"}, "longitude"),
        ("houses", {"address": "x" * 201}, "address"),
        ("houses", {"address": "x", "city_id": "1"}, "city_id"),
    ],
)
def test_what_no_place_has(town: Town, noun: str, body: dict[str, Any], field: str) -> None:
    if noun == "houses":
        body = {"company_id": town.company, **body}
    problem = town.platform("POST", f"/v1/{noun}", body, 422)
    assert [e["field"] for e in problem["errors"]] == [field]


def test_a_house_of_144_is_made_in_one_request_and_rings(town: Town) -> None:
    wanted = {"house_id": town.second_house, "first": 13, "last": 156, "entrances": [1, 2], "floors": 9}
    problem = town.platform("POST", "/v1/apartment-ranges", wanted, 422)
    assert "no entrance 2" in problem["errors"][0]["remedy"]
    trial = town.platform("POST", "/v1/apartment-ranges", {**wanted, "make_entrances": True, "dry_run": True})
    assert (trial["made"], trial["entrances_made"]) == (144, [2])
    assert town.platform("GET", f"/v1/apartments?house_id={town.second_house}")["items"][1:] == []
    made = town.platform("POST", "/v1/apartment-ranges", {**wanted, "make_entrances": True})
    assert made["entrances"] == [
        {"entrance": 1, "apartments": "13-84"},
        {"entrance": 2, "apartments": "85-156"},
    ]
    found = town.platform("GET", f"/v1/apartments?house_id={town.second_house}&number=156")["items"]
    assert [(row["floor"], row["dial"]) for row in found] == [(9, {"p2": "22156"})]
    assert town.plan("p2", "22156")["outcome"] == "ring"


def test_an_overlap_names_the_ranges_and_makes_nothing(town: Town) -> None:
    wanted = {"house_id": town.house, "first": 10, "last": 15, "entrances": [1]}
    problem = town.platform("POST", "/v1/apartment-ranges", wanted, 409)
    assert problem["errors"][0]["value"] == "12-13"
    assert len(town.platform("GET", f"/v1/apartments?house_id={town.house}")["items"]) == 2


def test_an_irregular_house_is_listed_with_labels(town: Town) -> None:
    wanted = {
        "house_id": town.house,
        "parts": [{"entrance": 1, "floor": 0, "numbers": "1-3"}, {"entrance": 1, "floor": 1, "numbers": "5, 7"}],
        "labels": {"7": "5A"},
    }
    town.platform("POST", "/v1/apartment-ranges", wanted)
    kept = town.platform("GET", f"/v1/apartments?house_id={town.house}")["items"]
    assert sorted((row["number"], row["floor"], row["label"]) for row in kept) == [
        (1, 0, None),
        (2, 0, None),
        (3, 0, None),
        (5, 1, None),
        (7, 1, "5A"),
        (12, None, None),
        (13, None, None),
    ]
    again = {**wanted, "parts": [{"entrance": 1, "numbers": "8"}], "labels": {"8": "5A"}}
    assert "5A" in town.platform("POST", "/v1/apartment-ranges", again, 409)["detail"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"first": 1, "last": 7, "entrances": [1], "floors": 2}, "last"),
        ({"parts": [{"entrance": 1, "numbers": "1-5"}, {"entrance": 1, "numbers": "5-9"}]}, "parts.1.numbers"),
        ({"parts": [{"entrance": 1, "numbers": "all"}]}, "parts.0.numbers"),
        ({"first": 1}, "body"),
        ({"first": 1, "last": 2, "entrances": [1], "parts": [{"entrance": 1, "numbers": "1"}]}, "body"),
        ({"first": 1, "last": 2, "entrances": [1], "labels": {"9": "9A"}}, "labels.9"),
        ({"first": 1, "last": 99999, "entrances": [1]}, "last"),
    ],
)
def test_ranges_that_cannot_be(town: Town, body: dict[str, Any], field: str) -> None:
    problem = town.platform("POST", "/v1/apartment-ranges", {"house_id": town.house, **body}, 422)
    assert field in [e["field"] for e in problem["errors"]]
    assert len(town.platform("GET", f"/v1/apartments?house_id={town.house}")["items"]) == 2


def test_a_gate_is_shared_by_houses_of_its_company(town: Town) -> None:
    gate = town.platform("POST", "/v1/gates", {"name": "Yard", "houses": [town.house, town.second_house]})
    assert gate["houses"] == [town.house, town.second_house]
    other = town.platform("POST", "/v1/companies", {"name": "Others"})["id"]
    strange = town.platform("POST", "/v1/houses", {"company_id": other, "address": "x"})["id"]
    path = f"/v1/gates/{gate['id']}"
    problem = town.platform("PATCH", path, {"houses": [town.house, strange]}, 422)
    assert problem["errors"][0]["field"] == "houses.1"
    assert town.platform("GET", path)["houses"] == [town.house, town.second_house]
    assert town.platform("PATCH", path, {"houses": [town.house]})["houses"] == [town.house]
    town.platform("PATCH", "/v1/panels/2", {"gate_id": gate["id"]})
    town.platform("DELETE", path, expect=409)
    town.platform("PATCH", "/v1/panels/2", {"gate_id": None})
    town.platform("DELETE", path)
