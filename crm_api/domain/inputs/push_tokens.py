"""Push tokens of an app's devices as they are asked for."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import StringConstraints

from crm_api.domain.inputs.base import AccountName, FilterId, Input, Name, PageQuery

Platform = Literal["fcm", "apns", "apns_voip", "hms", "webhook"]
Device = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,128}$")]
PushTokenText = Annotated[str, StringConstraints(min_length=8, max_length=4096, pattern=r"^[\x21-\x7e]+$")]


class NewPushToken(Input):
    """Where a device of an app is woken. A device that has a token already gets this one in its place."""

    account: AccountName
    device: Device
    platform: Platform
    token: PushTokenText

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "account": "a10012-olga",
        "device": "pixel-7a1f",
        "platform": "fcm",
        "token": "fGc3s9:APA91bHun4",
    }


class PushTokenInvalid(Input):
    """The push service has refused the token: it is not used until the device sends another."""

    reason: Name

    EXAMPLE: ClassVar[dict[str, Any]] = {"reason": "UNREGISTERED"}


class PushTokenQuery(PageQuery):
    """Tokens of an account."""

    company_id: FilterId = None
    account: AccountName | None = None
    platform: Platform | None = None
    valid: bool | None = None
