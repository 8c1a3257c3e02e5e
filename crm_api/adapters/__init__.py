"""Redis, panels, encryption."""
