"""Access records have a place for the number of their key, which it keeps when the key is no more.

The number of a key is written with each use from now on. What was written before, and what a process of the release
before still writes, gets it when its key goes (m0045_key_numbers_kept).

Each of these migrations locks one table on PostgreSQL, as its transaction holds it to the end: the release before may
still be at work, and removes a key before what refers to it, but an apartment the other way round.
"""

STATEMENTS = (
    "ALTER TABLE access_records ADD COLUMN key_number TEXT",
    "CREATE INDEX access_records_key_number ON access_records (key_number, id) WHERE key_number IS NOT NULL",
)
