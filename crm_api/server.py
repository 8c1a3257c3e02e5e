"""gunicorn with the settings of the configuration file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication

from crm_api.wsgi import build

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from crm_api.config import CrmConfig


class CrmServer(BaseApplication):  # type: ignore[misc]  # gunicorn publishes no types
    """The API behind gunicorn's threaded workers (docs/api.md has the measurement behind the choice)."""

    def __init__(self, config: CrmConfig) -> None:
        self._crm = config
        self._services: Services | None = None
        super().__init__()

    def load_config(self) -> None:
        """Set what gunicorn needs to know."""
        settings: dict[str, Any] = {
            "bind": self._crm.bind,
            "workers": self._crm.workers,
            "worker_class": "crm_api.worker.ReadyWorker",
            "threads": self._crm.threads,
            "keepalive": 75,
            "timeout": 30,
            "graceful_timeout": 10,
            "backlog": 1024,
            "loglevel": "warning",
            "proc_name": "crm_api",
            "control_socket_disable": True,
            # Nothing asks for the scheme, and X-Forwarded-For is read by `trusted_proxies` alone.
            "forwarded_allow_ips": "",
        }
        for name, value in settings.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Any:
        """Make the application in the worker."""
        app, self._services = build(self._crm)
        return app

    def warm_up(self) -> None:
        """Do in a thread what its first request would have to wait for."""
        if self._services is not None:
            self._services.planning.warm_up()
