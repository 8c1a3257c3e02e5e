"""`make town SIZE=demo|district|city`: a city into the lab's database, or into the one that DATABASE names."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from urllib.parse import urlsplit

from crm_api.migrations import migrate
from crm_api.tables.database import CrmDatabase, DatabaseErrors
from lab.settings import LabSettings
from lab.stack import Stack
from lab.town.city.build import SEED, NotEmptyError, build_city
from lab.town.city.cache import cached_city
from lab.town.city.sizes import SIZES, CitySize


def main() -> int:
    """Make a city; returns the exit code."""
    asked = _parser().parse_args()
    settings = LabSettings()
    started = time.monotonic()
    try:
        if asked.database:
            where = _into_database(asked.database, SIZES[asked.size], settings.domain, asked.seed)
        else:
            where = _into_lab(settings, SIZES[asked.size], asked.seed)
    except (NotEmptyError, ValueError) as error:
        print(f"town: {error}", file=sys.stderr)
        return 1
    except (OSError, *DatabaseErrors) as error:
        told = str(error).splitlines()[0]
        print(f"town: {told}; is DATABASE one that can be reached or made?", file=sys.stderr)
        return 1
    print(f"{asked.size} in {where} after {time.monotonic() - started:.0f} s")
    return 0


def _into_database(url: str, size: CitySize, realm: str, seed: int) -> str:
    """Build in the empty database at this URL."""
    database = CrmDatabase(url)
    migrate(database)
    build_city(database, size, realm, seed)
    parts = urlsplit(url)
    return f"{parts.scheme} {parts.path[1:]}"


def _into_lab(settings: LabSettings, size: CitySize, seed: int) -> str:
    """Copy the (cached) city to where the lab has its SQLite database; `make up` then adds tokens and the demo town."""
    if any(line.pid for line in Stack(settings).status()):
        raise NotEmptyError("the lab is running: `make down` first")
    target = settings.lib / "crm.db"
    source = cached_city(size, settings.domain, seed)
    settings.create_directories()
    if target.exists():
        target.replace(target.with_suffix(".db.before"))
    for beside in ("-wal", "-shm"):
        target.with_name(target.name + beside).unlink(missing_ok=True)
    # Contacts and last known plans of the town before belong to accounts that are not there any more.
    for stale in (*settings.lib.glob("location.db*"), *settings.lib.glob("agi.db*")):
        stale.unlink()
    shutil.copy2(source, target)
    return str(target)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make town", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="demo")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument(
        "--database",
        default="",
        help="sqlite:////absolute/path.db or postgresql://user:password@host/name; must be empty (default: the lab's)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
