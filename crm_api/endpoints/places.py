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
            removal=(
                "409 while houses, companies or numbers of its pool are in it. Its dispatch centre goes with it, "
                "and so do the routes of trunks that name it. For those who act for every company."
            ),
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
            removal=(
                "409 while anything of its own is there: houses, accounts, panels, people, keys, codes, kinds of "
                "blocks, ring plans, campaigns, jobs, records. Its webhooks, scheduled jobs and rules go with "
                "it. For those who act for every company; a customer who has left is made inactive (`active`) "
                "instead."
            ),
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
            removal=(
                "409 while it has entrances or apartments, or a panel serves it. Its ring plan, its desks (their "
                "accounts stay), keys bound to it and its places in groups and gates go with it; records of "
                "calls and openings stay."
            ),
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
            removal=(
                "409 while apartments or doors of relays are in it, or a panel serves it. Its access codes, its "
                "code lock and keys bound to it go with it."
            ),
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
            removal=(
                "Its accounts go with it, and their devices are registered no longer; so do its ring plan, "
                "blocks, keys, access codes, messages, recordings and probe calls, and who lives there (the "
                "residents themselves stay). Panels that keep codes are told to forget its own. Records of calls "
                "and openings stay, without it."
            ),
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
            removal="409 while panels or doors of relays stand there. Its access codes and its code lock go with it.",
            readers=reads("places"),
            writers=changes("places"),
        ),
    )
