"""Stand-ins of what the CRM talks to: a panel's HTTP interface, the cache of ring plans, Kamailio's registrar."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from crm_api.adapters.panel_drivers import NEVER_S, PanelAccess, PanelRefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_api.adapters.registrar import RegisteredContact
    from crm_api.domain.problems import ProblemError


@dataclass
class FakePanelDriver:
    """Opens, or refuses with `refusal`; remembers what it was told."""

    refusal: str | None = None
    opened: list[tuple[PanelAccess, int]] = field(default_factory=list)

    def open_door(self, access: PanelAccess, output: int, until_s: float = NEVER_S) -> None:  # noqa: ARG002 - at once
        if self.refusal is not None:
            raise PanelRefusedError(self.refusal)
        self.opened.append((access, output))

    def picture(self, access: PanelAccess) -> bytes:
        assert access.company_id, "its names are looked up beside those of other companies"
        if self.refusal is not None:
            raise PanelRefusedError(self.refusal)
        return b"\xff\xd8 " + access.address.encode()


class FakeCache:
    """A cache of ring plans with the contract's rules: SET NX by readers, tombstones of the CRM, an outage to order."""

    def __init__(self) -> None:
        self.away = False
        self.plans: dict[tuple[str, str], Any] = {}
        self.tombstones: set[tuple[str, str]] = set()
        self.delivered_at_ms = 0
        self.run_id = "run-1"

    def _reach(self) -> None:
        if self.away:
            raise ConnectionError("redis is away")

    def put_if_absent(self, pair: tuple[str, str], plan: Any) -> None:
        if pair not in self.tombstones:
            self.plans.setdefault(pair, plan)

    def drop(self, pairs: Any) -> int:
        self._reach()
        kept = list(pairs)
        for pair in kept:
            self.plans.pop(pair, None)
            self.tombstones.add(pair)
        return len(kept)

    def drop_everything(self) -> int:
        self._reach()
        return self.drop(list(self.plans))

    def say_delivered(self, at_ms: int, run_id: str) -> str:
        self._reach()
        if run_id == self.run_id:
            self.delivered_at_ms = at_ms
        return self.run_id

    def ping(self) -> None:
        self._reach()


class FakeRegistrar:
    """Kamailio as the CRM asks it: what is registered, by account, or a refusal."""

    def __init__(self) -> None:
        self.registered: dict[str, list[RegisteredContact]] = {}
        self.refusal: ProblemError | None = None
        self.asked: list[list[str]] = []

    def contacts(self, accounts: Sequence[str]) -> dict[str, list[RegisteredContact]]:
        self.asked.append(list(accounts))
        if self.refusal is not None:
            raise self.refusal
        return {account: self.registered.get(account, []) for account in accounts}
