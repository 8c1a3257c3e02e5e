"""Messages of visitors and recordings of talks: kept for as long as the company says, then gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from crm_api.domain.problems import InvalidFieldsError, NotFoundError
from crm_api.services.audit import Entry, audited
from crm_api.services.context import Tenant, visible
from crm_api.services.kept import Document, Kept
from crm_api.services.message_pictures import REMOVE, remove_lonely
from crm_api.tables import webhook_rows
from crm_api.tables.call_sounds import CallSound, CallSoundFile
from crm_api.tables.models import Company

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_api.domain.inputs.call_sounds import NewCallSound
    from crm_api.services.context import Context
    from crm_api.services.planning import Planning

DAY_MS: Final = 24 * 3600 * 1_000
# RIFF header, format 7 (µ-law), one channel, 8000 Hz: 58 bytes with the fact chunk that a format other than PCM has.
WAV_HEAD: Final = b"RIFF"
HEADER_BYTES: Final = 58
BYTES_PER_MS: Final = 8
REMOVED_AT_ONCE: Final = 200


class CallSounds(Kept[CallSound]):
    """Sounds of calls; one whose time is over is seen by nobody, also before it is removed."""

    noun = "sound of a call"
    comes_and_goes = True
    model = CallSound

    def __init__(self, context: Context, planning: Planning) -> None:
        super().__init__(context)
        self._planning = planning

    def seen(self, tenant: Tenant) -> Any:
        """Return the query of all that may still be heard."""
        return visible(tenant, CallSound).where(CallSound.expires_at_ms > self.context.now_ms())

    def row(self, tenant: Tenant, key: Any) -> CallSound:
        """Return one sound that may still be heard."""
        found: CallSound | None = self.seen(tenant).where(CallSound.id == key).first()
        if found is None:
            raise NotFoundError.of(self.noun, key)
        return found

    def documents(self, rows: Sequence[CallSound]) -> list[Document]:
        """Show everything but when the residents were told, and whether there is a picture beside a message."""
        pictures = self._pictures_of(rows)
        return [
            {
                **{name: value for name, value in row.__data__.items() if name != "told_at_ms"},
                "has_picture": row.kind == "message" and (row.company_id, row.call_id) in pictures,
            }
            for row in rows
        ]

    def _pictures_of(self, rows: Sequence[CallSound]) -> set[tuple[int, str]]:
        """Return which of these calls have a picture."""
        calls = [row.call_id for row in rows if row.kind == "message"]
        if not calls:
            return set()
        marks = ",".join("?" * len(calls))
        query = f"SELECT company_id, call_id FROM message_pictures WHERE call_id IN ({marks})"  # noqa: S608 - marks alone
        return {(row[0], row[1]) for row in self.database.rows(query, calls)}

    def keep(self, new: NewCallSound, content: bytes) -> Document:
        """Keep a sound that the call path has recorded; the same one sent again is kept once."""
        if not content.startswith(WAV_HEAD):
            raise InvalidFieldsError.one("body", f"{len(content)} bytes", "send a WAV file")
        plan = self._planning.planned(new.panel, new.dialled).plan
        if plan.company_id is None:
            raise NotFoundError.of("panel", new.panel)
        everybody = Tenant(None)
        with self.database.transaction():
            there: CallSound | None = (
                CallSound.select().where((CallSound.call_id == new.call_id) & (CallSound.kind == new.kind)).first()
            )
            if there is not None:
                return self.documents([there])[0]
            company = Company.get_by_id(plan.company_id)
            days = company.message_kept_days if new.kind == "message" else company.recording_kept_days
            row = CallSound.create(
                company_id=plan.company_id,
                apartment_id=plan.apartment_id,
                duration_ms=max(0, len(content) - HEADER_BYTES) // BYTES_PER_MS,
                expires_at_ms=new.at_ms + days * DAY_MS,
                **new.model_dump(),
            )
            CallSoundFile.insert({CallSoundFile.sound_id: row.id, CallSoundFile.content: content}).execute()
            if new.kind == "message":
                now_ms = self.context.now_ms()
                webhook_rows.announce(self.database, plan.company_id, "message.left", str(row.id), now_ms)
        return self.documents([row])[0] if row.expires_at_ms <= self.context.now_ms() else self.got(everybody, row.id)

    def content(self, tenant: Tenant, key: int) -> bytes:
        """Return the sound; that it was heard is in the audit log before anybody hears it."""
        row = self.row(tenant, key)
        content = bytes(CallSoundFile.get_by_id(row.id).content)
        told = {"kind": row.kind, "call_id": row.call_id, "apartment_id": row.apartment_id}
        with self.database.transaction():
            self.trail.write(tenant, [Entry(self.noun, str(row.id), "hear", None, told, row.company_id)])
        return content

    @audited("mark as heard")
    def heard(self, tenant: Tenant, key: int) -> Document:
        """Note that somebody has heard it; the first time counts."""
        with self.database.transaction():
            row = self.row(tenant, key)
            if row.heard_at_ms is None:
                self.update(row, heard_at_ms=self.context.now_ms())
        return self.got(tenant, key)

    def remove(self, tenant: Tenant, key: int) -> None:
        """Remove a sound before its time."""
        with self.database.transaction():
            row = self.row(tenant, key)
            _remove_picture(self.context, row)
            row.delete_instance()


def _remove_picture(context: Context, row: CallSound) -> None:
    if row.kind == "message":
        context.database.rows(REMOVE, (row.company_id, row.call_id))


def remove_expired(context: Context) -> int:
    """Remove some sounds whose time is over; return how many. Called again as long as there are any."""
    over: Any = CallSound.select().where(CallSound.expires_at_ms <= context.now_ms())
    remove_lonely(context)
    with context.database.transaction():
        rows = list(over.order_by(CallSound.expires_at_ms).limit(REMOVED_AT_ONCE))
        for row in rows:
            _remove_picture(context, row)
        ids = [row.id for row in rows]
        return int(CallSound.delete().where(CallSound.id.in_(ids)).execute()) if ids else 0
