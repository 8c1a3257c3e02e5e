"""`python -m agi_apps --config agi.json`: the FastAGI server."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from agi_apps.config import AgiConfig, InvalidConfig, load_config
from agi_apps.prefork import Master, listen

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable


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
    Master(listeners, lambda sock, beat: _work(config, sock, beat), config.drain_timeout_s).run()
    return 0


def _work(config: AgiConfig, listener: socket.socket, beat: Callable[[], None]) -> None:
    """The life of a worker process. gevent is imported and patched in here and nowhere else."""
    from gevent import monkey  # noqa: PLC0415 - the master stays free of gevent

    monkey.patch_all()
    import gevent  # noqa: PLC0415
    from gevent import socket as green_socket  # noqa: PLC0415

    from agi_apps.worker import Worker  # noqa: PLC0415 - must see the patched modules

    green = green_socket.socket(fileno=listener.detach())
    worker = Worker(config, green, beat)
    gevent.signal_handler(signal.SIGTERM, worker.drain)
    # Ctrl-C reaches the whole process group; the master decides when we go.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker.run()


if __name__ == "__main__":
    sys.exit(main())
