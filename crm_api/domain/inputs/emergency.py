"""What is asked about emergency calls: centres, numbers, rules, and what the call path asks."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, StringConstraints

from crm_api.domain import phones
from crm_api.domain.inputs.base import (
    PRINTABLE,
    AccountName,
    FilterId,
    FilterText,
    Flag,
    Id,
    Input,
    Name,
    PageQuery,
    unchanged,
)


def _in_e164(text: str) -> str:
    return phones.e164(text)


E164 = Annotated[str, StringConstraints(min_length=3, max_length=32), AfterValidator(_in_e164)]
"""A phone number; kept in E.164."""
CentreNumber = Annotated[str, StringConstraints(pattern=r"^\+?[0-9]{2,15}$")]
"""As the trunk is told it: `112`, or a number of the public network."""
ShortNumber = Annotated[str, StringConstraints(pattern=r"^[0-9]{2,6}$")]
TrunkName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,31}$")]
Email = Annotated[str, StringConstraints(pattern=r"^[^@\s\x00-\x1f,;<>]{1,64}@[A-Za-z0-9.-]{1,190}$")]
WebUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s\x00-\x1f]{3,500}$")]
Secret = Annotated[str, StringConstraints(min_length=16, max_length=200, pattern=PRINTABLE)]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=200, pattern=PRINTABLE)]
CallerIn = Literal["from", "asserted", "both"]
KeepS = Annotated[int, Field(ge=0, le=2_592_000, strict=True)]
Percent = Annotated[int, Field(ge=0, le=100, strict=True)]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]


class CentreTrunk(Input):
    """A trunk to a dispatch centre.

    `caller_in`: where it looks for the caller's number: the From header, P-Asserted-Identity (RFC 3325), or both.
    """

    trunk: TrunkName
    caller_in: CallerIn = "both"
    sends_location: Flag = True

    EXAMPLE: ClassVar[dict[str, Any]] = {"trunk": "city-line", "caller_in": "both", "sends_location": True}


Trunks = Annotated[list[CentreTrunk], Field(max_length=8)]


class NewEmergencyCentre(Input):
    """The dispatch centre of a city. Its trunks are tried in order; after them its public number on any trunk."""

    city_id: Id
    name: Name
    number: CentreNumber = "112"
    public_number: E164 | None = None
    test_number: CentreNumber | None = None
    country: Country = "RU"
    trunks: Trunks = Field(default_factory=list)
    records_calls: Flag = False
    keep_s: KeepS = 86_400
    low_percent: Percent = 20
    email: Email | None = None
    webhook_url: WebUrl | None = None
    webhook_secret: Secret | None = None
    sms_number: E164 | None = None

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "city_id": 1,
        "name": "Riverside dispatch centre",
        "number": "112",
        "public_number": "+74951120112",
        "trunks": [{"trunk": "city-line", "caller_in": "both", "sends_location": True}],
        "email": "duty@112.example",
    }


class EmergencyCentreChange(Input):
    """Fields of a centre that may change."""

    name: Name = unchanged()
    number: CentreNumber = unchanged()
    public_number: E164 | None = unchanged()
    test_number: CentreNumber | None = unchanged()
    country: Country = unchanged()
    trunks: Trunks = unchanged()
    records_calls: Flag = unchanged()
    keep_s: KeepS = unchanged()
    low_percent: Percent = unchanged()
    email: Email | None = unchanged()
    webhook_url: WebUrl | None = unchanged()
    webhook_secret: Secret | None = unchanged()
    sms_number: E164 | None = unchanged()

    EXAMPLE: ClassVar[dict[str, Any]] = {"keep_s": 43_200}


class CentreQuery(PageQuery):
    """Centres of a city."""

    city_id: FilterId = None


class NewCityNumber(Input):
    """A number of a city's pool; at most one of a city is shared by all whom no other is left for."""

    city_id: Id
    number: E164
    trunk: TrunkName
    shared: Flag = False
    in_service: Flag = True

    EXAMPLE: ClassVar[dict[str, Any]] = {"city_id": 1, "number": "+74951110001", "trunk": "city-line"}


