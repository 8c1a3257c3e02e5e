"""Logging in and out, who one is, one's own password."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_api.domain.inputs.access import NewSession, PasswordChange
from crm_api.resources.authentication import principal_of
from crm_api.resources.client_address import client_address
from crm_api.resources.rendering import body_of, send

if TYPE_CHECKING:
    from collections.abc import Collection

    import falcon

    from crm_api.services.sessions import Sessions


class Login:
    """`POST /v1/login`."""

    def __init__(self, sessions: Sessions, proxies: Collection[str]) -> None:
        self._sessions = sessions
        self._proxies = proxies

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Give a session."""
        wish = body_of(req, NewSession)
        document = self._sessions.log_in(wish.login, wish.password, client_address(req, self._proxies))
        resp.set_header("Cache-Control", "no-store")
        send(resp, document, 201)


class Logout:
    """`POST /v1/logout`."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """End the session of this request."""
        self._sessions.log_out(principal_of(req))
        resp.status = 204


class Me:
    """`GET /v1/me`."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Tell who asks."""
        send(resp, self._sessions.myself(principal_of(req)))


class MyPassword:
    """`POST /v1/me/password`."""

    def __init__(self, sessions: Sessions, proxies: Collection[str]) -> None:
        self._sessions = sessions
        self._proxies = proxies

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Change it."""
        wish = body_of(req, PasswordChange)
        self._sessions.change_password(principal_of(req), wish, client_address(req, self._proxies))
        resp.status = 204
