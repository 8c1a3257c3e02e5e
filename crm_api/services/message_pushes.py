"""Residents are told of a message that a visitor left: a push to each device of the household that takes such."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from crm_api.adapters.push_services.push import NO_CALL_ONLY, Push
from crm_api.domain.push_texts import alert_of
from crm_api.tables import push_facts, ring_plan_facts
from crm_api.tables.database import DatabaseErrors
from crm_api.tables.ring_plan_statements import RINGS

if TYPE_CHECKING:
    from crm_api.services.context import Context
    from crm_api.services.message_pictures import MessagePictures
    from crm_api.services.message_sounds import MessageSounds
    from crm_api.tables.push_facts import Device

FRESH_MS: Final = 6 * 3600 * 1_000
"""Nobody is told of an older message: the push process was away for long."""
LASTS_MS: Final = 60_000

_ANY: Final = "SELECT 1 FROM call_sounds WHERE kind = 'message' AND told_at_ms IS NULL LIMIT 1"
_TAKE: Final = """
UPDATE call_sounds SET told_at_ms = ?
WHERE id IN (SELECT id FROM call_sounds WHERE kind = 'message' AND told_at_ms IS NULL ORDER BY at_ms LIMIT 20)
AND told_at_ms IS NULL
RETURNING id, call_id, panel, apartment_id, at_ms, duration_ms
"""
_ACCOUNTS: Final = f"""
SELECT a.account, ap.house_id, a.quiet_from_min, a.quiet_until_min
FROM accounts a JOIN apartments ap ON ap.id = a.apartment_id
WHERE a.apartment_id = ? AND a.kind = 'app' AND {RINGS} ORDER BY a.id
"""  # noqa: S608 - constants


@dataclass(frozen=True)
class MessagePush:
    """One push about one message."""

    call_id: str
    device: Device
    push: Push


class MessagePushes:
    """Takes the messages that nobody has been told of, each once, whichever process asks first."""

    def __init__(self, context: Context, pictures: MessagePictures, sounds: MessageSounds) -> None:
        self._context = context
        self._pictures = pictures
        self._sounds = sounds

    def take(self) -> list[MessagePush]:
        """Return what is to be pushed now."""
        try:
            return self._taken()
        except DatabaseErrors:
            self._context.database.forget_connection()
            raise

    def _taken(self) -> list[MessagePush]:
        database, now_ms = self._context.database, self._context.now_ms()
        if database.row(_ANY) is None:
            return []
        with database.transaction():
            rows = database.rows(_TAKE, (now_ms,))
        pushes: list[MessagePush] = []
        for sound_id, call_id, panel, apartment_id, at_ms, duration_ms in rows:
            if apartment_id is None or at_ms < now_ms - FRESH_MS:
                continue
            accounts = {row[0]: row[1:] for row in database.rows(_ACCOUNTS, (apartment_id, now_ms))}
            known = push_facts.devices(database, panel, list(accounts))
            picture = self._pictures.link(sound_id) if known.devices else ""
            sound = self._sounds.link(sound_id) if known.devices else ""
            for device in known.devices:
                if device.platform == NO_CALL_ONLY:
                    continue
                # Who keeps quiet hours is not woken; the message is there in the morning.
                house_id, *hours = accounts[device.account]
                silent = ring_plan_facts.is_quiet(database, house_id, hours[0], hours[1], now_ms)
                data = {
                    "type": "message",
                    "call_id": call_id,
                    "account": device.account,
                    "message_id": str(sound_id),
                    "panel": known.panel_name,
                    "house": known.house,
                    "entrance": known.entrance,
                    "at_ms": str(at_ms),
                    "duration_ms": str(duration_ms),
                    "picture_url": picture,
                    "audio_url": sound,
                    "quiet": "1" if silent else "",
                }
                push = Push(data, now_ms + LASTS_MS, alert_of(data, known.language), silent)
                pushes.append(MessagePush(call_id, device, push))
        return pushes
