"""A year of calls as the city makes them: the daily curve, who rang, how it ended, who opened the door."""

from __future__ import annotations

import random
from datetime import timedelta
from itertools import accumulate
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from lab.town.city.rows import Table, account_name, household_accounts, panel_account
from lab.town.city.sizes import HOURS, RESULTS, WEEKDAYS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from lab.town.city.layout import Layout

_DAYS: Final = 365
_HOUR_MS: Final = 3_600_000
_OPENED_SHARE: Final = 0.85
_MAIN_DOOR_SHARE: Final = 0.7
_CALL_COLUMNS: Final = (
    "id", "call_id", "company_id", "panel_id", "house_id", "apartment_id", "panel", "dialled", "started_at_ms",
    "ended_at_ms", "talk_ms", "answered_by", "result", "cause", "plan_source",
)  # fmt: skip
_BRANCH_COLUMNS: Final = (
    "call_id", "stage", "account", "branch", "contact", "outcome", "sip_status", "invited_at_ms", "ringing_at_ms",
    "ended_at_ms",
)  # fmt: skip
_ACCESS_COLUMNS: Final = (
    "id", "company_id", "at_ms", "panel_id", "house_id", "apartment_id", "panel", "door_id", "account", "call_id",
    "key", "method", "result", "event_at_ms", "key_id",
)  # fmt: skip
_CAUSES: Final = {"busy": 17, "no_answer": 19, "unknown_number": 1, "failed": 41}
_OTHER_CAUSE: Final = 16
# What a branch that was not the one to answer came to, and the SIP status that tells it.
_OUTCOMES: Final = {
    "answered": ("cancelled", None),
    "no_answer": ("cancelled", None),
    "caller_hung_up": ("cancelled", None),
    "busy": ("busy", 486),
    "failed": ("failed", 503),
}


