"""How often a password may be tried: counted in the database, so that it holds for all workers and outlives Redis.

An attempt is written before the password is looked at, so that many at once are counted, too. What is refused here is
not counted: a window slides on, and nobody stays locked out by trying.
"""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import structlog

from crm_api.domain.problems import ProblemError
from crm_api.tables.people import LoginAttempt

if TYPE_CHECKING:
    from crm_api.services.context import Context

WINDOW_MS: Final = 15 * 60_000
MOST_HERE: Final = 5
"""Wrong passwords of one login from one address within the window."""
MOST_OF_LOGIN: Final = 50
"""... of one login from everywhere: more, so that a stranger cannot keep its owner out from one address."""
MOST_FROM_ADDRESS: Final = 30
"""... from one address for any login: an office shares one."""

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
        login_hash, place = hashlib.sha256(login.encode("utf-8", "replace")).hexdigest(), network_of(address)
        begin_ms = now_ms - WINDOW_MS
        with self._context.database.transaction():
            LoginAttempt.delete().where(LoginAttempt.at_ms <= begin_ms).execute()
            made = LoginAttempt.create(login_hash=login_hash, address=place, at_ms=now_ms)
        attempt = Attempt(made.id, login_hash, place)
        of_login, from_address = LoginAttempt.login_hash == login_hash, LoginAttempt.address == place
        rules = ((of_login & from_address, MOST_HERE), (of_login, MOST_OF_LOGIN), (from_address, MOST_FROM_ADDRESS))
        wait_ms = max(self._wait_ms(which, most, begin_ms) for which, most in rules)
        if wait_ms > 0:
            with self._context.database.transaction():
                LoginAttempt.delete().where(LoginAttempt.id == attempt.id).execute()
            _log.warning("login refused", address=address, reason="too many wrong ones", wait_ms=wait_ms)
            raise TooManyLoginsError(-(-wait_ms // 1000))
        return attempt

    def succeeded(self, attempt: Attempt) -> None:
        """Forget the wrong passwords of this login from this address; call it in the login's transaction."""
        here = (LoginAttempt.login_hash == attempt.login_hash) & (LoginAttempt.address == attempt.address)
        LoginAttempt.delete().where(here).execute()

    @staticmethod
    def _wait_ms(which: Any, most: int, begin_ms: int) -> int:
        """Return how long until an attempt fits into the window, 0 when this one does."""
        query: Any = LoginAttempt.select(LoginAttempt.at_ms).where(which & (LoginAttempt.at_ms > begin_ms))
        moments = [at_ms for (at_ms,) in query.order_by(LoginAttempt.at_ms.desc()).limit(most + 1).tuples()]
        return moments[most] - begin_ms if len(moments) > most else 0


def network_of(address: str) -> str:
    """Return what is counted as one address: of IPv6 the /64, which one customer has for himself."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed), 64), strict=False))
