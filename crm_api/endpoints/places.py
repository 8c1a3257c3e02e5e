"""Cities, companies, houses, entrances, apartments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_api.domain.inputs import places as asked
from crm_api.domain.inputs.base import NameQuery
from crm_api.domain.outputs import places as shown
from crm_api.resources.kept import kept

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from crm_api.resources.declaration import Endpoint


def endpoints(services: Services) -> tuple[Endpoint, ...]:
    """Declare them."""
    return (
        *kept(
            "/v1/cities",
            tag="Places",
            plural="cities",
            service=services.cities,
            query=NameQuery,
            document=shown.CityDocument,
            new=asked.NewCity,
            change=asked.CityChange,
        ),
        *kept(
            "/v1/companies",
            tag="Places",
            plural="companies",
            service=services.companies,
            query=NameQuery,
            document=shown.CompanyDocument,
            new=asked.NewCompany,
            change=asked.CompanyChange,
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
        ),
    )
