"""When the residents were told of a message that a visitor left."""

STATEMENTS = (
    "ALTER TABLE call_sounds ADD COLUMN told_at_ms {int}",
    "CREATE INDEX call_sounds_untold ON call_sounds (at_ms) WHERE told_at_ms IS NULL AND kind = 'message'",
)
