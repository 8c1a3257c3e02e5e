"""Cities, companies, houses, entrances, apartments as they are asked for."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field

from crm_api.domain.inputs.base import AccountName, FilterId, Flag, Id, Input, Language, Name, PageQuery, unchanged


def _known_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("give a time zone of the IANA database, such as Europe/Moscow")
    return name


class NewCity(Input):
    """A city."""

    name: Name
    fias_id: Name | None = None
    time_zone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    dispatch_account: AccountName | None = None


class CityChange(Input):
    """Fields of a city that may change."""

    name: Name = unchanged()
    fias_id: Name | None = unchanged()
    time_zone: Annotated[str, AfterValidator(_known_zone)] = unchanged()
    dispatch_account: AccountName | None = unchanged()


class NewCompany(Input):
    """A management company."""

    name: Name
    city_id: Id | None = None
    language: Language = "en"
    active: Flag = True
    ring_timeout_s: Annotated[int, Field(ge=5, le=120, strict=True)] = 30
    talk_limit_s: Annotated[int, Field(ge=10, le=3600, strict=True)] = 120
    dispatch_account: AccountName | None = None


class CompanyChange(Input):
    """Fields of a company that may change."""

    name: Name = unchanged()
    city_id: Id | None = unchanged()
    language: Language = unchanged()
    active: Flag = unchanged()
    ring_timeout_s: Annotated[int, Field(ge=5, le=120, strict=True)] = unchanged()
    talk_limit_s: Annotated[int, Field(ge=10, le=3600, strict=True)] = unchanged()
    dispatch_account: AccountName | None = unchanged()


class NewHouse(Input):
    """A house. `company_id` may be left out by a company's own operator."""

    company_id: Id | None = None
    city_id: Id | None = None
    address: Name


class HouseChange(Input):
    """Fields of a house that may change."""

    city_id: Id | None = unchanged()
    address: Name = unchanged()


class NewEntrance(Input):
    """An entrance of a house."""

    house_id: Id
    number: Annotated[int, Field(ge=1, le=99, strict=True)]


class EntranceChange(Input):
    """Fields of an entrance that may change."""

    number: Annotated[int, Field(ge=1, le=99, strict=True)] = unchanged()


class NewApartment(Input):
    """An apartment; its number is unique in the house."""

    entrance_id: Id
    number: Annotated[int, Field(ge=1, le=9999, strict=True)]


class ApartmentChange(Input):
    """Fields of an apartment that may change."""

    entrance_id: Id = unchanged()
    number: Annotated[int, Field(ge=1, le=9999, strict=True)] = unchanged()


class HouseQuery(PageQuery):
    """Houses of a company, or with this address."""

    company_id: FilterId = None
    address: str | None = None


class OfHouseQuery(PageQuery):
    """Rows of a house."""

    company_id: FilterId = None
    house_id: FilterId = None
    number: FilterId = None


class ApartmentQuery(OfHouseQuery):
    """Apartments of a house or an entrance."""

    entrance_id: FilterId = None
