"""Cities, companies, houses, entrances, apartments as they are asked for."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from crm_api.domain.inputs.base import (
    PRINTABLE,
    AccountName,
    FilterId,
    FilterText,
    Flag,
    Id,
    Input,
    Language,
    Latitude,
    Longitude,
    Name,
    NameQuery,
    OwnCompany,
    PageQuery,
    Zone,
    unchanged,
)

FiasId = Annotated[
    str, StringConstraints(to_lower=True, pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")
]
"""A UUID of the Russian address register, such as 0c5b2444-70a0-4932-980c-b4dc0d3f02b5."""
DispatchNumber = Annotated[str, StringConstraints(pattern=r"^\+?[0-9]{2,15}$")]
EntranceNumber = Annotated[int, Field(ge=1, le=99, strict=True)]
ApartmentNumber = Annotated[int, Field(ge=1, le=9999, strict=True)]
NumberAsKey = Annotated[str, StringConstraints(pattern="^[1-9][0-9]{0,3}$")]
"""The number of an apartment where JSON allows texts only: as the name of a member."""
Floor = Annotated[int, Field(ge=-9, le=200, strict=True)]
TalkLimit = Annotated[int, Field(ge=10, le=3600, strict=True)]
RingLimit = Annotated[int, Field(ge=5, le=600, strict=True)]
LookLimit = Annotated[int, Field(ge=5, le=600, strict=True)]
CodeTries = Annotated[int, Field(ge=3, le=100, strict=True)]
CodeLock = Annotated[int, Field(ge=1, le=86_400, strict=True)]
MessageLimit = Annotated[int, Field(ge=0, le=180, strict=True)]
MessageDays = Annotated[int, Field(ge=1, le=366, strict=True)]
RecordingDays = Annotated[int, Field(ge=1, le=1100, strict=True)]
NeighbourCalls = Literal["none", "house", "estate"]
Label = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20, pattern=PRINTABLE)]


class NewCity(Input):
    """A city. With a `dispatch_number` its dispatch centre is made, too; the rest of that is kept there."""

    name: Name
    fias_id: FiasId | None = None
    dispatch_number: DispatchNumber | None = None
    time_zone: Zone = "UTC"
    dispatch_account: AccountName | None = None

    EXAMPLE: ClassVar[dict[str, Any]] = {"name": "Riverside", "time_zone": "Europe/Moscow"}


class CityChange(Input):
    """Fields of a city that may change. `dispatch_number` is that of its dispatch centre, which is made if need be."""

    name: Name = unchanged()
    fias_id: FiasId | None = unchanged()
    dispatch_number: DispatchNumber | None = unchanged()
    time_zone: Zone = unchanged()
    dispatch_account: AccountName | None = unchanged()

    EXAMPLE: ClassVar[dict[str, Any]] = {"time_zone": "Europe/Samara"}


PhoneCountries = Annotated[str, StringConstraints(max_length=200, pattern=r"^([A-Z]{2}(,[A-Z]{2})*)?$")]
PhoneMinutes = Annotated[int, Field(ge=0, le=10_000_000, strict=True)]
ApartmentPhoneMinutes = Annotated[int, Field(ge=0, le=100_000, strict=True)]
KeptDays = Annotated[int, Field(ge=1, le=3660, strict=True)]


class NewCompany(Input):
    """A management company, made by who acts for every company."""

    name: Name
    billing_id: Name | None = None
    city_id: Id | None = None
    language: Language = "en"
    active: Flag = True
    ring_timeout_s: Annotated[int, Field(ge=5, le=120, strict=True)] = 30
    talk_limit_s: TalkLimit = 60
    ring_limit_s: RingLimit = 120
    look_limit_s: LookLimit = 60
    neighbour_calls: NeighbourCalls = "none"
    code_tries: CodeTries = 5
    code_lock_s: CodeLock = 600
    phone_countries: PhoneCountries = ""
    phone_minutes: PhoneMinutes | None = None
    apartment_phone_minutes: ApartmentPhoneMinutes | None = None
    calls_kept_days: KeptDays | None = None
    access_records_kept_days: KeptDays | None = None
    message_limit_s: MessageLimit = 0
    message_kept_days: MessageDays = 14
    records_calls: Flag = False
    recording_kept_days: RecordingDays = 30
    dispatch_account: AccountName | None = None

    EXAMPLE: ClassVar[dict[str, Any]] = {"name": "Riverside Homes", "city_id": 1, "language": "en"}


class CompanyChange(Input):
    """Fields of a company that may change; its ring plans follow.

    `name`, `active` and `billing_id` are changed by who acts for every company.
    """

    name: Name = unchanged()
    billing_id: Name | None = unchanged()
    city_id: Id | None = unchanged()
    language: Language = unchanged()
    active: Flag = unchanged()
    ring_timeout_s: Annotated[int, Field(ge=5, le=120, strict=True)] = unchanged()
    talk_limit_s: TalkLimit = unchanged()
    ring_limit_s: RingLimit = unchanged()
    look_limit_s: LookLimit = unchanged()
    neighbour_calls: NeighbourCalls = unchanged()
    code_tries: CodeTries = unchanged()
    code_lock_s: CodeLock = unchanged()
    phone_countries: PhoneCountries = unchanged()
    phone_minutes: PhoneMinutes | None = unchanged()
    apartment_phone_minutes: ApartmentPhoneMinutes | None = unchanged()
    calls_kept_days: KeptDays | None = unchanged()
    access_records_kept_days: KeptDays | None = unchanged()
    message_limit_s: MessageLimit = unchanged()
    message_kept_days: MessageDays = unchanged()
    records_calls: Flag = unchanged()
    recording_kept_days: RecordingDays = unchanged()
    dispatch_account: AccountName | None = unchanged()

    EXAMPLE: ClassVar[dict[str, Any]] = {"ring_timeout_s": 40}


class NewHouse(Input):
    """A house. `company_id` may be left out by a company's own operator."""

    company_id: OwnCompany = None
    city_id: Id | None = None
    address: Name
    fias_id: FiasId | None = None
    latitude: Latitude | None = None
    longitude: Longitude | None = None

    EXAMPLE: ClassVar[dict[str, Any]] = {"company_id": 1, "city_id": 1, "address": "Lenina 1"}


