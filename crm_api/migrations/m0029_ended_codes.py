"""Access codes that ended long ago are found without looking at all others."""

STATEMENTS = ("CREATE INDEX access_codes_ended ON access_codes (ended_at_ms) WHERE ended_at_ms IS NOT NULL",)