class CityNumberChange(Input):
    """Fields of a number that may change. One that goes out of service keeps its panel until the lease ends."""

    trunk: TrunkName = unchanged()
    in_service: Flag = unchanged()

    EXAMPLE: ClassVar[dict[str, Any]] = {"in_service": False}


class CityNumberQuery(PageQuery):
    """Numbers of a city."""

    city_id: FilterId = None
    number: FilterText = None


class NumberUploadQuery(Input):
    """How a file of numbers is taken."""

    dry_run: bool = False


class TwilioNumbers(Input):
    """Where to take a Twilio account's numbers from. The token is used for this once and not kept."""

    account_sid: Annotated[str, StringConstraints(pattern=r"^AC[0-9a-f]{32}$")]
    token: Annotated[str, StringConstraints(min_length=16, max_length=64, pattern=PRINTABLE)]
    trunk: TrunkName
    dry_run: Flag = False

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "account_sid": "AC" + "0" * 32,
        "token": "the account's auth token",
        "trunk": "twilio",
        "dry_run": True,
    }


MappedNumber = Literal["101", "102", "103", "104"]
Mapped = Annotated[list[MappedNumber], Field(max_length=4)]


def _all_mapped() -> list[MappedNumber]:
    return ["101", "102", "103", "104"]


class NewEmergencyRules(Input):
    """What a company wants of emergency calls from its panels and apps.

    `numbers`: beside 112, which of 101 to 104 are emergency numbers where no apartment has them. `sos_number`: what the
    panels' SOS button dials. `from_apps`: 112 from a resident's app goes out for his own house, or is refused.
    """

    numbers: Mapped = Field(default_factory=_all_mapped)
    sos_number: ShortNumber | None = None
    from_apps: Literal["own_house", "refused"] = "own_house"
    email: Email | None = None
    webhook_url: WebUrl | None = None
    webhook_secret: Secret | None = None

    EXAMPLE: ClassVar[dict[str, Any]] = {"numbers": ["101", "102", "103"], "sos_number": "911"}


class LeaseQuery(PageQuery):
    """Leases; newest first unless asked otherwise."""

    company_id: FilterId = None
    city_id: FilterId = None
    number: FilterText = None
    panel: FilterText = None
    sort: Literal["id", "-id"] = "-id"


class LeaseRelease(Input):
    """Why a number is taken from a panel before its time."""

    reason: Reason

    EXAMPLE: ClassVar[dict[str, Any]] = {"reason": "the panel was stolen"}


class EmergencyCallQuery(PageQuery):
    """Emergency calls; newest first unless asked otherwise."""

    company_id: FilterId = None
    city_id: FilterId = None
    number: FilterText = None
    panel: FilterText = None
    direction: Literal["out", "back"] | None = None
    sort: Literal["id", "-id"] = "-id"


class FindingQuery(PageQuery):
    """Findings of the daily check."""

    company_id: FilterId = None
    problem: Literal["no_city", "no_centre", "no_trunk", "no_number", "no_address"] | None = None


class NoticeQuery(PageQuery):
    """Notices; newest first unless asked otherwise."""

    company_id: FilterId = None
    call_id: FilterText = None
    sort: Literal["id", "-id"] = "-id"


class WantedLease(Input):
    """The call path asks for a number (docs/contracts.md, 9)."""

    panel: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=PRINTABLE)]
    call_id: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=PRINTABLE)]

    EXAMPLE: ClassVar[dict[str, Any]] = {"panel": "p10001", "call_id": "3f1c9a0e@10.20.30.40"}


class CallBack(Input):
    """The call path asks who holds the number that a dispatcher has dialled."""

    number: Annotated[str, StringConstraints(pattern=r"^\+?[0-9]{2,15}$")]
    call_id: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=PRINTABLE)]

    EXAMPLE: ClassVar[dict[str, Any]] = {"number": "+74951110001", "call_id": "77aa@203.0.113.5"}


class NewTestCall(Input):
    """Which panel the emergency path is tried from."""

    panel: AccountName

    EXAMPLE: ClassVar[dict[str, Any]] = {"panel": "p10001"}
