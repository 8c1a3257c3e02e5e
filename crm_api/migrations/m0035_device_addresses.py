"""Whether a device of another company has an address is asked whenever somebody gives one."""

STATEMENTS = tuple(f"CREATE INDEX {table}_address ON {table} (lower(address))" for table in ("panels", "relays"))
