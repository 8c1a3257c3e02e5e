"""Who uses the API: staff, service accounts, tokens, sessions; and the audit log of what they did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_api.domain.access import changes, reads
from crm_api.domain.inputs import access as asked
from crm_api.domain.outputs import access as shown
from crm_api.resources import access
from crm_api.resources.acts import Act
from crm_api.resources.declaration import ID, Answer, Endpoint, Operation, id_key
from crm_api.resources.kept import kept, listed

if TYPE_CHECKING:
    from crm_api.bootstrap import Services

TAG = "Access"


def endpoints(services: Services) -> tuple[Endpoint, ...]:
    """Declare them."""
    return (*_own(services), *_of_others(services), _audit(services))


def _own(services: Services) -> tuple[Endpoint, ...]:
    proxies = services.sessions.context.trusted_proxies
    return (
        Endpoint(
            "/v1/login",
            TAG,
            access.Login(services.sessions, proxies),
            (
                Operation(
                    "POST",
                    "Log in",
                    None,
                    (Answer(201, "A session; its token is sent as any other", shown.NewTokenDocument),),
                    "Wrong passwords are counted for each login and address; after too many, wait `Retry-After`.",
                    body=asked.NewSession,
                    problems=frozenset({"unauthorised", "too-many-logins"}),
                ),
            ),
        ),
        Endpoint(
            "/v1/logout",
            TAG,
            access.Logout(services.sessions),
            (
                Operation(
                    "POST",
                    "Log out",
                    changes("self"),
                    (Answer(204, "The session has ended"),),
                    of_oneself=True,
                    problems=frozenset({"invalid-fields"}),
                ),
            ),
        ),
        Endpoint(
            "/v1/me",
            TAG,
            access.Me(services.sessions),
            (Operation("GET", "Ask who I am", reads("self"), (Answer(200, "Role and companies", shown.Myself),)),),
        ),
        Endpoint(
            "/v1/me/password",
            TAG,
            access.MyPassword(services.sessions, proxies),
            (
                Operation(
                    "POST",
                    "Change my password",
                    changes("self"),
                    (Answer(204, "It holds from now on; all other sessions have ended"),),
                    body=asked.PasswordChange,
                    of_oneself=True,
                    problems=frozenset({"too-many-logins"}),
                ),
            ),
        ),
    )


def _of_others(services: Services) -> tuple[Endpoint, ...]:
    return (
        *kept(
            "/v1/staff",
            tag=TAG,
            plural="staff",
            service=services.staff,
            query=asked.StaffQuery,
            document=shown.StaffDocument,
            new=asked.NewStaff,
            change=asked.StaffChange,
            made=shown.StaffWithPassword,
            readers=reads("access"),
            writers=changes("access"),
        ),
        Endpoint(
            f"/v1/staff/{ID}/reset-password",
            TAG,
            Act(services.staff.reset_password),
            (
                Operation(
                    "POST",
                    "Give a member of staff a new password",
                    changes("access"),
                    (Answer(200, "With the password, shown once", shown.StaffWithPassword, headers=("ETag",)),),
                    "All sessions end.",
                ),
            ),
            id_key("member of staff"),
        ),
        *kept(
            "/v1/service-accounts",
            tag=TAG,
            plural="service accounts",
            service=services.service_accounts,
            query=asked.PrincipalQuery,
            document=shown.ServiceAccountDocument,
            new=asked.NewServiceAccount,
            change=asked.ServiceAccountChange,
            readers=reads("access"),
            writers=changes("access"),
        ),
        *kept(
            "/v1/tokens",
            tag=TAG,
            plural="tokens of service accounts",
            service=services.api_tokens,
            query=asked.TokenQuery,
            document=shown.TokenDocument,
            new=asked.NewApiToken,
            made=shown.NewTokenDocument,
            readers=reads("access"),
            writers=changes("access"),
        ),
        *kept(
            "/v1/sessions",
            tag=TAG,
            plural="sessions of staff",
            service=services.sessions,
            query=asked.TokenQuery,
            document=shown.TokenDocument,
            readers=reads("access"),
            writers=changes("access"),
        ),
    )


def _audit(services: Services) -> Endpoint:
    return listed(
        "/v1/audit",
        tag="Audit",
        plural="changes, the newest first",
        service=services.audit_log,
        query=asked.AuditQuery,
        document=shown.AuditDocument,
        readers=reads("audit"),
    )
