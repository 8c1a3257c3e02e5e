"""How long a company keeps its access records."""

STATEMENTS = (
    """ALTER TABLE companies ADD COLUMN access_records_kept_days {int}
    CHECK (access_records_kept_days BETWEEN 1 AND 3660)""",
)
