"""Panels that keep codes, and what the scheduler does for them: a renewal, a step."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from crm_api.adapters.panel_drivers import PanelRefusedError
from scheduler.code_steps import TellPanels

if TYPE_CHECKING:
    from crm_api.adapters.panel_drivers import PanelAccess
    from crm_api.bootstrap import Services
    from tests.unit.crm.conftest import Clock, Town

MONDAY, NEXT_MONDAY = "2026-11-23T05:00", "2026-11-30T05:00"
DAY_MS = 86_400_000


@dataclass
class FakePanels:
    """Panels by address that keep codes at places; `offline` ones do not answer, of `odd` ones the driver raises."""

    kept: dict[str, dict[int, str]] = field(default_factory=dict)
    offline: set[str] = field(default_factory=set)
    odd: set[str] = field(default_factory=set)
    commands: int = 0

    def set_code(self, access: PanelAccess, place: int, code: str) -> None:
        self._reach(access)
        self.kept.setdefault(access.address, {})[place] = code

    def clear_code(self, access: PanelAccess, place: int) -> None:
        self._reach(access)
        self.kept.setdefault(access.address, {}).pop(place, None)

    def _reach(self, access: PanelAccess) -> None:
        assert access.company_id, "its names are looked up beside those of other companies"
        self.commands += 1
        if access.address in self.odd:
            raise ValueError(access.address)
        if access.address in self.offline:
            raise PanelRefusedError(f"the panel at {access.address} did not answer")

    def opens(self, address: str, code: str) -> bool:
        return code in self.kept.get(address, {}).values()


def settle(services: Services, panels: FakePanels) -> None:
    """Do one step of the scheduler, at a rate that tests can wait for."""
    TellPanels(services.panel_codes, {"beward": panels}, 5000).step(threading.Event())
    services.panel_codes.sweep()


def nothing_is_left_to_say(services: Services, panels: FakePanels) -> bool:
    """Whether a further step tells no panel anything."""
    commands = panels.commands
    settle(services, panels)
    return panels.commands == commands


def renew_while_offline(
    services: Services, town: Town, panels: FakePanels, address: str, clock: Clock
) -> tuple[str, str]:
    """A week's code that the panel has, and the next one's, which it has not heard of."""
    old = renew(services, town, MONDAY)
    settle(services, panels)
    panels.offline.add(address)
    clock.now += 7 * DAY_MS
    new = renew(services, town, NEXT_MONDAY)
    settle(services, panels)
    return old, new


def renew(services: Services, town: Town, slot: str) -> str:
    services.code_renewal.renew_company(town.company, slot, lambda _done, _total: None)
    row = services.panel_codes.database.row(
        "SELECT code_encrypted FROM access_codes WHERE slot = ? AND entrance_id = ?", (slot, town.entrance)
    )
    assert row is not None
    return services.panel_codes.context.encryption.decrypted(row[0])
