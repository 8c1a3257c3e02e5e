"""Where a server of a unit test may listen."""

from __future__ import annotations

import os
import socket


def free_address() -> tuple[str, int]:
    """An address and a port: nobody else uses this loopback address, or takes its port meanwhile."""
    process = os.getpid()
    with socket.create_server((f"127.77.{process >> 8 & 255}.{process & 255}", 0)) as listener:
        host, port = listener.getsockname()
        return host, port
