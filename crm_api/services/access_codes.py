"""Access codes: what a visitor types to open an entrance or a gate.

The clear text is encrypted (who may, reads it); a keyed hash finds it. Two codes that one panel takes at once differ.
"""

from __future__ import annotations

import itertools
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from crm_api.domain.problems import ConflictError, InvalidFieldsError
from crm_api.services.audit import audited
from crm_api.services.context import Tenant, find
from crm_api.services.kept import Document, Kept
from crm_api.tables.block_facts import stops
from crm_api.tables.fund import AccessCode, Gate
from crm_api.tables.models import Apartment, Entrance

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from crm_api.domain.inputs import access_codes

DRAWS: Final = 50
USUAL_RULES: Final = (5, "0123456789")
"""Length and digits of the codes of a company that has no rules yet."""
REMEMBERED_MS: Final = 28 * 86_400_000
"""A code is not drawn again at its door for four weeks after it has stopped opening."""

_RULES: Final = "SELECT length, alphabet FROM access_code_rules WHERE company_id = ?"
_TYPED: Final = """
SELECT c.id, c.apartment_id, c.single_use, c.valid_from_ms, c.valid_until_ms FROM access_codes c
WHERE c.code_hash = ? AND c.ended_at_ms IS NULL
AND (c.entrance_id IN (SELECT entrance_id FROM panel_places WHERE panel_id = ?)
     OR c.gate_id = (SELECT gate_id FROM panels WHERE id = ?))
ORDER BY c.id
"""
_USE_UP: Final = """
UPDATE access_codes SET last_used_at_ms = ?, ended_at_ms = ?, end_reason = 'used', version = version + 1
WHERE id = ? AND ended_at_ms IS NULL RETURNING id
"""
_GIVE_BACK: Final = """
UPDATE access_codes SET ended_at_ms = NULL, end_reason = NULL, version = version + 1
WHERE id = ? AND end_reason = 'used' RETURNING id
"""
_PLACE: Final = "SELECT entrance_id, gate_id, code_hash FROM access_codes WHERE id = ?"
_USED: Final = "UPDATE access_codes SET last_used_at_ms = ? WHERE id = ?"
# Codes that open, or have opened since a moment, at a place, or at one that shares a panel with it. A panel
# of a whole house serves each of its entrances.
_TAKEN: Final = """
SELECT c.id FROM access_codes c LEFT JOIN entrances there ON there.id = c.entrance_id
WHERE c.code_hash = ? AND (c.ended_at_ms IS NULL OR c.ended_at_ms > ?)
AND (c.entrance_id = ? OR c.gate_id = ? OR EXISTS (
    SELECT 1 FROM panels d WHERE d.company_id = c.company_id
    AND (d.gate_id = ? OR EXISTS (
        SELECT 1 FROM panel_places p JOIN entrances here ON here.house_id = p.house_id
        WHERE p.panel_id = d.id AND here.id = ? AND (p.entrance_id IS NULL OR p.entrance_id = here.id)))
    AND (d.gate_id = c.gate_id OR EXISTS (
        SELECT 1 FROM panel_places p WHERE p.panel_id = d.id AND p.house_id = there.house_id
        AND (p.entrance_id IS NULL OR p.entrance_id = there.id)))))
LIMIT 1
"""
_EXPIRED: Final = """
UPDATE access_codes SET ended_at_ms = valid_until_ms, end_reason = 'expired', version = version + 1
WHERE ended_at_ms IS NULL AND valid_until_ms <= ?
"""


@dataclass(frozen=True)
class Typed:
    """What comes of a code that was typed at a panel. `code_id` is None for a code that nobody knows.

    `used_up`: it was for a single use, which was this one.
    """

    opens: bool
    reason: str
    code_id: int | None = None
    apartment_id: int | None = None
    used_up: bool = False


def _active(wanted: bool) -> Any:
    return AccessCode.ended_at_ms.is_null(wanted)


def is_obvious(code: str) -> bool:
    """Say whether a code is among the first that anybody tries: one digit repeated, or digits in a row."""
    steps = {(int(after) - int(before)) % 10 for before, after in itertools.pairwise(code)}
    return len(steps) == 1 and steps <= {0, 1, 9}


