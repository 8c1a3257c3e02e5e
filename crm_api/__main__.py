"""`python -m crm_api serve|migrate|why|token create|staff create|staff password --config <crm.json>`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from peewee import ProgrammingError
from pydantic import ValidationError

from crm_api.bootstrap import make_context, set_up_logging
from crm_api.config import ConfigError, CrmConfig, read_config
from crm_api.domain.access import StaffRole
from crm_api.domain.inputs.access import NewStaff
from crm_api.domain.problems import InvalidFieldsError, NotFoundError, ProblemError
from crm_api.migrations import migrate
from crm_api.services.history import CallRecords
from crm_api.services.principals import Staff
from crm_api.services.tokens import HERE, KINDS, Tokens
from crm_api.tables.database import DatabaseErrors, reason_of
from crm_api.tables.people import Principal

if TYPE_CHECKING:
    from crm_api.services.context import Context


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit status (2: a problem that the operator can solve)."""
    asked = _parser().parse_args(arguments)
    try:
        config = read_config(asked.config)
        set_up_logging(config)
        if asked.command == "serve":
            _serve(config)
        elif asked.command == "migrate":
            _migrate(config)
        elif asked.command == "why":
            records = CallRecords(make_context(config))
            sys.stdout.write(records.why(HERE, asked.call, asked.account)["sentence"] + "\n")
        elif asked.command == "staff":
            sys.stdout.write(_staff(config, asked) + "\n")
        else:
            tokens = Tokens(make_context(config))
            sys.stdout.write(tokens.create(asked.name, asked.kind, asked.company, replace=asked.replace) + "\n")
    except ProblemError as error:
        told = "; ".join(f"{wrong.field}={wrong.value!r}: {wrong.remedy}" for wrong in error.fields)
        sys.stderr.write(f"crm_api: {told or error}\n")
        return 2
    except (ConfigError, ValueError) as error:
        sys.stderr.write(f"crm_api: {error}\n")
        return 2
    except (*DatabaseErrors, ProgrammingError) as error:
        said = reason_of(error).splitlines()[0]
        sys.stderr.write(f"crm_api: the database: {said}; is it up, and has `crm_api migrate` been run?\n")
        return 2
    return 0


def _serve(config: CrmConfig) -> None:
    from crm_api.server import CrmServer  # noqa: PLC0415 - gunicorn is not needed by the other commands

    make_context(config)  # what is wrong is told here, once, and not by each worker
    CrmServer(config).run()


def _migrate(config: CrmConfig) -> None:
    context = make_context(config)
    try:
        context.database.keep_from_others()
    except PermissionError as error:
        sys.stderr.write(f"crm_api: everybody may read {error.filename}: chmod o-rwx, as its owner\n")
    for name in migrate(context.database):
        sys.stdout.write(f"{name}\n")
    tokens = Tokens(context)
    for token in config.bootstrap_tokens:
        tokens.create(token.name, token.kind, replace=True, token=token.token)


def _staff(config: CrmConfig, asked: argparse.Namespace) -> str:
    """Make a member of staff, or give one a new password; return the password, which is printed once.

    It is the way to the first admin, and back in when the last one has lost his password.
    """
    context = make_context(config)
    staff = Staff(context)
    if asked.action == "password":
        found = Principal.select().where(Principal.login == asked.login.lower()).first()
        if found is None:
            raise NotFoundError.of("member of staff", asked.login)
        return str(staff.reset_password(HERE, found.id)["password"])
    try:
        new = NewStaff(
            login=asked.login,
            name=asked.name or asked.login,
            role=asked.role,
            all_companies=not asked.company,
            companies=[_company(context, name) for name in asked.company] or None,
        )
    except ValidationError as error:
        wrong = (f"{e['loc'][0]}={e['input']!r}: {e['msg']}" for e in error.errors())
        raise InvalidFieldsError("; ".join(wrong)) from None
    return str(staff.made(HERE, new)["password"])


def _company(context: Context, name: str) -> int:
    row = context.database.row("SELECT id FROM companies WHERE name = ?", (name,))
    if row is None:
        raise InvalidFieldsError.one("company", name, "name an existing company")
    return int(row[0])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="crm_api", description="The CRM of Entryphone")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve the API")
    migrated = commands.add_parser("migrate", help="bring the database up to date, then make the configured tokens")
    token = commands.add_parser("token", help="make a token; it is printed once")
    token.add_argument("action", choices=["create"])
    token.add_argument("--name", required=True, help="who will use it")
    token.add_argument("--kind", choices=KINDS, required=True)
    token.add_argument("--company", help="the operator's company, by name")
    token.add_argument("--replace", action="store_true", help="revoke the token of this name")
    staff = commands.add_parser("staff", help="make a member of staff, or give one a new password; it is printed once")
    staff.add_argument("action", choices=["create", "password"])
    staff.add_argument("--login", required=True, help="what is typed to log in")
    staff.add_argument("--name", help="the person's name; the login when left out")
    staff.add_argument("--role", choices=get_args(StaffRole), default="admin")
    staff.add_argument("--company", action="append", default=[], help="by name, several times for several; none: all")
    asks_why = commands.add_parser("why", help="say why a phone did not ring in a call")
    asks_why.add_argument("call", help="Call-ID of the panel's call")
    asks_why.add_argument("account", help="the account that did not ring")
    asks_why.add_argument("--config", type=Path, default=Path("/etc/entryphone/crm.json"))
    for command in (serve, migrated, token, staff):
        command.add_argument("--config", type=Path, required=True)
    return parser


if __name__ == "__main__":
    sys.exit(main())
