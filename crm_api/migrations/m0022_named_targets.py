"""Lines of ring plans by the account that they name: most name none, and an index full of those misleads SQLite.

Its ANALYZE counted 20,000 rows for one value (NULL), so that it found those of a changed account by reading all.
"""

STATEMENTS = (
    "DROP INDEX ring_targets_account",
    "CREATE INDEX ring_targets_account ON ring_targets (account_id) WHERE account_id IS NOT NULL",
)
