"""What a voice API has charged for a phone that was answered and never joined its call: the visitor had just left."""

STATEMENTS = (
    "ALTER TABLE voice_calls ADD COLUMN stage {int} NOT NULL DEFAULT 0",
    "ALTER TABLE voice_calls ADD COLUMN branch {int} NOT NULL DEFAULT 0",
    # Until it is counted: when the API told that the call is over, and how long it was.
    "ALTER TABLE voice_calls ADD COLUMN over_at_ms {int}",
    "ALTER TABLE voice_calls ADD COLUMN charged_s {int} NOT NULL DEFAULT 0",
    "CREATE INDEX voice_calls_over ON voice_calls (over_at_ms) WHERE over_at_ms IS NOT NULL",
)
