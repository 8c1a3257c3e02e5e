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
                    "For people: the session of this very request ends, their others go on. The token of a program "
                    "is none (422); it is revoked under `/v1/tokens`.",
                    of_oneself=True,
                    problems=frozenset({"invalid-fields"}),
                ),
            ),
        ),
        Endpoint(
            "/v1/me",
            TAG,
            access.Me(services.sessions),
            (
                Operation(
                    "GET",
                    "Ask who I am",
                    reads("self"),
                    (Answer(200, "Role and companies", shown.Myself),),
                    "Of the token that this request carries: who stands in the audit log for it, and for which "
                    "companies it may ask. A good first request to see whether a token holds.",
                ),
            ),
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
                    "The current password has to be given; wrong ones count as wrong logins do, and after too many "
                    "the answer is 429. The session of this request goes on. A program has no password (422).",
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
            removal=(
                "All his sessions are refused from now on. What he did stays in the audit log under his name. "
                "Nobody removes himself (403)."
            ),
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
                    "For who has forgotten his: the old one is refused and all his sessions end. The new one is in "
                    "this answer and never shown again; he changes it under `/v1/me/password`.",
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
            removal=(
                "All its tokens are refused from now on, on the call path within a second. What it did stays in "
                "the audit log under its name. Nobody removes himself (403)."
            ),
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
            removal=(
                "It is revoked: refused from now on, on the call path within a second. It stays listed, with "
                "`revoked_at_ms`."
            ),
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
            removal=(
                "It is revoked: who is logged in with it has to log in again. It stays listed, with "
                "`revoked_at_ms`, until 90 days after its end."
            ),
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
