"""The location of a panel is valid by the schemas of the RFCs, and libxml2 reads back what was meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from kemi_routes import pidf_lo
from kemi_routes.emergency_table import City, Place
from tests.location_schema import wrong_with

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = {
    "dm": "urn:ietf:params:xml:ns:pidf:data-model",
    "cl": "urn:ietf:params:xml:ns:pidf:geopriv10:civicAddr",
    "gml": "http://www.opengis.net/gml",
}
MOMENT = "2026-11-21T16:05:00Z"
XML_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn")), min_size=1, max_size=40)


def read(city: str, address: str, entrance: int, latitude: str = "", longitude: str = "") -> Any:
    place = Place("1", address, entrance, latitude, longitude, ("112",))
    text = pidf_lo.document(
        "sip:+74951120001@entryphone.test", "sip:p10001@entryphone.test",
        City("1", city, "RU", "", "", "", records_calls=False, ways=()), place, MOMENT,
    )  # fmt: skip
    root = etree.fromstring(text.encode())
    assert wrong_with(root) is None
    return root


def told(root: Any, path: str) -> str | None:
    found: str | None = root.findtext(f".//{path}", namespaces=NAMES)
    return found


def test_address_and_point_stand_in_one_location() -> None:
    root = read("Riverside", "Lenina 1", 2, "55755800", "-37617300")
    assert root.get("entity") == "sip:+74951120001@entryphone.test"
    assert [told(root, f"cl:{name}") for name in ("country", "A3", "RD", "HNO", "LOC", "FLR")] == [
        "RU", "Riverside", "Lenina", "1", "entrance 2", "0",
    ]  # fmt: skip
    assert told(root, "gml:pos") == "55.755800 -37.617300"
    assert (told(root, "dm:deviceID"), told(root, "dm:timestamp")) == ("sip:p10001@entryphone.test", MOMENT)


def test_without_a_point_or_an_entrance_the_address_is_told_alone() -> None:
    root = read("Riverside", "Gate", 0)
    assert told(root, "gml:pos") is None
    assert told(root, "cl:LOC") is None
    assert (told(root, "cl:RD"), told(root, "cl:HNO")) == ("Gate", None)


@given(city=XML_TEXT, address=XML_TEXT, entrance=st.integers(0, 99), micro=st.integers(-90_000_000, 90_000_000))
@settings(max_examples=200, deadline=None)
def test_whatever_a_city_and_a_street_are_called(city: str, address: str, entrance: int, micro: int) -> None:
    root = read(city, address, entrance, str(micro), str(2 * micro))
    parts = pidf_lo.parts_of(address)
    assert (told(root, "cl:RD") or "") == parts.street
    assert (told(root, "cl:HNO") or "") == parts.house
    latitude, longitude = (float(part) for part in (told(root, "gml:pos") or "").split())
    assert (round(latitude * 1_000_000), round(longitude * 1_000_000)) == (micro, 2 * micro)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace("<cl:FLR>0</cl:FLR>", "<cl:FLOOR>0</cl:FLOOR>"),
        lambda text: text.replace("<cl:country>RU", "<cl:country>Russia"),
        lambda text: text.replace("EPSG::4326", "EPSG::1"),
        lambda text: text.replace("Manual", "Guessed"),
        lambda text: text.replace(MOMENT, "yesterday"),
    ],
)
def test_the_schema_refuses_what_is_wrong(spoil: Callable[[str], str]) -> None:
    good = etree.tostring(read("Riverside", "Lenina 1", 2, "1", "1")).decode()
    bad = spoil(good)
    assert bad != good
    assert wrong_with(etree.fromstring(bad.encode())) is not None


@pytest.mark.parametrize(
    ("address", "street", "house"),
    [("Lenina 1", "Lenina", "1"), ("ул. Ленина, 12к3", "ул. Ленина", "12к3"),
     ("Sadovaya 7 стр. 2", "Sadovaya", "7 стр. 2"), ("ул. 8 Марта, 5", "ул. 8 Марта", "5"),
     ("Somewhere", "Somewhere", "")],
)  # fmt: skip
def test_an_address_is_street_and_house(address: str, street: str, house: str) -> None:
    assert pidf_lo.parts_of(address) == (street, house)


def test_the_document_escapes_what_xml_would_misread() -> None:
    city = City("1", 'A & "B"', "RU", "", "", "", records_calls=False, ways=())
    place = Place("1", "<Street> & Co 1", 3, "-1000", "180000000", ("112",))
    root = etree.fromstring(pidf_lo.document('sip:"x"@y', "sip:p1@y", city, place, "2026-11-21T16:05:00Z").encode())
    told = {element.tag.rpartition("}")[2]: element.text for element in root.iter()}
    assert (told["A3"], told["RD"], told["HNO"], told["LOC"], told["FLR"]) == (
        'A & "B"', "<Street> & Co", "1", "entrance 3", "0",
    )  # fmt: skip
    assert told["pos"] == "-0.001000 180.000000"
