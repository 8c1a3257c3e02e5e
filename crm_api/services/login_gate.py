"""How often a password may be tried: counted in the database, so that it holds for all workers and outlives Redis.

An attempt is written before the password is looked at, so that many at once are counted, too. What is refused here is
not counted: a window slides on, and nobody stays locked out by trying.
"""

from __future__ import annotations

import hashlib
import ipaddress
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import structlog

from crm_api.adapters.password_hashing import HashingBusyError
from crm_api.domain.problems import ProblemError
from crm_api.tables.people import LoginAttempt, Principal, Token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crm_api.services.context import Context

WINDOW_MS: Final = 15 * 60_000
MOST_HERE: Final = 5
"""Wrong passwords of one login from one address within the window."""
MOST_OF_LOGIN: Final = 50
"""... of one login from everywhere: more, so that a stranger cannot keep its owner out from one address.

Ten strangers could: so it does not count where its owner has logged in of late.
"""
KNOWN_MS: Final = 30 * 24 * 3_600_000
"""Whoever has logged in from a neighbourhood within this time is known there."""
SESSION_NAME: Final = "login from "
"""What the name of a session begins with; the address follows."""
MOST_FROM_ADDRESS: Final = 30
"""... from one address for any login: an office shares one."""
MOST_FROM_SITE: Final = 100
"""... from one site of IPv6 (RFC 6177: a /48 at most), whose addresses one customer may have all for himself."""

_log = structlog.get_logger("crm_api.login")


class TooManyLoginsError(ProblemError):
    """Wait, then try again."""

    kind = "too-many-logins"

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"Too many wrong logins: wait {wait_s} s, then try again")
        self.wait_s = wait_s


@dataclass(frozen=True)
class Attempt:
    """A login under way."""

    id: int
    login_hash: str
    address: str


class LoginGate:
    """Lets logins in to be checked, or not."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def enter(self, login: str, address: str) -> Attempt:
        """Write the attempt down, or raise `TooManyLoginsError`; a database that is away lets nobody in."""
        now_ms = self._context.now_ms()
        login_hash = hashlib.sha256(login.encode("utf-8", "replace")).hexdigest()
        place, site = network_of(address), site_of(address)
        begin_ms = now_ms - WINDOW_MS
        with self._context.database.transaction():
            LoginAttempt.delete().where(LoginAttempt.at_ms <= begin_ms).execute()
            made = LoginAttempt.create(login_hash=login_hash, address=place, site=site, at_ms=now_ms)
        attempt = Attempt(made.id, login_hash, place)
        of_login, from_address = LoginAttempt.login_hash == login_hash, LoginAttempt.address == place
        rules = [(of_login & from_address, MOST_HERE), (from_address, MOST_FROM_ADDRESS)]
        if site:
            rules.append((LoginAttempt.site == site, MOST_FROM_SITE))
        wait_ms = max(self._wait_ms(which, most, begin_ms) for which, most in rules)
        anywhere_ms = self._wait_ms(of_login, MOST_OF_LOGIN, begin_ms)
        if anywhere_ms > wait_ms and not self._is_known(login, address, now_ms):
            wait_ms = anywhere_ms
        if wait_ms > 0:
            with self._context.database.transaction():
                LoginAttempt.delete().where(LoginAttempt.id == attempt.id).execute()
            _log.warning("login refused", address=address, reason="too many wrong ones", wait_ms=wait_ms)
            raise TooManyLoginsError(-(-wait_ms // 1000))
        return attempt

    @contextmanager
    def turn(self, attempt: Attempt) -> Iterator[None]:
        """Hash within this, which comes after `enter`: who is refused there takes no turn from others.

        Raises:
            HashingBusyError: too many log in at once; the attempt does not count.
        """
        try:
            with self._context.passwords.turn():
                yield
        except HashingBusyError:
            with self._context.database.transaction():
                LoginAttempt.delete().where(LoginAttempt.id == attempt.id).execute()
            raise

    def succeeded(self, attempt: Attempt) -> None:
        """Forget the wrong passwords of this login from this address; call it in the login's transaction."""
        here = (LoginAttempt.login_hash == attempt.login_hash) & (LoginAttempt.address == attempt.address)
        LoginAttempt.delete().where(here).execute()

    @staticmethod
    def _is_known(login: str, address: str, now_ms: int) -> bool:
        """Say whether this login has succeeded of late from about here: sessions stay listed, ended ones too."""
        names: Any = (
            Token.select(Token.name)
            .join(Principal, on=(Principal.id == Token.principal_id))
            .where((Principal.login == login) & (Token.kind == "session") & (Token.created_at_ms > now_ms - KNOWN_MS))
            .distinct()
        )
        here = neighbourhood_of(address)
        return any(neighbourhood_of(name.removeprefix(SESSION_NAME)) == here for (name,) in names.tuples())

    @staticmethod
    def _wait_ms(which: Any, most: int, begin_ms: int) -> int:
        """Return how long until an attempt fits into the window, 0 when this one does."""
        query: Any = LoginAttempt.select(LoginAttempt.at_ms).where(which & (LoginAttempt.at_ms > begin_ms))
        moments = [at_ms for (at_ms,) in query.order_by(LoginAttempt.at_ms.desc()).limit(most + 1).tuples()]
        return moments[most] - begin_ms if len(moments) > most else 0


def network_of(address: str) -> str:
    """Return what is counted as one address: of IPv6 the /64, which one customer has for himself."""
    parsed = _parsed(address)
    return _network(parsed, 64) if isinstance(parsed, ipaddress.IPv6Address) else str(parsed or address[:64])


def site_of(address: str) -> str:
    """Return the /48 of an address of IPv6, "" of another."""
    parsed = _parsed(address)
    return _network(parsed, 48) if isinstance(parsed, ipaddress.IPv6Address) else ""


def neighbourhood_of(address: str) -> str:
    """Return where somebody is who may get another address each day: the /24 of IPv4, the /64 of IPv6."""
    parsed = _parsed(address)
    return _network(parsed, 24) if isinstance(parsed, ipaddress.IPv4Address) else network_of(address)


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    return parsed if isinstance(parsed, ipaddress.IPv4Address) else parsed.ipv4_mapped or parsed


def _network(address: ipaddress.IPv4Address | ipaddress.IPv6Address, bits: int) -> str:
    kind = ipaddress.IPv4Network if isinstance(address, ipaddress.IPv4Address) else ipaddress.IPv6Network
    return str(kind((int(address), bits), strict=False))
