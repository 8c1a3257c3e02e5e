"""New access codes for the entrances of a company: each gets one from a run, however often the run is interrupted."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from crm_api.domain.problems import ConflictError
from crm_api.domain.waking import waking_moment
from crm_api.services.access_codes import REMEMBERED_MS, is_obvious
from crm_api.services.audit import Entry
from crm_api.services.context import Tenant, find
from crm_api.services.kept import Document, Kept
from crm_api.tables.codes import AccessCodeRule
from crm_api.tables.fund import AccessCode
from crm_api.tables.models import Entrance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from crm_api.services.context import Context

CHUNK: Final = 500
"""Entrances of one transaction: what a crash costs at most."""
DRAWS: Final = 400
LEAST_DISTINCT: Final = 3
KEEPING_DRIVERS: Final = ("beward",)
"""Panels of these drivers keep codes themselves (`crm_api.adapters.panel_code_drivers`), if they have an address."""

_WITHOUT: Final = """
SELECT e.id FROM entrances e WHERE e.company_id = ?
AND NOT EXISTS (SELECT 1 FROM access_codes c WHERE c.entrance_id = e.id AND c.slot = ?) ORDER BY e.id
"""
_RULES: Final = """
SELECT coalesce(r.length, 5), coalesce(r.alphabet, '0123456789'), coalesce(r.grace_s, 86400),
    coalesce(r.tell_from_hour, 9), coalesce(r.tell_until_hour, 20)
FROM companies c LEFT JOIN access_code_rules r ON r.company_id = c.id
WHERE c.id = ?
"""
# By the clock of the house's city, else of the company's.
_ZONES: Final = """
SELECT e.id, coalesce(t.time_zone, 'UTC') FROM entrances e JOIN houses h ON h.id = e.house_id
JOIN companies o ON o.id = e.company_id LEFT JOIN cities t ON t.id = coalesce(h.city_id, o.city_id)
WHERE e.id IN ({entrances})
"""
# A panel of a whole house serves each of its entrances.
_SERVED: Final = """
SELECT p.panel_id, e.id FROM panel_places p
JOIN entrances e ON e.house_id = p.house_id AND (p.entrance_id IS NULL OR p.entrance_id = e.id)
WHERE p.company_id = ?
"""
# Codes of entrances, and of gates at each entrance that a panel of theirs serves, which open or did so of late.
_HASHES: Final = """
SELECT entrance_id, code_hash FROM access_codes
WHERE company_id = ? AND entrance_id IS NOT NULL AND (ended_at_ms IS NULL OR ended_at_ms > ?)
UNION
SELECT e.id, c.code_hash FROM access_codes c JOIN panels d ON d.gate_id = c.gate_id
JOIN panel_places p ON p.panel_id = d.id
JOIN entrances e ON e.house_id = p.house_id AND (p.entrance_id IS NULL OR p.entrance_id = e.id)
WHERE c.company_id = ? AND (c.ended_at_ms IS NULL OR c.ended_at_ms > ?)
"""
_ON_PANELS: Final = """
SELECT DISTINCT p.entrance_id FROM panel_places p JOIN panels d ON d.id = p.panel_id
WHERE p.company_id = ? AND p.entrance_id IS NOT NULL AND d.driver = ? AND d.address IS NOT NULL
"""
_INSERT: Final = """
INSERT INTO access_codes (company_id, entrance_id, code_encrypted, code_hash, single_use, valid_from_ms, note,
    created_at_ms, slot, tell_at_ms)
VALUES (?, ?, ?, ?, ?, ?, '', ?, ?, ?)
"""
# Where a panel keeps the old code, it stays valid until every panel has the new one (services.panel_codes).
_SUPERSEDE: Final = """
UPDATE access_codes SET superseded_by = ?, tell_at_ms = NULL, version = version + 1,
    valid_until_ms = CASE WHEN ? = 1 THEN valid_until_ms
        WHEN valid_until_ms IS NULL OR valid_until_ms > ? THEN ? ELSE valid_until_ms END
