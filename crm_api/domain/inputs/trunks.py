"""Trunks, and whom they serve, as they are asked for."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from crm_api.domain.inputs.base import PRINTABLE, FilterText, Flag, Host, Id, Input, PageQuery, unchanged
from crm_api.domain.inputs.people import Phone  # noqa: TC001 - pydantic reads the annotations

TrunkName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,31}$")]
TrunkUser = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+][A-Za-z0-9._@+-]{0,63}$")]
Realm = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,128}$")]
Secret = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=PRINTABLE)]
Micros = Annotated[int, Field(ge=0, le=1_000_000_000, strict=True)]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
TWILIO_NETWORKS: Final = (
    "54.172.60.0/30", "54.244.51.0/30", "54.171.127.192/30", "35.156.191.128/30",
    "54.65.63.192/30", "54.169.127.128/30", "54.252.254.64/30", "177.71.206.192/30",
)  # fmt: skip
"""Where Twilio's SIP calls come from (https://www.twilio.com/docs/sip-trunking/ip-addresses)."""


def _is_network(text: str) -> str:
    ip_network(text)
    return text


Network = Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f.:]{2,39}(/[0-9]{1,3})?$"), AfterValidator(_is_network)]
Networks = Annotated[list[Network], Field(min_length=1, max_length=64)]
BillingIncrement = Annotated[int, Field(ge=1, le=3600, strict=True)]


class NewTrunkRoute(Input):
    """Whom a trunk serves: a company or all, in a city or all. The lowest position is tried first.

    A trunk of the company itself comes before one for all, one of the city before one for all cities.
    `caller_number` is what the called phone shows; carriers let only numbers pass that are theirs.
    """

    company_id: Id | None = None
    city_id: Id | None = None
    position: Annotated[int, Field(ge=1, le=99, strict=True)] = 1
    caller_number: Phone | None = None


Routes = Annotated[list[NewTrunkRoute], Field(max_length=500)]


class NewTrunk(Input):
    """A carrier.

    `sip`: reached at `address`, over `transport`; with `username` and `password` when it asks for them, whose `realm`
    is that of its challenges (its address when left out); `registers`: we register there. `twilio_voice`: no SIP trunk,
    Twilio's voice API calls the phone, and us when it has answered; `username` is the account's SID, `password` its
    token, `networks` where its calls to us come from (those that Twilio tells, when left out), and each route has a
    `caller_number` of the account.
    `price_per_minute_micros`: price of a minute in millionths of the currency, for every `billing_increment_s` begun.
    """

    name: TrunkName
    kind: Literal["sip", "twilio_voice"] = "sip"
    address: Host | None = None
    transport: Literal["udp", "tcp"] = "udp"
    username: TrunkUser | None = None
    password: Secret | None = None
    realm: Realm | None = None
    registers: Flag = False
    number_format: Literal["e164", "digits"] = "e164"
    networks: Networks | None = None
    price_per_minute_micros: Micros = 0
    currency: Currency = "USD"
    billing_increment_s: BillingIncrement = 60
    enabled: Flag = True
    routes: Routes = Field(default_factory=list)

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "name": "carrier-a",
        "address": "sip.carrier-a.example:5060",
        "username": "84955550100",
        "password": "a secret of the carrier",
        "registers": True,
        "price_per_minute_micros": 14_000,
        "routes": [{"city_id": 1, "position": 1, "caller_number": "+78435550100"}],
    }

    @model_validator(mode="after")
    def _what_the_kind_needs(self) -> Self:
        if (self.kind == "sip") != (self.address is not None):
            raise ValueError("a trunk of kind sip, and only that, needs an address")
        if self.kind == "twilio_voice" and (self.username is None or self.password is None):
            raise ValueError("kind twilio_voice needs username (the account's SID) and password (its token)")
        if self.kind == "twilio_voice" and any(route.caller_number is None for route in self.routes):
            raise ValueError("each route of kind twilio_voice needs a caller_number: a number of the account")
        if self.kind == "sip" and self.networks is not None:
            raise ValueError("networks are for kind twilio_voice: a trunk of kind sip has its address")
        if self.username is None and (self.password is not None or self.registers):
            raise ValueError("a password or a registration needs a username")
        return self


class TrunkChange(Input):
    """Fields of a trunk that may change; `routes` replaces what there was.

    Where a password is kept it has to be given again with a new `username` or `realm`.
    """

    address: Host = unchanged()
    transport: Literal["udp", "tcp"] = unchanged()
    username: TrunkUser = unchanged()
    password: Secret = unchanged()
    realm: Realm = unchanged()
    registers: Flag = unchanged()
    number_format: Literal["e164", "digits"] = unchanged()
    networks: Networks = unchanged()
    price_per_minute_micros: Micros = unchanged()
    currency: Currency = unchanged()
    billing_increment_s: BillingIncrement = unchanged()
    enabled: Flag = unchanged()
    routes: Routes = unchanged()

    EXAMPLE: ClassVar[dict[str, Any]] = {"enabled": False}


class TrunkQuery(PageQuery):
    """Trunks by name or kind."""

    name: FilterText = None
    kind: Literal["sip", "twilio_voice"] | None = None
    sort: Literal["id", "-id", "name", "-name"] = "id"


class StatementQuery(Input):
    """The month of a statement; the present one when left out."""

    month: Annotated[str, StringConstraints(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$")] | None = None
    """Calendar month by UTC, `YYYY-MM`; left out: the present one."""
