"""Messages of visitors and recordings of talks; the sound itself is in a table of its own, so that lists are light."""

from __future__ import annotations

from peewee import AutoField, BigIntegerField, BlobField, TextField

from crm_api.tables.models import Table


class CallSound(Table):
    """What was recorded of one call: a message that a visitor left, or the talk."""

    id = AutoField()
    version = BigIntegerField(default=1)
    company_id = BigIntegerField()
    kind = TextField()
    call_id = TextField()
    panel = TextField()
    dialled = TextField()
    apartment_id = BigIntegerField(null=True)
    at_ms = BigIntegerField()
    duration_ms = BigIntegerField()
    heard_at_ms = BigIntegerField(null=True)
    expires_at_ms = BigIntegerField()
    told_at_ms = BigIntegerField(null=True)


class CallSoundFile(Table):
    """The sound: WAV, µ-law, 8 kHz, one channel."""

    sound_id = BigIntegerField(primary_key=True)
    content = BlobField()