class AccessCodes(Kept[AccessCode]):
    """Access codes of entrances and gates."""

    noun = "access code"
    model = AccessCode
    filters: ClassVar[Mapping[str, Callable[[Any], Any]]] = {"active": _active}
    secrets = frozenset({"code"})
    hidden = frozenset({"code_encrypted", "code_hash", "superseded_by", "tell_at_ms"})

    def create(self, tenant: Tenant, new: access_codes.NewAccessCode) -> Document:
        """Make a code; the answer holds it in clear."""
        now_ms = self.context.now_ms()
        valid_from_ms = now_ms if new.valid_from_ms is None else new.valid_from_ms
        if new.valid_until_ms is not None and new.valid_until_ms <= max(valid_from_ms, now_ms):
            remedy = f"must be after the start, {valid_from_ms}, and in the future"
            raise InvalidFieldsError.one("valid_until_ms", new.valid_until_ms, remedy)
        with self.database.transaction():
            self.database.rows(_EXPIRED, (now_ms,))
            place: Any
            if new.entrance_id is not None:
                place = find(tenant, Entrance, "entrance", new.entrance_id)
            else:
                place = find(tenant, Gate, "gate", int(new.gate_id or 0))
            if new.apartment_id is not None:
                find(Tenant.of(place.company_id), Apartment, "apartment", new.apartment_id)
            code = new.code or self._drawn(new, place.company_id)
            if new.code is not None and self._taken(new, new.code, now_ms):
                remedy = "choose another, or end the one there is"
                raise ConflictError(f"code: opens this door, or another of its panel, already; {remedy}")
            row = AccessCode.create(
                company_id=place.company_id,
                code_encrypted=self.context.encryption.encrypted(code),
                code_hash=self.context.encryption.keyed_hash(code),
                valid_from_ms=valid_from_ms,
                created_at_ms=now_ms,
                **new.model_dump(exclude={"code", "length", "valid_from_ms"}),
            )
        return {**self.got(tenant, row.id), "code": code}

    @audited("read the code")
    def revealed(self, tenant: Tenant, key: int) -> Document:
        """Return a code in clear; that somebody read it is in the audit log."""
        row = self.row(tenant, key)
        return {**self.documents([row])[0], "code": self.context.encryption.decrypted(str(row.code_encrypted))}

    @audited("end")
    def end(self, tenant: Tenant, key: int, reason: str) -> Document:
        """Stop a code; one that has ended stays as it is."""
        with self.database.transaction():
            row = self.row(tenant, key)
            if row.ended_at_ms is None:
                self.update(row, ended_at_ms=self.context.now_ms(), end_reason=reason)
        return self.got(tenant, key)

    def typed(self, panel_id: int, code: str) -> Typed:
        """Say whether a code that was typed at a panel opens, and use up one that is for a single use.

        Of two that type the same single-use code at one moment, one gets in.
        """
        database, now_ms = self.database, self.context.now_ms()
        with database.transaction():
            rows = database.rows(_TYPED, (self.context.encryption.keyed_hash(code), panel_id, panel_id))
            refused = Typed(False, "nobody knows this code")
            for code_id, apartment_id, single_use, valid_from_ms, valid_until_ms in rows:
                refused = Typed(False, "the code is not valid now", code_id, apartment_id)
                if valid_from_ms > now_ms or (valid_until_ms is not None and valid_until_ms <= now_ms):
                    continue
                if apartment_id is not None and stops(database, apartment_id, now_ms).codes:
                    refused = Typed(False, "a block of the apartment stops its codes", code_id, apartment_id)
                    continue
                if single_use and not database.rows(_USE_UP, (now_ms, now_ms, code_id)):
                    refused = Typed(False, "the code has been used", code_id, apartment_id)
                    continue
                database.rows(_USED, (now_ms, code_id))
                return Typed(True, "the code is right", code_id, apartment_id, bool(single_use))
            return refused

    def give_back(self, code_id: int) -> None:
        """Let a code that was used up open once more: the door stayed shut.

        Only whoever used it up may say so; nobody else can have used it since. No panel has to be told: one that keeps
        codes itself keeps none that are for a single use. It stays used when the digits were given away meanwhile.
        """
        database = self.database
        with database.transaction():
            for entrance_id, gate_id, code_hash in database.rows(_PLACE, (code_id,)):
                if not self._is_taken(entrance_id, gate_id, code_hash, self.context.now_ms()):
                    database.rows(_GIVE_BACK, (code_id,))

    def _drawn(self, new: access_codes.NewAccessCode, company_id: int) -> str:
        length, alphabet = self.database.row(_RULES, (company_id,)) or USUAL_RULES
        length = new.length or length
        since_ms = self.context.now_ms() - REMEMBERED_MS
        for _ in range(DRAWS):
            code = "".join(secrets.choice(alphabet) for _ in range(length))
            if not is_obvious(code) and not self._taken(new, code, since_ms):
                return code
        raise ConflictError(f"length: nearly all codes of {length} digits are in use here; make it longer")

    def _taken(self, new: access_codes.NewAccessCode, code: str, since_ms: int) -> bool:
        return self._is_taken(new.entrance_id, new.gate_id, self.context.encryption.keyed_hash(code), since_ms)

    def _is_taken(self, entrance_id: int | None, gate_id: int | None, code_hash: str, since_ms: int) -> bool:
        where = (entrance_id or 0, gate_id or 0, gate_id or 0, entrance_id or 0)
        return bool(self.database.rows(_TAKEN, (code_hash, since_ms, *where)))
