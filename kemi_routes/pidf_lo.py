"""Where a panel stands, as NG112 networks take it: a PIDF-LO document (RFC 4119, 5139, 5491) with address and point.

One device, one location: the point and the civic address stand in one `location-info`, the point first (RFC 5491, 3.4
rule 5), as both describe the same place. `entity` is the caller; the method says that nobody measured it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import escape, quoteattr

if TYPE_CHECKING:
    from kemi_routes.emergency_table import City, Place

CONTENT_TYPE = "application/pidf+xml"
_HOUSE = re.compile(r"^(?P<street>.*?\S)[\s,]+(?P<house>\d+[^\s,]*(?:[\s,]+(?:к|корп|стр|bld)\.?\s*\S+)?)$")
_MILLION = 1_000_000


class Street(NamedTuple):
    """A house's address in two parts; `house` is empty where it does not end in a number."""

    street: str
    house: str


def parts_of(address: str) -> Street:
    """Split an address as the CRM keeps it, `Lenina 1` or `ул. Ленина, 1к2`."""
    found = _HOUSE.match(address.strip())
    return Street(address.strip(), "") if found is None else Street(found["street"].rstrip(" ,"), found["house"])


def document(caller: str, panel: str, city: City, place: Place, moment: str) -> str:
    """Write the document.

    Args:
        caller: URI of the caller, such as `sip:+74951110001@example.org`.
        panel: URI of the panel's account: the device.
        city: where the panel stands.
        place: the panel.
        moment: now, as `2026-11-21T16:05:00Z`.
    """
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\r\n'
        '<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model"'
        ' xmlns:gp="urn:ietf:params:xml:ns:pidf:geopriv10"'
        ' xmlns:gbp="urn:ietf:params:xml:ns:pidf:geopriv10:basicPolicy"'
        ' xmlns:cl="urn:ietf:params:xml:ns:pidf:geopriv10:civicAddr"'
        f' xmlns:gml="http://www.opengis.net/gml" entity={quoteattr(caller)}>\r\n'
        '<dm:device id="panel"><gp:geopriv><gp:location-info>'
        f"{_point(place)}{_civic(city, place)}"
        "</gp:location-info><gp:usage-rules>"
        "<gbp:retransmission-allowed>true</gbp:retransmission-allowed>"
        "</gp:usage-rules><gp:method>Manual</gp:method></gp:geopriv>"
        f"<dm:deviceID>{escape(panel)}</dm:deviceID><dm:timestamp>{moment}</dm:timestamp></dm:device>\r\n</presence>\r\n"
    )


def _point(place: Place) -> str:
    if not place.latitude or not place.longitude:
        return ""
    latitude, longitude = (int(value) / _MILLION for value in (place.latitude, place.longitude))
    return (
        f'<gml:Point srsName="urn:ogc:def:crs:EPSG::4326"><gml:pos>{latitude:.6f} {longitude:.6f}</gml:pos></gml:Point>'
    )


def _civic(city: City, place: Place) -> str:
    street, house = parts_of(place.address)
    entrance = f"entrance {place.entrance}" if place.entrance else ""
    # In the order of the schema (RFC 5139, section 5); the door is on floor 0.
    elements = (
        ("country", city.country), ("A3", city.name), ("RD", street), ("HNO", house), ("LOC", entrance), ("FLR", "0"),
    )  # fmt: skip
    told = "".join(f"<cl:{name}>{escape(value)}</cl:{name}>" for name, value in elements if value)
    return f"<cl:civicAddress>{told}</cl:civicAddress>"
