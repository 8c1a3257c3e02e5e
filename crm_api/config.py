"""Configuration of the CRM: one JSON file (`crm.json`), every field described here."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path  # noqa: TC003 - pydantic reads the annotation
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

import crm_api.domain.zones  # noqa: F401 - whoever reads the configuration has the pinned time zones, before any is used

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_SECRET: Final = re.compile("token|secret|password")
_PASSWORD_IN_URL: Final = re.compile("://[^/]*@")
_ADDRESS: Final = r"^[^\s:]+:[0-9]{1,5}$"


def _network(text: str) -> str:
    return str(ip_network(text))


def _url_prefix(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in {"http", "https"} or not url.hostname or {"@", "?", "#", "\\"} & set(text):
        raise ValueError("give scheme, host and path alone, such as https://push.maker.example/devices/")
    return text


class BootstrapToken(BaseModel):
    """A token that is there after `migrate`: for a lab or a deployment that makes its own secrets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    kind: Literal["platform", "service"]
    token: Annotated[str, Field(min_length=32)]


class BillingConfig(BaseModel):
    """Billing: its HTTP interface, or a file that it exports."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str | None = None
    token: str = ""
    csv: Path | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.url is None) == (self.csv is None):
            raise ValueError("give either url or csv")
        return self


class SmsConfig(BaseModel):
    """Twilio's account, and the number that messages come from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    account_sid: Annotated[str, Field(pattern="^AC[0-9a-f]{32}$")]
    auth_token: Annotated[str, Field(min_length=16)]
    from_number: Annotated[str, Field(pattern=r"^\+[1-9][0-9]{6,14}$")]
    api_url: str = "https://api.twilio.com"


class ManagerConfig(BaseModel):
    """The manager interface of one Asterisk node."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str
    port: Annotated[int, Field(ge=1, le=65535)] = 5038
    user: str = "entryphone"
    secret: str


class ProbesConfig(BaseModel):
    """Who calls, through which proxy, and where both put and find the recordings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    asterisk: tuple[ManagerConfig, ...]
    kamailio: Annotated[str, Field(pattern=_ADDRESS)]
    """`host:port`, as Asterisk calls it."""
    recordings: Path
    """What Asterisk knows as `/var/lib/entryphone/probes`."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FcmConfig(_Part):
    """Firebase: the project and its service account, from the file that Google gives out."""

    project_id: str
    client_email: str
    private_key_file: Path
    """PEM of the service account's key."""
    url: str = "https://fcm.googleapis.com"
    token_url: str = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address


class ApnsConfig(_Part):
    """Apple: the key of the developer's account; `topic` is the app's bundle id."""

    team_id: str
    key_id: str
    private_key_file: Path
    """The .p8 file that Apple gives out."""
    topic: str
    url: str = "https://api.push.apple.com"


class HmsConfig(_Part):
    """Huawei: the app's id and secret."""

    app_id: str
    app_secret: str
    url: str = "https://push-api.cloud.huawei.com"
    token_url: str = "https://oauth-login.cloud.huawei.com/oauth2/v3/token"  # noqa: S105 - an address


class WebhookPushConfig(_Part):
    """Webhooks of makers of apps: tokens are URLs below one of `url_prefixes`; bodies are signed.

    A prefix names a server by scheme, host and port, and of its paths one with all that is below it.
    """

    secret: Annotated[str, Field(min_length=32)]
    url_prefixes: Annotated[tuple[Annotated[str, AfterValidator(_url_prefix)], ...], Field(min_length=1)]


class PushConfig(_Part):
    """Push services; one that is left out is not used, and its tokens wait."""

    fcm: FcmConfig | None = None
    apns: ApnsConfig | None = None
    hms: HmsConfig | None = None
    webhook: WebhookPushConfig | None = None


