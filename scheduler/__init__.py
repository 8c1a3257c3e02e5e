"""The scheduler: what the platform does at set times, and what it keeps doing beside the calls."""
