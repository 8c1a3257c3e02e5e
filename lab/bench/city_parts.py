"""The door calls with a whole city in the database, spread over it; and Kamailio restarted with its contacts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from lab.bench.city_town import add_contacts, households_of, put_city
from lab.bench.measures import BARS, Bar, Report
from lab.bench.parts import Bench, Plan
from lab.bench.process_usage import read_memory_mb
from lab.bench.restart import seconds_until_it_rings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.bench.population import Household
    from lab.settings import LabSettings
    from lab.town.city.sizes import CitySize

PREFIX: Final = "city"
CONTACTS_PER_ACCOUNT: Final = 600_000 / 730_000
_NOT_HERE: Final = ("register.",)

CITY_BARS: Final = (
    *(replace(bar, key=f"{PREFIX}.{bar.key}") for bar in BARS if not bar.key.startswith(_NOT_HERE)),
    Bar(f"{PREFIX}.restart.until_it_rings_s", "at most", 30, "s"),
)


class Within(Report):
    """A report whose measures all stand below one name of another report."""

    def __init__(self, whole: Report, prefix: str) -> None:
        super().__init__(())
        self._whole = whole
        self._prefix = prefix

    def set(self, key: str, value: float) -> None:
        """Record a measure."""
        self._whole.set(f"{self._prefix}.{key}", value)

    def missing(self, prefix: str, reason: str) -> None:
        """Say what could not be measured."""
        self._whole.missing(f"{self._prefix}.{prefix}", reason)


@dataclass
class CityBench(Bench):
    """The bench of door calls in a city."""

    size: CitySize | None = None

    def town(self, count: int) -> list[Household]:
        """Households all over the city."""
        return households_of(self._size, self.platform.domain, count)

    def prepare(self) -> None:
        """The city's database is there before the platform starts; the demo town is added to it."""
        put_city(self.platform, self._size)

    def fill(self, households: Sequence[Household]) -> None:
        """Nothing to add: the households are the city's own."""

    def restart(self) -> None:
        """Stop, add contacts for most of the city's phones, start, kill Kamailio, start it: until a call rings."""
        contacts = round(self._size.accounts * CONTACTS_PER_ACCOUNT)
        self.stack.stop()
        written = add_contacts(self.platform, contacts)
        self.stack.start()
        seconds = asyncio.run(seconds_until_it_rings(self.stack, self.metered[0]))
        rss, pss = read_memory_mb()["kamailio"]
        print(
            f"  {written} contacts: a call rings {seconds:.1f} s after the kill; Kamailio uses {pss:.0f} MB", flush=True
        )
        self.report.set("restart.contacts", written)
        self.report.set("restart.until_it_rings_s", seconds)
        self.report.set("restart.kamailio_pss_mb", pss)
        self.report.set("restart.kamailio_rss_mb", rss)

    @property
    def _size(self) -> CitySize:
        if self.size is None:
            raise ValueError("size: name a size of lab.town.city.sizes")
        return self.size


def city_bench(
    size: CitySize, plan: Plan, instances: tuple[LabSettings, LabSettings, LabSettings], report: Report
) -> CityBench:
    """Make the bench of a city; a town too small for the plan's households takes as many as it has entrances for."""
    households = min(plan.households, size.apartments // 25)
    small = replace(plan, households=households, emergency_panels=min(plan.emergency_panels, households // 10))
    return CityBench(small, *instances, Within(report, PREFIX), size)
