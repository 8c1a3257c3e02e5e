"""Whoever sends a wrong field is told what would be right, in words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from crm_api.resources.remedies import PATTERNS

if TYPE_CHECKING:
    from tests.unit.crm.conftest import Town

OPENAPI = Path(__file__).parents[3] / "docs" / "openapi.json"
OF_HEADERS_AND_ANSWERS = {
    r'^(\*|"[!#-~]*"( *, *"[!#-~]*")*)$',
    "^[!-~]{1,200}$",
    "^urn:entryphone:problem:[a-z-]+$",
}


def patterns(node: Any) -> set[str]:
    if isinstance(node, list):
        return set().union(*map(patterns, node))
    if not isinstance(node, dict):
        return set()
    own = {node["pattern"]} if isinstance(node.get("pattern"), str) else set()
    return own.union(*map(patterns, node.values()))


def test_every_pattern_of_the_api_is_told_in_words() -> None:
    used = patterns(json.loads(OPENAPI.read_text()))
    assert used - OF_HEADERS_AND_ANSWERS == PATTERNS.keys() & used
    assert PATTERNS.keys() - used <= {"^[1-9][0-9]{0,3}$"}  # a name of a member, which OpenAPI spells elsewhere


def test_examples_of_remedies_fit_their_patterns() -> None:
    named = {pattern: told.rpartition("such as ")[2] for pattern, told in PATTERNS.items() if "such as " in told}
    named = {pattern: text.split(", ")[0].split(" or ")[0] for pattern, text in named.items()}
    assert len(named) > 10
    assert {pattern: text for pattern, text in named.items() if re.search(pattern, text) is None} == {}


@pytest.mark.parametrize(
    ("body", "field", "remedy"),
    [
        ({"name": "N", "fias_id": "hilltop"}, "fias_id", "give a UUID such as 0c5b2444-70a0-4932-980c-b4dc0d3f02b5"),
        ({"name": "N", "colour": "red"}, "colour", "there is no such field: correct its name, or leave it out"),
        ([], "body", "give a JSON object"),
    ],
)
def test_a_wrong_field_is_told_with_its_remedy(town: Town, body: Any, field: str, remedy: str) -> None:
    (wrong,) = town.platform("POST", "/v1/cities", body, 422)["errors"]
    assert (wrong["field"], wrong["remedy"]) == (field, remedy)


@pytest.mark.parametrize(
    ("address", "remedy"),
    [
        ("127.0.3.21:99999", "give a port from 1 to 65535"),
        ("sip.carrier.example:0", "give a port from 1 to 65535"),
        ("300.0.3.21", "give a name, or an IPv4 address such as 192.0.2.10"),
        ("http://carrier.example", "give a host, with or without port, such as sip.carrier.example:5060"),
    ],
)
def test_an_address_where_nobody_can_be_is_refused(town: Town, address: str, remedy: str) -> None:
    (wrong,) = town.platform("POST", "/v1/trunks", {"name": "carrier-x", "address": address}, 422)["errors"]
    assert (wrong["field"], wrong["value"], wrong["remedy"]) == ("address", address, remedy)


def test_an_address_that_is_none_is_told_as_such(town: Town) -> None:
    assert "/v1/hous" in town.platform("GET", "/v1/hous", None, 404)["detail"]
    told = town.platform("PUT", "/v1/houses", {}, 405)
    assert told["type"] == "urn:entryphone:problem:method-not-allowed"
    assert re.fullmatch(r"/v1/houses takes GET, POST(, OPTIONS)?, not PUT", told["detail"])
