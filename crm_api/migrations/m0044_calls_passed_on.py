"""Whose a call is the number says that was dialled first; whom it rang besides stands by itself.

`dialled_late`: so far the number is known from what may also follow a passing on, and gives way to the first one.
`call_apartments`: apartments that a call rang although no panel has dialled them, for the list of their calls. The
calls of before have none there.
"""

STATEMENTS = (
    # As the new table refers to them: before the calls, as by whoever of the release before removes an apartment.
    {"sqlite": None, "postgresql": "LOCK TABLE apartments IN SHARE ROW EXCLUSIVE MODE"},
    "ALTER TABLE call_records ADD COLUMN dialled_late {bool} NOT NULL DEFAULT {false}",
    """CREATE TABLE call_apartments (
    apartment_id {int} NOT NULL REFERENCES apartments (id) ON DELETE CASCADE,
    call_id TEXT NOT NULL REFERENCES call_records (call_id) ON DELETE CASCADE,
    PRIMARY KEY (apartment_id, call_id)
){keyed}""",
    "CREATE INDEX call_apartments_call ON call_apartments (call_id)",
)
