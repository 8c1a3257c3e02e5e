"""A city of any size from a seed, written in bulk: houses, panels, households, accounts, a year of records."""
