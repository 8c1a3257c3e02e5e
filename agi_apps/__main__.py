"""`python -m agi_apps --config agi.json`: the FastAGI server."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from agi_apps.config import InvalidConfig, load_config
from agi_apps.prefork import Master, listen
from agi_apps.worker import Worker


def main() -> int:
    """Run the server in the foreground; the exit code."""
    parser = argparse.ArgumentParser(prog="agi_apps", description="FastAGI server of Entryphone")
    parser.add_argument("--config", type=Path, default=Path("/etc/entryphone/agi.json"))
    path = parser.parse_args().config
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(process)d %(name)s %(message)s"
    )
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its warnings repeat what our one line says
    try:
        config = load_config(path)
        listeners = listen(config.listen_on(), config.workers)
    except (InvalidConfig, OSError) as error:
        logging.critical("cannot start: %s", error)  # noqa: LOG015 - there is no module to name yet
        return 2
    logging.getLogger("agi_apps").info("listening on %s with %d workers", config.agi_address, config.workers)
    Master(listeners, lambda sock, beat: Worker(config, sock, beat).run(), config.drain_timeout_s).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
