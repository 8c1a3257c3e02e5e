"""Cities, companies, houses, entrances, apartments, gates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_api.domain.access import changes, reads
from crm_api.domain.inputs import places as asked
from crm_api.domain.inputs.base import OfCompanyQuery
from crm_api.domain.outputs import places as shown
from crm_api.domain.outputs.fund import GateDocument, RangeMade
from crm_api.resources.acts import Making
from crm_api.resources.declaration import Answer, Endpoint, Operation
from crm_api.resources.kept import kept

if TYPE_CHECKING:
    from crm_api.bootstrap import Services


def endpoints(services: Services) -> tuple[Endpoint, ...]:
    """Declare them."""
    return (
        *kept(
            "/v1/cities",
            tag="Places",
            plural="cities",
            service=services.cities,
            query=asked.CityQuery,
            document=shown.CityDocument,
            new=asked.NewCity,
            change=asked.CityChange,
            readers=reads("places"),
            writers=changes("places"),
        ),
        *kept(
            "/v1/companies",
            tag="Places",
            plural="companies",
            service=services.companies,
            query=asked.CompanyQuery,
            document=shown.CompanyDocument,
            new=asked.NewCompany,
            change=asked.CompanyChange,
            readers=reads("companies"),
            writers=changes("companies"),
        ),
        *kept(
            "/v1/houses",
            tag="Places",
            plural="houses",
            service=services.houses,
            query=asked.HouseQuery,
            document=shown.HouseDocument,
            new=asked.NewHouse,
            change=asked.HouseChange,
            readers=reads("places"),
            writers=changes("places"),
        ),
        *kept(
            "/v1/entrances",
            tag="Places",
            plural="entrances",
            service=services.entrances,
            query=asked.OfHouseQuery,
            document=shown.EntranceDocument,
            new=asked.NewEntrance,
            change=asked.EntranceChange,
            readers=reads("places"),
            writers=changes("places"),
        ),
        *kept(
            "/v1/apartments",
            tag="Places",
            plural="apartments",
            service=services.apartments,
            query=asked.ApartmentQuery,
            document=shown.ApartmentDocument,
            new=asked.NewApartment,
            change=asked.ApartmentChange,
            readers=reads("places"),
            writers=changes("places"),
        ),
        Endpoint(
            "/v1/apartment-ranges",
            "Places",
            Making(services.apartments.make_range, asked.NewApartmentRange),
            (
                Operation(
                    "POST",
                    "Make the apartments of a house together",
                    changes("places"),
                    (
                        Answer(201, "What was made", RangeMade),
                        Answer(200, "What would be made (`dry_run`)", RangeMade),
                    ),
                    "A regular house by first, last, entrances and floors; an irregular one by parts. Apartments that "
                    "are there already are named as ranges, and nothing is made.",
                    body=asked.NewApartmentRange,
                    headers=("Idempotency-Key",),
                    problems=frozenset({"conflict", "not-found"}),
                ),
            ),
        ),
        *kept(
            "/v1/gates",
            tag="Places",
            plural="gates",
            service=services.gates,
            query=OfCompanyQuery,
            document=GateDocument,
            new=asked.NewGate,
            change=asked.GateChange,
            readers=reads("places"),
            writers=changes("places"),
        ),
    )
