"""Push services as the outside world plays them: strict about every header, token and body, with faults to order.

One small HTTP server speaks for Google, Apple, Huawei and a maker of apps. APNs is HTTP/2 in the world outside; what a
request holds is the same.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import parse_qs, unquote

import jwt
from cryptography.hazmat.primitives import serialization

from lab.peers.http_service import HttpService, Reply, Request
from lab.peers.watch import Watch

if TYPE_CHECKING:
    from lab.settings import LabSettings

Fault = Literal["none", "hangs", "refuses"]
Answer = tuple[int, dict[str, Any]]
_SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_HMS_SUCCESS = "80000000"
_LONGEST_APNS_TOKEN = 200


@dataclass
class Received:
    """A push that a service has taken."""

    platform: str
    token: str
    data: dict[str, str]
    at_s: float


Handler = Callable[[Request], Answer]


@dataclass
class PushServices:
    """The services. `dead` are tokens that no device has any more; `faults` go by platform."""

    config: dict[str, Any]
    received: list[Received] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    dead: set[str] = field(default_factory=set)
    faults: dict[str, Fault] = field(default_factory=dict)
    failures_left: dict[str, int] = field(default_factory=dict)
    """By platform: how often the service says 503 before it works."""
    _watch: Watch = field(default_factory=Watch)
    _service: HttpService | None = None

    @classmethod
    async def start(cls, settings: LabSettings) -> Self:
        """Serve at the lab's address with the keys of its configuration."""
        config = json.loads((settings.etc / "crm.json").read_text(encoding="utf-8"))["push"]
        services = cls(config)
        services._service = await HttpService.start(settings.push_host, 80, services._serve)
        return services

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._service is not None:
            await self._service.stop()

    async def wait_for(self, token: str, kind: str = "call", timeout_s: float = 5.0) -> Received:
        """Wait for a push of this type to a token, past ones included."""

        def found() -> Received | None:
            return next((got for got in self.received if got.token == token and got.data["type"] == kind), None)

        await self._watch.until(
            lambda: found() is not None, timeout_s, lambda: f"no {kind} push to {token}; refused: {self.refused}"
        )
        got = found()
        if got is None:
            raise AssertionError("a push that was there is gone")
        return got

    async def _serve(self, request: Request) -> Reply:
        status, answer = await self._answer(request)
        return Reply(status, json.dumps(answer).encode())

    async def _answer(self, request: Request) -> Answer:
        platform, answer = self._route(request)
        fault = self.faults.get(platform, "none")
        if fault == "hangs":
            await asyncio.Event().wait()
        if fault == "refuses":
            return 403, {"error": {"status": "PERMISSION_DENIED"}, "reason": "Forbidden", "code": "80200005"}
        if self.failures_left.get(platform, 0) > 0:
            self.failures_left[platform] -= 1
            return 503, {"reason": "ServiceUnavailable"}
        try:
            return answer(request)
        except (KeyError, ValueError, jwt.PyJWTError) as error:
            self.refused.append(f"{platform}: {type(error).__name__} {error}")
            return 400, {"error": {"status": "INVALID_ARGUMENT"}, "reason": "BadRequest", "code": "80100003"}

    def _route(self, request: Request) -> tuple[str, Handler]:
        routes: dict[str, tuple[str, Handler]] = {
            "/token": ("fcm-token", self._fcm_token),
            f"/v1/projects/{self.config['fcm']['project_id']}/messages:send": ("fcm", self._fcm),
            "/3/device/": ("apns", self._apns),
            "/oauth2/v3/token": ("hms-token", self._hms_token),
            f"/v1/{self.config['hms']['app_id']}/messages:send": ("hms", self._hms),
            "/hook/": ("webhook", self._webhook),
        }
        for path, route in routes.items():
            if request.path == path or (path.endswith("/") and request.path.startswith(path)):
                return route
        return "nobody", lambda _request: (404, {})

    def _fcm_token(self, request: Request) -> Answer:
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        _must(form["grant_type"] == _GRANT, form["grant_type"])
        claims = jwt.decode(
            form["assertion"], self._public_key("fcm"), algorithms=["RS256"], audience=self.config["fcm"]["token_url"]
        )
        _must(claims["iss"] == self.config["fcm"]["client_email"], "another service account")
        _must(claims["scope"] == _SCOPE, "another scope")
        _must(0 < claims["exp"] - claims["iat"] <= 3600, "a lifetime that Google does not give")  # noqa: PLR2004 - Google's limit
        return 200, {"access_token": "lab-fcm-access", "expires_in": 3600, "token_type": "Bearer"}

    def _fcm(self, request: Request) -> Answer:
        if request.headers.get("authorization") != "Bearer lab-fcm-access":
            return 401, {"error": {"status": "UNAUTHENTICATED"}}
        message = json.loads(request.body)["message"]
        _must(message["android"]["priority"] == "HIGH", "a priority that wakes nobody")
        _must(message["android"]["ttl"].endswith("s"), "ttl without s")
        _must(all(isinstance(value, str) for value in message["data"].values()), "FCM takes texts only")
        if message["token"] in self.dead:
            return 404, {"error": {"status": "NOT_FOUND", "details": [{"errorCode": "UNREGISTERED"}]}}
        return self._take("fcm", message["token"], message["data"], {"name": "projects/entryphone-lab/messages/1"})

    def _apns(self, request: Request) -> Answer:
        scheme, _, text = request.headers["authorization"].partition(" ")
        _must(scheme == "bearer", "no bearer token")
        _must(jwt.get_unverified_header(text)["kid"] == self.config["apns"]["key_id"], "another key")
        claims = jwt.decode(text, self._public_key("apns"), algorithms=["ES256"])
        _must(claims["iss"] == self.config["apns"]["team_id"], "another team")
        _must(abs(time.time() - claims["iat"]) < 3600, "an old token")  # noqa: PLR2004 - Apple's limit
        voip = request.headers["apns-push-type"] == "voip"
        _must(
            request.headers["apns-topic"] == self.config["apns"]["topic"] + (".voip" if voip else ""), "another topic"
        )
        _must(int(request.headers["apns-expiration"]) >= int(time.time()) - 1, "expired")
        kind = request.headers["apns-push-type"]
        _must(request.headers["apns-priority"] == ("5" if kind == "background" else "10"), "another priority")
        _must(bool(request.headers.get("apns-collapse-id", "x")), "an empty apns-collapse-id")
        token = unquote(request.path.removeprefix("/3/device/"))
        if len(token) > _LONGEST_APNS_TOKEN:
            return 400, {"reason": "BadDeviceToken"}
        if token in self.dead:
            return 410, {"reason": "Unregistered", "timestamp": 1}
        data = json.loads(request.body)
        aps = data.pop("aps")
        if kind == "alert":
            _must(bool(aps["alert"].get("body")) and "" not in aps["alert"].values(), "an alert that shows nothing")
        else:
            _must(aps == {"content-available": 1}, "nothing may be shown")
        return self._take("apns_voip" if voip else "apns", token, data, {})

    def _hms_token(self, request: Request) -> Answer:
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        expected = {
            "grant_type": "client_credentials",
            "client_id": self.config["hms"]["app_id"],
            "client_secret": self.config["hms"]["app_secret"],
        }
        _must(form == expected, str(form))
        return 200, {"access_token": "lab-hms-access", "expires_in": 3600}

    def _hms(self, request: Request) -> Answer:
        if request.headers.get("authorization") != "Bearer lab-hms-access":
            return 401, {"code": "80200001"}
        told = json.loads(request.body)
        _must(told["validate_only"] is False, "only validated")
        _must(told["message"]["android"]["urgency"] == "HIGH", "an urgency that wakes nobody")
        (token,) = told["message"]["token"]
        if token in self.dead:
            return 200, {"code": "80300007", "msg": "all tokens are invalid"}
        return self._take("hms", token, json.loads(told["message"]["data"]), {"code": _HMS_SUCCESS})

    def _webhook(self, request: Request) -> Answer:
        parts = dict(part.split("=", 1) for part in request.headers["entryphone-signature"].split(","))
        _must(abs(time.time() - int(parts["t"])) < 300, "an old signature")  # noqa: PLR2004 - as our documents say
        signed = f"{parts['t']}.".encode() + request.body
        right = hmac.digest(self.config["webhook"]["secret"].encode(), signed, hashlib.sha256).hex()
        _must(hmac.compare_digest(parts["v1"], right), "a wrong signature")
        token = f"http://{request.headers['host']}{request.path}"
        if token in self.dead:
            return 410, {}
        return self._take("webhook", token, json.loads(request.body), {})

    def _take(self, platform: str, token: str, data: dict[str, str], answer: dict[str, Any]) -> Answer:
        self.received.append(Received(platform, token, data, time.monotonic()))
        self._watch.notify()
        return 200, answer

    def _public_key(self, service: str) -> Any:
        private = Path(self.config[service]["private_key_file"]).read_bytes()
        return serialization.load_pem_private_key(private, None).public_key()


def _must(right: object, what: str) -> None:
    """Refuse a request that is not as the service wants it."""
    if not right:
        raise ValueError(what)