class CrmConfig(BaseModel):
    """What differs per host. Unknown fields are errors: a misspelt setting must not be silently ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    database_url: str
    """`sqlite:////absolute/path.db` or `postgresql://user:password@host:port/name`; to another host with
    `?sslmode=verify-full&sslrootcert=/path/ca.pem`, else nobody knows whom it talks to."""

    redis_url: Annotated[str, Field(pattern="^(redis|rediss|unix)://")]
    """`redis://host:port/0`."""

    sip_domain: Annotated[str, Field(min_length=1)]
    """SIP domain and digest realm: HA1 depends on it, so it must never change."""

    encryption_key_file: Path
    """Key for panels' credentials; made on the first start when it is missing. Keep a copy of it."""

    bind: str = "127.0.0.50:8080"
    """Where the API listens."""

    workers: Annotated[int, Field(ge=1, le=64)] = 2
    """Processes of the API."""

    threads: Annotated[int, Field(ge=1, le=64)] = 4
    """Threads of each process: a panel that answers slowly holds a thread, not the process."""

    trusted_proxies: tuple[str, ...] = ()
    """Addresses of proxies before the API: only their `X-Forwarded-For` is believed (logins are counted by address)."""

    bootstrap_tokens: tuple[BootstrapToken, ...] = ()
    """Tokens that `migrate` makes sure of. Others are made by `token create`, which shows them once."""

    push: PushConfig = PushConfig()
    """Who wakes sleeping apps."""

    public_url: str = ""
    """Base URL of this API as residents' apps reach it, for links in pushes; empty: pushes carry no links."""

    webhook_networks: tuple[Annotated[str, AfterValidator(_network)], ...] = ()
    """Networks such as `10.20.0.0/16` that webhooks may go to besides the internet: customers choose the addresses."""

    device_networks: tuple[Annotated[str, AfterValidator(_network)], ...] = ()
    """Networks in which panels and relays may be although their addresses are loopback, link-local, this host's own or
    a translator's (`64:ff9b:1::/48`): customers choose the addresses. Others need no naming."""

    billing: BillingConfig | None = None
    """Where the customers are known; None: companies are kept by the office alone."""

    sms: SmsConfig | None = None
    """How residents are sent SMS; None: nobody is."""

    probes: ProbesConfig | None = None
    """How handsets are called; None: no probe is."""

    panel_codes_per_s: Annotated[float, Field(gt=0, le=1000)] = 50.0
    """How many panels a second are told their codes."""

    panels_asked_every_s: Annotated[float, Field(ge=1, le=86_400)] = 300.0
    """From one look which panels are registered to the next: so old may their `last_seen_at_ms` be."""

    sip_proxy: Annotated[str, Field(pattern=_ADDRESS)] | None = None
    """`host:port` of Kamailio, for test calls to the emergency number."""

    smtp_url: Annotated[str, Field(pattern="^smtps?://")] | None = None
    """Mail server for notices of emergency calls: `smtps://[user:password@]host[:port]` (TLS from the start), or
    `smtp://`, with a user STARTTLS. Certificates are checked; in clear goes only what has no user and `smtp://`."""

    mail_from: str = "entryphone@localhost"
    """Sender of mail."""

    twilio_account_sid: str | None = None
    """Twilio account for short messages; with `twilio_token` and `sms_from`."""

    twilio_token: str | None = None
    """Auth token of that account."""

    sms_from: str | None = None
    """Number (E.164) that short messages come from."""

    twilio_api_url: str = "https://api.twilio.com"
    """Where Twilio's API is."""

    twilio_sip_address: str | None = None
    """Where Twilio's voice API finds Kamailio when a phone has answered: `host[:port]`, parameters of a SIP URI
    allowed; with `public_url`, which it asks and tells. None: no phone is called through it."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that is logged, to standard error."""


class ConfigError(Exception):
    """The file is missing or wrong; the sentence names it and every wrong field, and no secret."""


def read_config(path: Path) -> CrmConfig:
    """Read and check the file.

    Raises:
        ConfigError: it cannot be read, or fields are wrong.
    """
    try:
        return CrmConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; give the right path with --config") from error
    except ValidationError as error:
        wrong = "; ".join(map(_told, error.errors()))
        raise ConfigError(f"{path}: {wrong} (crm_api/config.py describes every field)") from None


def _told(error: ErrorDetails) -> str:
    """One wrong field, its value unless it is a secret, and what would be right."""
    field = ".".join(map(str, error["loc"])) or "file"
    value = error["input"]
    if error["type"] == "missing":
        return f"{field} is missing"
    if error["type"] == "extra_forbidden":
        return f"{field}: there is no such field"
    shown = isinstance(value, str | int | float | None) and _SECRET.search(field) is None
    return f"{field}{_shown(value) if shown else ''}: {error['msg']}"


def _shown(value: object) -> str:
    return "=" + (repr(_PASSWORD_IN_URL.sub("://...@", value)) if isinstance(value, str) else repr(value))
