"""Who takes part: the panels that call and the handsets that ring, as SIPp injection files.

Every simulated device has a loopback address of its own (127.1.0.0/16 panels, 127.2-4.0.0/16 handsets A, B, C), as
devices have in the field, so limits per source address see what they would see there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lab.peers.digest import Credentials

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_HOSTS_PER_BLOCK: Final = 250
ROLES: Final = ("a", "b", "c")
"""A answers and presses `#`, B and C ring until they are cancelled."""


@dataclass(frozen=True)
class Account:
    """A SIP account and its password."""

    name: str
    password: str

    @property
    def credentials(self) -> Credentials:
        """The account as a scripted peer takes it."""
        return Credentials(self.name, self.password)


@dataclass(frozen=True)
class Household:
    """One panel with one apartment behind it and the apartment's three accounts, in the order of `ROLES`."""

    panel: Account
    dialled: str
    handsets: tuple[Account, Account, Account]


def panel_address(index: int) -> str:
    """Loopback address of the panel with this index, from 0."""
    return f"127.1.{index // _HOSTS_PER_BLOCK}.{index % _HOSTS_PER_BLOCK + 1}"


def handset_address(role: str, index: int) -> str:
    """Loopback address of the handset of this role in the household with this index, from 0."""
    return f"127.{ROLES.index(role) + 2}.{index // _HOSTS_PER_BLOCK}.{index % _HOSTS_PER_BLOCK + 1}"


def write_panels(path: Path, households: Sequence[Household], domain: str, dialled: str = "", first: int = 0) -> None:
    """Injection file of calls: every panel in turn, again from the start after the last.

    Args:
        path: the file.
        households: who calls.
        domain: SIP domain.
        dialled: what all of them dial; each its own apartment when empty.
        first: index of the first household, for its address.
    """
    lines = [
        ";".join(
            (
                household.panel.name,
                household.panel.password,
                dialled or household.dialled,
                panel_address(index),
                domain,
                "",
            )
        )
        for index, household in enumerate(households, first)
    ]
    path.write_text("\n".join(["SEQUENTIAL", *lines, ""]))


def write_registrations(path: Path, households: Sequence[Household], role: str, domain: str, *, shared: bool) -> None:
    """Injection file of registrations of one role's handsets.

    Args:
        path: the file.
        households: whose handsets.
        role: which of the three.
        domain: SIP domain.
        shared: register the contact under the panel's name instead of the account's: the bare reference has one AOR
            with three contacts for each panel, and no accounts.
    """
    lines = []
    for index, household in enumerate(households):
        own = household.handsets[ROLES.index(role)]
        account = household.panel if shared else own
        lines.append(f"{account.name};{account.password};{own.name};{handset_address(role, index)};{domain};")
    path.write_text("\n".join(["SEQUENTIAL", *lines, ""]))
