"""What phones have used, counted by day (UTC) for each company and each apartment.

A plan with phones reads the month so far: to add up a company's legs took 31 ms when it had 100,000 of them, its days
take 10 us. The database counts itself, with the leg and in its transaction, so that whoever writes or removes one
counts it, a process of the release before among them. A leg is never changed. A table that takes the place of
`phone_legs` needs the triggers anew.
"""

DAY_MS = 86_400_000

_ADDED = """
    INSERT INTO phone_seconds (counted, of_whom, day, billed_s)
    SELECT 'company', NEW.company_id, NEW.ended_at_ms / 86400000, NEW.billed_s WHERE NEW.company_id IS NOT NULL
    UNION ALL
    SELECT 'apartment', NEW.apartment_id, NEW.ended_at_ms / 86400000, NEW.billed_s WHERE NEW.apartment_id IS NOT NULL
    ON CONFLICT (counted, of_whom, day) DO UPDATE SET billed_s = phone_seconds.billed_s + excluded.billed_s;
"""
_THESE = """day = OLD.ended_at_ms / 86400000 AND (
        (counted = 'company' AND of_whom = OLD.company_id) OR (counted = 'apartment' AND of_whom = OLD.apartment_id))"""
_REMOVED = f"""
    UPDATE phone_seconds SET billed_s = billed_s - OLD.billed_s WHERE {_THESE};
    DELETE FROM phone_seconds WHERE billed_s = 0 AND {_THESE};
"""  # noqa: S608 - constants


def _function(name: str, body: str) -> str:
    return f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NULL; END $$"


def _trigger(name: str, moment: str, body: str) -> dict[str, str | None]:
    return {
        "sqlite": f"CREATE TRIGGER {name} AFTER {moment} ON phone_legs BEGIN {body} END",
        "postgresql": f"CREATE TRIGGER {name} AFTER {moment} ON phone_legs FOR EACH ROW EXECUTE FUNCTION {name}()",
    }


STATEMENTS = (
    """CREATE TABLE phone_seconds (
    counted TEXT NOT NULL CHECK (counted IN ('company', 'apartment')),
    of_whom {int} NOT NULL,
    day {int} NOT NULL,
    billed_s {int} NOT NULL,
    PRIMARY KEY (counted, of_whom, day)
){keyed}""",
    {"sqlite": None, "postgresql": _function("phone_seconds_added", _ADDED)},
    {"sqlite": None, "postgresql": _function("phone_seconds_removed", _REMOVED)},
    # Triggers first: whoever writes a leg from here on waits on PostgreSQL, and is counted then.
    _trigger("phone_seconds_added", "INSERT", _ADDED),
    _trigger("phone_seconds_removed", "DELETE", _REMOVED),
    *(
        "INSERT INTO phone_seconds (counted, of_whom, day, billed_s) "  # noqa: S608 - constants
        f"SELECT '{whose}', {whose}_id, ended_at_ms / {DAY_MS}, sum(billed_s) FROM phone_legs "
        f"WHERE {whose}_id IS NOT NULL GROUP BY {whose}_id, ended_at_ms / {DAY_MS}"
        for whose in ("company", "apartment")
    ),
)
