"""What differs from host to host, read once from the names that kamailio-host.cfg defines."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from KSR import Ksr

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Settings:
    """Settings of one proxy; the names and their meaning are in kamailio/kamailio-host.cfg.example."""

    sip_address: str
    sip_port: int
    domain: str
    redis_url: str
    location_url: str
    emergency_numbers: frozenset[str]
    emergency_file: str
    default_city: str
    strangers_per_minute: int
    concierge_numbers: frozenset[str]
    unauth_window_s: int
    unauth_limit: int
    unauth_silent: int
    exempt_networks: tuple[Network, ...]
    wrong_passwords: int
    bar_s: int
    max_message_bytes: int
    new_calls_per_s: int
    silent_calls: int
    setup_ms: int
    retry_after_s: int
    account_fresh_s: int
    wake_s: int

    def is_exempt(self, address: str) -> bool:
        """Tell whether the address is in a network that is neither counted nor barred."""
        return bool(self.exempt_networks) and _is_in(address, self.exempt_networks)


@lru_cache(maxsize=4096)
def _is_in(address: str, networks: tuple[Network, ...]) -> bool:
    ip = ipaddress.ip_address(address.strip("[]"))
    return any(ip in network for network in networks)


def _text(ksr: Ksr, name: str) -> str:
    value = ksr.kx.get_def(name)
    if value is None:
        raise ValueError(
            f"{name} is not defined: set it in /etc/entryphone/kamailio-host.cfg (see kamailio-host.cfg.example)"
        )
    return value


def _number(ksr: Ksr, name: str, least: int = 1) -> int:
    text = _text(ksr, name)
    if not text.isdecimal() or int(text) < least:
        raise ValueError(
            f"{name} is {text!r}: set a whole number of at least {least} in /etc/entryphone/kamailio-host.cfg"
        )
    return int(text)


def _list(ksr: Ksr, name: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in _text(ksr, name).split(",") if part.strip())


def _networks(ksr: Ksr, name: str) -> tuple[Network, ...]:
    found = []
    for part in _list(ksr, name):
        try:
            found.append(ipaddress.ip_network(part))
        except ValueError as error:
            raise ValueError(f"{name} holds {part!r}, no network: write it as 10.0.0.0/8 ({error})") from error
    return tuple(found)


def read(ksr: Ksr) -> Settings:
    """Read every setting.

    Raises:
        ValueError: one is missing or makes no sense; Kamailio then refuses to start.
    """
    return Settings(
        sip_address=_text(ksr, "EP_SIP_ADDRESS"),
        sip_port=_number(ksr, "EP_SIP_PORT"),
        domain=_text(ksr, "EP_DOMAIN"),
        redis_url=_text(ksr, "EP_REDIS_URL"),
        location_url=_text(ksr, "EP_LOCATION_DB_URL"),
        emergency_numbers=frozenset(_list(ksr, "EP_EMERGENCY_NUMBERS")),
        emergency_file=_text(ksr, "EP_EMERGENCY_FILE"),
        default_city=_text(ksr, "EP_DEFAULT_CITY"),
        strangers_per_minute=_number(ksr, "EP_STRANGERS_PER_MINUTE", 0),
        concierge_numbers=frozenset(_list(ksr, "EP_CONCIERGE_NUMBERS")),
        unauth_window_s=_number(ksr, "EP_UNAUTH_WINDOW_S"),
        unauth_limit=_number(ksr, "EP_UNAUTH_LIMIT"),
        unauth_silent=_number(ksr, "EP_UNAUTH_SILENT"),
        exempt_networks=_networks(ksr, "EP_EXEMPT_NETWORKS"),
        wrong_passwords=_number(ksr, "EP_WRONG_PASSWORDS"),
        bar_s=_number(ksr, "EP_BAR_S"),
        max_message_bytes=_number(ksr, "EP_MAX_MESSAGE_BYTES"),
        new_calls_per_s=_number(ksr, "EP_NEW_CALLS_PER_S"),
        silent_calls=_number(ksr, "EP_SILENT_CALLS"),
        setup_ms=_number(ksr, "EP_SETUP_MS"),
        retry_after_s=_number(ksr, "EP_RETRY_AFTER_S"),
        account_fresh_s=_number(ksr, "EP_ACCOUNT_FRESH_S"),
        wake_s=_number(ksr, "EP_WAKE_S"),
    )