WHERE entrance_id = ? AND slot IS NOT NULL AND ended_at_ms IS NULL AND id <> ?
"""


@dataclass(frozen=True)
class _Rules:
    length: int
    alphabet: str
    grace_s: int
    from_hour: int
    until_hour: int


def drawn(length: int, alphabet: str, is_taken: Callable[[str], bool]) -> str:
    """Return a code from the system's cryptographic source that nobody would try first and that is not taken.

    Raises:
        ConflictError: nearly all codes of this length are taken.
    """
    for _ in range(DRAWS):
        code = "".join(secrets.choice(alphabet) for _ in range(length))
        if len(set(code)) >= LEAST_DISTINCT and not is_obvious(code) and not is_taken(code):
            return code
    raise ConflictError(f"length: nearly all codes of {length} digits are in use here; make it longer")


class CodeRenewal(Kept[Entrance]):
    """Draws and stores codes; panels and residents get them from what is stored."""

    noun = "entrance"
    model = Entrance

    def __init__(self, context: Context) -> None:
        super().__init__(context)

    def renew_company(self, company_id: int, slot: str, tell: Callable[[int, int], None]) -> dict[str, Any]:
        """Give every entrance of a company that has no code of this slot a new one.

        Args:
            company_id: whose.
            slot: names the run; one entrance gets one code of it.
            tell: called in each transaction with how many are done, of how many; what it raises undoes that one.
        """
        entrances = [int(key) for (key,) in self.database.rows(_WITHOUT, (company_id, slot))]
        there = self.database.row("SELECT count(*) FROM entrances WHERE company_id = ?", (company_id,)) or (0,)
        total = int(there[0])
        before = total - len(entrances)
        made = 0
        codes = _Codes(self.context, company_id)
        for start in range(0, len(entrances), CHUNK):
            chunk = entrances[start : start + CHUNK]
            with self.database.transaction():
                made += len(codes.renew(chunk, slot))
                tell(before + made, total)
        return {"entrances": total, "codes": made, "codes_of_earlier_attempts": before}

    def renew_entrance(self, tenant: Tenant, key: int) -> Document:
        """Give one entrance a new code now; the answer holds it in clear."""
        entrance = find(tenant, Entrance, "entrance", key)
        company_id, now_ms = int(str(entrance.company_id)), self.context.now_ms()
        slot = f"by hand {now_ms}"
        with self.database.transaction():
            ((code_id, code),) = _Codes(self.context, company_id).renew([key], slot)
            self._tell(tenant, code_id, key, slot, company_id)
            row = AccessCode.get_by_id(code_id)
        hidden = {"code_encrypted", "code_hash", "superseded_by", "tell_at_ms"}
        shown = {name: value for name, value in row.__data__.items() if name not in hidden}
        return {**shown, "code": code}

    def once_each(self, company_id: int, slot: str) -> Callable[[Tenant, int], bool]:
        """Return what gives one entrance of a company a new code, unless it has one of this slot already.

        To be called inside a transaction; it says whether there is a new code.
        """
        codes: list[_Codes] = []

        def renew(tenant: Tenant, key: int) -> bool:
            find(tenant, Entrance, "entrance", key)
            if self.database.row("SELECT 1 FROM access_codes WHERE entrance_id = ? AND slot = ?", (key, slot)):
                return False
            if not codes:
                codes.append(_Codes(self.context, company_id))
            ((code_id, _),) = codes[0].renew([key], slot)
            self._tell(tenant, code_id, key, slot, company_id)
            return True

        return renew

    def _tell(self, tenant: Tenant, code_id: int, key: int, slot: str, company_id: int) -> None:
        after = {"entrance_id": key, "slot": slot}
        self.trail.write(tenant, [Entry("access code", str(code_id), "renew", None, after, company_id)])


class _Codes:
    """What is known of a company while its codes are renewed."""

    def __init__(self, context: Context, company_id: int) -> None:
        self._context = context
        self._database = database = context.database
        self._company_id = company_id
        self._rules = _Rules(*(database.row(_RULES, (company_id,)) or ()))
        panels: dict[int, set[int]] = {}
        for panel_id, entrance_id in database.rows(_SERVED, (company_id,)):
            panels.setdefault(panel_id, set()).add(entrance_id)
        self._beside: dict[int, set[int]] = {}
        for served in panels.values():
            for entrance_id in served:
                self._beside.setdefault(entrance_id, {entrance_id}).update(served)
        self._taken: dict[int, set[str]] = {}
        lately = (company_id, context.now_ms() - REMEMBERED_MS)
        for entrance_id, code_hash in database.rows(_HASHES, lately * 2):
            self._taken.setdefault(entrance_id, set()).add(code_hash)
        self._on_panels: set[int] = set()
        for driver in KEEPING_DRIVERS:
            self._on_panels |= {key for (key,) in database.rows(_ON_PANELS, (company_id, driver))}

    def renew(self, entrances: Sequence[int], slot: str) -> list[tuple[int, str]]:
        """Draw and store, inside the caller's transaction; return ids and codes in the order of the entrances."""
        now_ms = self._context.now_ms()
        rules, encryption = self._rules, self._context.encryption
        tell_at_ms = self._waking_moments(entrances, now_ms)
        codes: dict[int, str] = {}
        rows: list[tuple[Any, ...]] = []
        for entrance_id in entrances:
            beside = self._beside.get(entrance_id, {entrance_id})
            code = drawn(rules.length, rules.alphabet, lambda code, beside=beside: self._is_taken(code, beside))  # type: ignore[misc]
            codes[entrance_id] = code
            code_hash = encryption.keyed_hash(code)
            self._taken.setdefault(entrance_id, set()).add(code_hash)
            rows.append((
                self._company_id, entrance_id, encryption.encrypted(code), code_hash, False, now_ms, now_ms, slot,
                tell_at_ms.get(entrance_id),
            ))  # fmt: skip
        self._database.many(_INSERT, rows)
        marks = ",".join("?" * len(entrances))
        found = self._database.rows(
            f"SELECT entrance_id, id FROM access_codes WHERE slot = ? AND entrance_id IN ({marks})",  # noqa: S608
            (slot, *entrances),
        )
        ids = dict(found)
        until_ms = now_ms + rules.grace_s * 1000
        self._database.many(
            _SUPERSEDE,
            [
                (ids[entrance_id], 1 if entrance_id in self._on_panels else 0, until_ms, until_ms, entrance_id,
                 ids[entrance_id])
                for entrance_id in entrances
            ],
        )  # fmt: skip
        return [(ids[entrance_id], codes[entrance_id]) for entrance_id in entrances]

    def _waking_moments(self, entrances: Sequence[int], now_ms: int) -> dict[int, int]:
        """Return from when on each entrance's residents may be told; one that was removed meanwhile has no moment."""
        zones = self._database.rows(_ZONES.format(entrances=",".join("?" * len(entrances))), entrances)
        hours = self._rules.from_hour, self._rules.until_hour
        moments = {zone: waking_moment(now_ms, zone, *hours) for zone in {zone for _, zone in zones}}
        return {entrance_id: moments[zone] for entrance_id, zone in zones}

    def _is_taken(self, code: str, entrances: Iterable[int]) -> bool:
        code_hash = self._context.encryption.keyed_hash(code)
        return any(code_hash in self._taken.get(entrance_id, ()) for entrance_id in entrances)


class AccessCodeRules(Kept[AccessCodeRule]):
    """A company's rules for its codes; each company has one row, made by the scheduler."""

    noun = "access code rule"
    model = AccessCodeRule

    def fill(self) -> None:
        """Make the row of each company that has none."""
        with self.database.transaction():
            self.database.rows(
                "INSERT INTO access_code_rules (company_id) SELECT id FROM companies c WHERE NOT EXISTS "
                "(SELECT 1 FROM access_code_rules r WHERE r.company_id = c.id) ON CONFLICT DO NOTHING"
            )

    def change(self, tenant: Tenant, key: int, values: dict[str, Any]) -> Document:
        """Change the rules; codes that are there stay as they are."""
        with self.database.transaction():
            row = self.row(tenant, key)
            hours = [values.get(name, getattr(row, name)) for name in ("tell_from_hour", "tell_until_hour")]
            if hours[0] >= hours[1]:
                raise ConflictError(f"tell_until_hour: {hours[1]} must be after tell_from_hour, {hours[0]}")
            self.update(row, **values)
        return self.got(tenant, key)
