"""What may be asked of the CRM: one model for each request body and query; an unknown field is an error."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from crm_api.domain.kinds import AccountKind, HouseholdKind  # noqa: TC001 - pydantic reads the annotations

MAX_ID = 2**63 - 1
MAX_MS = 2**53

PRINTABLE = r"^[^\x00-\x1f\x7f]+$"
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=PRINTABLE)]
Id = Annotated[int, Field(ge=1, le=MAX_ID, strict=True)]
Ms = Annotated[int, Field(ge=0, le=MAX_MS, strict=True)]
AccountName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,31}$")]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Z]{2})?$")]
Dtmf = Annotated[str, StringConstraints(pattern=r"^[0-9A-D*#]{1,8}$")]
Address = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?$")]
Flag = Annotated[bool, Field(strict=True)]


def _known_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("give a time zone of the IANA database, such as Europe/Moscow")
    return name


class Input(BaseModel):
    """Base: nothing unknown is accepted."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NewCity(Input):
    """A city."""

    name: Name
    fias_id: Name | None = None
    time_zone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    dispatch_account: AccountName | None = None


class CityChange(Input):
    """Fields of a city that may change."""

    name: Name = ""
    fias_id: Name | None = None
    time_zone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    dispatch_account: AccountName | None = None


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

    name: Name = ""
    city_id: Id | None = None
    language: Language = "en"
    active: Flag = True
    ring_timeout_s: Annotated[int, Field(ge=5, le=120, strict=True)] = 30
    talk_limit_s: Annotated[int, Field(ge=10, le=3600, strict=True)] = 120
    dispatch_account: AccountName | None = None


class NewHouse(Input):
    """A house. `company_id` may be left out by a company's own operator."""

    company_id: Id | None = None
    city_id: Id | None = None
    address: Name


class HouseChange(Input):
    """Fields of a house that may change."""

    city_id: Id | None = None
    address: Name = ""


class NewEntrance(Input):
    """An entrance of a house."""

    house_id: Id
    number: Annotated[int, Field(ge=1, le=99, strict=True)]


class EntranceChange(Input):
    """Fields of an entrance that may change."""

    number: Annotated[int, Field(ge=1, le=99, strict=True)]


class NewApartment(Input):
    """An apartment; its number is unique in the house."""

    entrance_id: Id
    number: Annotated[int, Field(ge=1, le=9999, strict=True)]


class ApartmentChange(Input):
    """Fields of an apartment that may change."""

    entrance_id: Id = 1
    number: Annotated[int, Field(ge=1, le=9999, strict=True)] = 1


class NewAccount(Input):
    """A SIP account. Without `account` a name is made; without `password` a strong one is made and shown once."""

    account: AccountName | None = None
    kind: AccountKind
    apartment_id: Id | None = None
    company_id: Id | None = None
    enabled: Flag = True


class AccountChange(Input):
    """Fields of an account that may change."""

    enabled: Flag


class NewPlace(Input):
    """What a panel serves: one entrance, or a whole house, under a code (docs/api.md, Numbering)."""

    entrance_id: Id | None = None
    house_id: Id | None = None
    code: Annotated[str, StringConstraints(pattern=r"^([1-9][0-9])?$")] = ""

    @model_validator(mode="after")
    def _one_of_two(self) -> NewPlace:
        if (self.entrance_id is None) == (self.house_id is None):
            raise ValueError("give either entrance_id or house_id")
        return self


class NewDoor(Input):
    """A door of a panel. `dtmf` is needed when the method is `dtmf`."""

    output: Annotated[int, Field(ge=1, le=16, strict=True)] = 1
    name: Name = "Door"
    method: Literal["dtmf", "http"]
    dtmf: Dtmf | None = None

    @model_validator(mode="after")
    def _dtmf_given(self) -> NewDoor:
        if self.method == "dtmf" and self.dtmf is None:
            raise ValueError("method dtmf needs dtmf: the digits that open this door")
        return self


class Credentials(Input):
    """User and password of the panel's web interface."""

    user: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^:\x00-\x1f\x7f]+$")]
    password: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=PRINTABLE)]