class HouseChange(Input):
    """Fields of a house that may change."""

    city_id: Id | None = unchanged()
    address: Name = unchanged()
    fias_id: FiasId | None = unchanged()
    latitude: Latitude | None = unchanged()
    longitude: Longitude | None = unchanged()

    EXAMPLE: ClassVar[dict[str, Any]] = {"address": "Lenina 1A"}


class NewEntrance(Input):
    """An entrance of a house."""

    house_id: Id
    number: EntranceNumber

    EXAMPLE: ClassVar[dict[str, Any]] = {"house_id": 1, "number": 1}


class EntranceChange(Input):
    """Fields of an entrance that may change."""

    number: EntranceNumber = unchanged()

    EXAMPLE: ClassVar[dict[str, Any]] = {"number": 2}


class NewApartment(Input):
    """An apartment: its number is dialled, its label is what the door says instead; both are unique in the house."""

    entrance_id: Id
    number: ApartmentNumber
    label: Label | None = None
    floor: Floor | None = None

    EXAMPLE: ClassVar[dict[str, Any]] = {"entrance_id": 1, "number": 12}


class ApartmentChange(Input):
    """Fields of an apartment that may change."""

    entrance_id: Id = unchanged()
    number: ApartmentNumber = unchanged()
    label: Label | None = unchanged()
    floor: Floor | None = unchanged()
    probes_refused: Flag = unchanged()

    EXAMPLE: ClassVar[dict[str, Any]] = {"number": 13}


class NewPart(Input):
    """Apartments of one floor (or of no known floor) of one entrance: `1-4, 7`."""

    entrance: EntranceNumber
    floor: Floor | None = None
    numbers: Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class NewApartmentRange(Input):
    """Apartments of a house made together.

    Either a regular house: `first` to `last` run on through `floors`, then through `entrances`, as many on each floor.
    Or an irregular one: `parts` list what stands where. `labels` name doors that say something else than the number.
    """

    house_id: Id
    first: ApartmentNumber | None = None
    last: ApartmentNumber | None = None
    entrances: Annotated[list[EntranceNumber], Field(min_length=1, max_length=99)] | None = None
    floors: Annotated[int, Field(ge=1, le=200, strict=True)] = 1
    first_floor: Annotated[int, Field(ge=-9, le=100, strict=True)] = 1
    parts: Annotated[list[NewPart], Field(min_length=1, max_length=2000)] | None = None
    labels: dict[NumberAsKey, Label] = Field(default_factory=dict, json_schema_extra={"additionalProperties": False})
    make_entrances: Flag = False
    """Make entrances that are missing; without it a number that is no entrance is an error."""
    dry_run: Flag = False
    """Tell what would be made, and make nothing."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"house_id": 1, "first": 1, "last": 144, "entrances": [1, 2, 3, 4], "floors": 9}

    @model_validator(mode="after")
    def _regular_or_listed(self) -> Self:
        regular = (self.first, self.last, self.entrances)
        if any(value is None for value in regular) if self.parts is None else regular != (None, None, None):
            raise ValueError("give either first, last and entrances, or parts")
        return self


class NewGate(Input):
    """A gate or wicket that several houses share."""

    company_id: OwnCompany = None
    name: Name
    latitude: Latitude | None = None
    longitude: Longitude | None = None
    houses: Annotated[list[Id], Field(min_length=1, max_length=500)]

    EXAMPLE: ClassVar[dict[str, Any]] = {"name": "Yard gate", "houses": [1, 2]}


class GateChange(Input):
    """Fields of a gate that may change; `houses` replaces what there was."""

    name: Name = unchanged()
    latitude: Latitude | None = unchanged()
    longitude: Longitude | None = unchanged()
    houses: Annotated[list[Id], Field(min_length=1, max_length=500)] = unchanged()

    EXAMPLE: ClassVar[dict[str, Any]] = {"houses": [1, 2, 3]}


class CityQuery(NameQuery):
    """Cities with this name or FIAS id."""

    fias_id: FiasId | None = None


class CompanyQuery(NameQuery):
    """Companies of a city, with this name or billing id, active ones or the others."""

    city_id: FilterId = None
    billing_id: FilterText = None
    active: bool | None = None


class HouseQuery(PageQuery):
    """Houses of a company or a city, or with this address or FIAS id."""

    company_id: FilterId = None
    city_id: FilterId = None
    fias_id: FiasId | None = None
    address: FilterText = None
    sort: Literal["id", "-id", "address", "-address"] = "id"


class OfHouseQuery(PageQuery):
    """What is in a house or a company, or has this number."""

    company_id: FilterId = None
    house_id: FilterId = None
    number: FilterId = None
    """Rows with this number; it is unique in its house."""
    sort: Literal["id", "-id", "number", "-number"] = "id"


class ApartmentQuery(OfHouseQuery):
    """Apartments of a house or an entrance."""

    entrance_id: FilterId = None
    label: FilterText = None
    """Apartments whose door says exactly this."""
