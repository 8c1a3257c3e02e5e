"""What panels of different makers tell of the handsets behind them, and how each is asked to ring one.

No maker's HTTP interface tells whether the panel is in a call: that is known from our own calls (Redis). What can be
asked is asked before a probe; a panel that does not answer is not called.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

from crm_api.adapters.panel_drivers import PanelHttp, PanelRefusedError, not_as_it_should

if TYPE_CHECKING:
    from crm_api.adapters.panel_drivers import PanelAccess
    from crm_api.domain.network_addresses import Networks

Naming = Literal["header", "user"]
"""Where a call names the apartment whose handset it is for: in `X-Entryphone-Target`, or as user of the request URI."""

Line = Literal["ok", "short", "open"]
"""What a panel makes of the wires to an apartment's handset."""


@dataclass(frozen=True)
class PanelSaid:
    """What a panel says before a probe.

    Args:
        problem: why it must not be called now; None: nothing speaks against it.
        line_level: of the apartment's line, in the maker's own steps; None: not told.
        line: what the panel makes of the apartment's line; None: it does not say. Beward tells a level, and no public
            source which levels mean a short or an open line, so its driver never sets this.
    """

    problem: str | None = None
    line_level: int | None = None
    line: Line | None = None


class PanelHandsets(Protocol):
    """Handsets behind one maker's panels."""

    naming: Naming
    asks: bool
    """Whether the maker lets us ask."""

    def look(self, access: PanelAccess, apartment: str) -> PanelSaid:
        """Ask for the state of panel and line; raise `PanelRefusedError` unless the panel answers as it should."""


class BewardHandsets:
    """Beward DKS: `sip_cgi?action=regstatus`, `intercom_cgi?action=linelevel`; rings the apartment that is called."""

    naming: Naming = "user"
    asks = True
    REGISTERED: Final = "AccountReg1=1"

    def __init__(self, networks: Networks = ()) -> None:
        self._http = PanelHttp(networks)

    def look(self, access: PanelAccess, apartment: str) -> PanelSaid:
        """Ask whether its SIP account is registered, and for the level of the apartment's line (a whole number)."""
        accounts = self._http.get(access, "/cgi-bin/sip_cgi?action=regstatus&AccountReg").split()
        if not any(line.startswith("AccountReg1=") for line in accounts):
            raise PanelRefusedError(f"the panel at {access.address} does not say whether it is registered")
        if self.REGISTERED not in accounts:
            return PanelSaid(f"the panel at {access.address} says that it is not registered")
        level = self._http.get(access, f"/cgi-bin/intercom_cgi?action=linelevel&Apartment={apartment}").strip()
        if not (level.isascii() and level.isdigit()):
            raise PanelRefusedError(not_as_it_should(access, level, "a line level"))
        return PanelSaid(None, int(level))


class GenericHandsets:
    """A panel of which nothing more is known: it is told the apartment in our own header."""

    naming: Naming = "header"
    asks = False

    def look(self, access: PanelAccess, apartment: str) -> PanelSaid:  # noqa: ARG002 - there is nobody to ask
        """Say nothing."""
        return PanelSaid()


def panel_handsets(networks: Networks = ()) -> dict[str, PanelHandsets]:
    """Return every driver under the name that panels have it by; `networks` as of `PanelHttp`."""
    return {"beward": BewardHandsets(networks), "generic": GenericHandsets()}
