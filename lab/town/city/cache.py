"""Cities already built, as SQLite files by what made them, so that nobody waits for the same city twice."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from crm_api.migrations import migrate
from crm_api.tables.database import CrmDatabase
from lab.settings import REPOSITORY
from lab.town.city.build import SEED, build_city

if TYPE_CHECKING:
    from lab.town.city.sizes import CitySize

CACHE: Final = REPOSITORY / "var" / "town"
_SOURCES: Final = (REPOSITORY / "crm_api" / "migrations", Path(__file__).parent)


def cache_key(size: CitySize, realm: str, seed: int) -> str:
    """Name of a city: its size, and a hash of seed, realm, migrations and of the code that builds it."""
    digest = hashlib.sha256(f"{seed}:{realm}".encode())
    for source in _SOURCES:
        for file in sorted(source.iterdir()):
            if file.is_file():
                digest.update(file.name.encode() + file.read_bytes())
    return f"{size.name}-{digest.hexdigest()[:12]}"


def cached_city(size: CitySize, realm: str, seed: int = SEED, *, quiet: bool = False) -> Path:
    """Return the SQLite file of a city, built unless it is there; other versions of it are removed."""
    CACHE.mkdir(parents=True, exist_ok=True)
    kept = CACHE / f"{cache_key(size, realm, seed)}.db"
    if kept.exists():
        return kept
    for old in CACHE.glob(f"{size.name}-*.db*"):
        old.unlink()
    fresh = kept.with_suffix(f".fresh-{os.getpid()}")
    database = CrmDatabase(f"sqlite:///{fresh}")
    try:
        migrate(database)
        build_city(database, size, realm, seed, quiet=quiet)
        # One file without -wal and -shm beside it can be copied.
        database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        database.forget_connection()
        fresh.rename(kept)
    finally:
        database.forget_connection()
        for left in CACHE.glob(f"{fresh.name}*"):
            left.unlink()
    return kept