class NewPanel(Input):
    """A panel of an entrance, or a gate that serves several places. `account` is an account of kind panel."""

    account: AccountName
    name: Name
    driver: Literal["beward", "generic"] = "generic"
    address: Address | None = None
    credentials: Credentials | None = None
    places: Annotated[list[NewPlace], Field(min_length=1, max_length=88)]
    doors: Annotated[list[NewDoor], Field(max_length=16)] = []


class PanelChange(Input):
    """Fields of a panel that may change; `places` and `doors` replace what there was."""

    name: Name = ""
    driver: Literal["beward", "generic"] = "generic"
    address: Address | None = None
    credentials: Credentials | None = None
    places: Annotated[list[NewPlace], Field(min_length=1, max_length=88)] = []
    doors: Annotated[list[NewDoor], Field(max_length=16)] = []


class NewBlockKind(Input):
    """A kind of block and what it stops."""

    company_id: Id | None = None
    name: Name
    stops_calls: Flag
    stops_opening: Flag


class BlockKindChange(Input):
    """Fields of a block kind that may change."""

    name: Name = ""
    stops_calls: Flag = False
    stops_opening: Flag = False


class NewBlock(Input):
    """A block put on an apartment, from now or from `starts_at_ms`, for good or until `ends_at_ms`."""

    apartment_id: Id
    kind_id: Id
    reason: Name
    starts_at_ms: Ms | None = None
    ends_at_ms: Ms | None = None


class BlockChange(Input):
    """Fields of a block that may change."""

    reason: Name = ""
    ends_at_ms: Ms | None = None


class NewTarget(Input):
    """A line of a stage: a kind of the household's accounts (or `all`), or one account by name."""

    kind: Literal["all"] | HouseholdKind | None = None
    account: AccountName | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> NewTarget:
        if (self.kind is None) == (self.account is None):
            raise ValueError("give either kind or account")
        return self


class NewStage(Input):
    """A stage of a ring plan."""

    ring_timeout_s: Annotated[int, Field(ge=1, le=120, strict=True)]
    targets: Annotated[list[NewTarget], Field(min_length=1, max_length=30)]


class NewRingPlan(Input):
    """A kept ring plan: of an apartment, of a house, or (neither given) a company's default."""

    company_id: Id | None = None
    house_id: Id | None = None
    apartment_id: Id | None = None
    name: Name = "Ring plan"
    stages: Annotated[list[NewStage], Field(min_length=1, max_length=8)]


class RingPlanChange(Input):
    """Fields of a ring plan that may change; `stages` replaces what there was."""

    name: Name = ""
    stages: Annotated[list[NewStage], Field(min_length=1, max_length=8)] = []


class DoorOpening(Input):
    """A resident pressed a key while talking (docs/contracts.md §6)."""

    call_id: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    panel: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    dialled: Annotated[str, StringConstraints(min_length=1, max_length=32)]
    account: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    key: Annotated[str, StringConstraints(max_length=8)] = "#"


class PageQuery(Input):
    """Query of every list: at most `limit` rows after the row `after`."""

    after: Annotated[int, Field(ge=0, le=MAX_ID)] = 0
    limit: Annotated[int, Field(ge=1, le=200)] = 50


FilterId = Annotated[int, Field(ge=1, le=MAX_ID)] | None


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


class AccountQuery(PageQuery):
    """Accounts of a company, an apartment, or a kind."""

    company_id: FilterId = None
    apartment_id: FilterId = None
    kind: AccountKind | None = None
    account: str | None = None


class OfCompanyQuery(PageQuery):
    """Rows of a company."""

    company_id: FilterId = None
    name: str | None = None


class NameQuery(PageQuery):
    """Rows with this name."""

    name: str | None = None


class OfApartmentQuery(PageQuery):
    """Rows of an apartment."""

    company_id: FilterId = None
    apartment_id: FilterId = None


class RecordQuery(PageQuery):
    """Records, newest first, of an apartment or a panel's account."""

    after: Annotated[int, Field(ge=0, le=MAX_ID)] = 0
    apartment: FilterId = None
    panel: str | None = None