class History:
    """Makes call records, their branches and openings in one pass over the year; the newest calls come last.

    Its tables must be read in their order and to the end: calls make the branches and openings that follow.
    """

    def __init__(self, layout: Layout, seed: int, until: datetime, key_homes: list[int]) -> None:
        self._layout = layout
        self._key_homes = key_homes
        self._rng = random.Random(f"{seed}:history")
        self._until = until
        self._branches: list[tuple[Any, ...]] = []
        self._openings: list[tuple[Any, ...]] = []

    def tables(self) -> Iterator[Table]:
        """Calls first: branches refer to them."""
        yield Table("call_records", _CALL_COLUMNS, self._layout.size.calls, self._calls())
        # WITHOUT ROWID: rows in the order of the key are appended instead of sought for.
        self._branches.sort()
        yield Table("call_branches", _BRANCH_COLUMNS, len(self._branches), self._branches)
        openings = len(self._openings) + self._layout.size.key_openings
        yield Table("access_records", _ACCESS_COLUMNS, openings, self._numbered_openings())

    def moments_ms(self, wanted: int) -> Iterator[int]:
        """So many moments of the year, in order."""
        rng = self._rng
        days = [self._until - timedelta(days=back) for back in range(_DAYS, 0, -1)]
        shares = list(accumulate(WEEKDAYS[day.weekday()] for day in days))
        made = 0
        for day, share in zip(days, shares, strict=True):
            count = wanted * share // shares[-1] - made
            made += count
            midnight_ms = int(day.timestamp() * 1000)
            hours = rng.choices(range(len(HOURS)), HOURS, k=count)
            yield from sorted(midnight_ms + int((hour + rng.random()) * _HOUR_MS) for hour in hours)

    def _calls(self) -> Iterator[tuple[Any, ...]]:
        """Two million times: whatever does not change is looked up once."""
        layout, random_ = self._layout, self._rng.random
        bits, entrance_of, panels_of, panels = (
            self._rng.getrandbits,
            layout.entrance_of,
            layout.panels_of,
            layout.panels,
        )
        apartments, names = layout.size.apartments, [panel_account(panel) for panel in range(len(layout.panels))]
        keep_branches_from = layout.size.calls - layout.size.calls_with_branches
        results = [name for name, percent in RESULTS for _ in range(percent)]
        for index, at_ms in enumerate(self.moments_ms(layout.size.calls)):
            result = results[int(random_() * len(results))]
            apartment = int(random_() * apartments)
            entrance = entrance_of[apartment]
            here = panels_of[entrance]
            panel = here[0] if random_() < _MAIN_DOOR_SHARE else here[int(random_() * len(here))]
            call_id = f"{bits(64):016x}@{panel + 1}"
            ringing_ms, talk_ms, answered_by = 1200 + int(random_() * 14_000), 0, None
            kinds = layout.household(apartment)
            if result == "answered" and kinds:
                talk_ms = 2000 + int(random_() * random_() * 40_000)
                chosen = int(random_() * len(kinds))
                answered_by = account_name(kinds[chosen], apartment, chosen)
            elif result == "no_answer" or (not kinds and result != "unknown_number"):
                result, ringing_ms = "no_answer", 30_000
            ended_at_ms = at_ms + ringing_ms + talk_ms
            if index >= keep_branches_from and result not in ("unknown_number", "blocked"):
                accounts = household_accounts(layout, apartment)
                self._ring(call_id, accounts, result, answered_by, (at_ms, ringing_ms, ended_at_ms))
            if answered_by is not None and random_() < _OPENED_SHARE:
                self._openings.append((at_ms + ringing_ms + talk_ms // 2, panel, apartment, answered_by, call_id, None))
            house: int | None = layout.entrances[entrance].house + 1
            home: int | None = apartment + 1
            dialled = layout.dialled(panel, apartment)
            if result == "unknown_number":
                house, home, dialled = None, None, "9999"
            yield (
                index + 1, call_id, panels[panel].company, panel + 1, house, home, names[panel], dialled, at_ms,
                ended_at_ms, talk_ms, answered_by, result, _CAUSES.get(result, _OTHER_CAUSE), "redis",
            )  # fmt: skip

    def _ring(
        self,
        call_id: str,
        accounts: list[tuple[str, str]],
        result: str,
        answered_by: str | None,
        moments: tuple[int, int, int],
    ) -> None:
        at_ms, ringing_ms, ended_at_ms = moments
        for branch, (account, _) in enumerate(accounts):
            outcome, status = _OUTCOMES[result]
            if account == answered_by:
                outcome, status = "answered", 200
            elif self._rng.random() < 0.15:  # noqa: PLR2004 - phones that are off or away
                self._branches.append((call_id, 0, account, "", None, "offline", None, at_ms + 20, None, at_ms + 20))
                continue
            contact = f"sip:{account}@10.200.{branch}.{len(self._branches) % 250}:5060"
            rang_at_ms = at_ms + 40 if outcome != "failed" else None
            answered_at_ms = at_ms + ringing_ms if result == "answered" else ended_at_ms
            self._branches.append(
                (call_id, 0, account, str(branch), contact, outcome, status, at_ms + 20, rang_at_ms, answered_at_ms)
            )

    def _numbered_openings(self) -> Iterator[tuple[Any, ...]]:
        layout = self._layout
        openings = sorted((*self._openings, *self._by_key()), key=itemgetter(0))
        for identifier, (at_ms, panel, apartment, account, call_id, key) in enumerate(openings, 1):
            company = layout.panels[panel].company
            house = layout.entrances[layout.entrance_of[apartment]].house
            how = ("#", "dtmf", "sent", at_ms) if key is None else (None, "key", "opened", None)
            yield (
                identifier, company, at_ms, panel + 1, house + 1, apartment + 1, panel_account(panel), panel + 1,
                account, call_id, *how, key,
            )  # fmt: skip

    def _by_key(self) -> Iterator[tuple[Any, ...]]:
        """Doors opened with the key of an apartment, at the main door: sampled, spread as calls are."""
        layout, rng, homes = self._layout, self._rng, self._key_homes
        for at_ms in self.moments_ms(layout.size.key_openings):
            key = int(rng.random() * len(homes))
            panel = layout.panels_of[layout.entrance_of[homes[key]]][0]
            yield at_ms, panel, homes[key], None, None, key + 1
