"""When a call was answered: of two answers the first counts, whichever is told first."""

STATEMENTS = ("ALTER TABLE call_records ADD COLUMN answered_at_ms {int}",)
