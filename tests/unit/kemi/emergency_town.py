"""A city whose panels call 112: two lines to its dispatch centre and a carrier, as the CRM's views tell them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kemi_routes import headers

if TYPE_CHECKING:
    from collections.abc import Callable

    from kemi_routes.pipeline import Request
    from tests.unit.kemi.fake_ksr import FakeKsr

    Make = Callable[[FakeKsr], Request]

LINE = ("city-line", "10.0.0.1", "udp", "", "", "", 0, "e164")
SECOND = ("second", "10.0.0.2", "udp", "", "", "", 0, "digits")
CARRIER = ("carrier", "10.0.0.3", "udp", "", "", "", 0, "e164")
NUMBERS = '["101", "102"]'
LEG = "1|+7495001|city-line|p10001|112|call-1,p10001,112"


def fill(fake: FakeKsr) -> None:
    fake.trunk_rows = [LINE, SECOND, CARRIER]
    fake.views["kamailio_emergency_cities"] = [
        (1, "Riverside", "RU", "+7495000", "city-line", "112", "+7495112", "+7495113", 1)
    ]
    fake.views["kamailio_emergency_trunks"] = [
        (1, "city-line", "asserted", 1),
        (1, "second", "from", 0),
        (1, "gone", "both", 1),
    ]
    fake.views["kamailio_city_numbers"] = [("+7495000", "city-line"), ("+7495001", "city-line")]
    fake.views["kamailio_emergency_apartments"] = [("p10001", 101)]
    fake.views["kamailio_emergency_panels"] = [
        ("p10001", 1, "Lenina 1", 2, "55755800", "37617300", NUMBERS, "911", "ru"),
        ("p10002", 1, "Sadovaya 7", 0, "", "", "[]", "", "en"),
    ]


def leg(known: FakeKsr, header: str = LEG) -> None:
    known.message.source_ip = "127.0.0.21"
    known.message.ruri = "sip:112@127.0.0.10"
    known.message.headers = [(headers.EMERGENCY, header), ("P-Asserted-Identity", "<sip:x@y>")]
