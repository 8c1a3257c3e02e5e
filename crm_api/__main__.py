"""`python -m crm_api serve|migrate|token create --config <crm.json>`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crm_api.bootstrap import make_context, set_up_logging
from crm_api.config import ConfigError, CrmConfig, read_config
from crm_api.domain.problems import ProblemError
from crm_api.migrations import migrate
from crm_api.services.tokens import KINDS, Tokens


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
        else:
            tokens = Tokens(make_context(config))
            sys.stdout.write(tokens.create(asked.name, asked.kind, asked.company, replace=asked.replace) + "\n")
    except (ConfigError, ProblemError, ValueError) as error:
        sys.stderr.write(f"crm_api: {error}\n")
        return 2
    return 0


def _serve(config: CrmConfig) -> None:
    from crm_api.server import CrmServer  # noqa: PLC0415 - gunicorn is not needed by the other commands

    CrmServer(config).run()


def _migrate(config: CrmConfig) -> None:
    context = make_context(config)
    for name in migrate(context.database):
        sys.stdout.write(f"{name}\n")
    tokens = Tokens(context)
    for token in config.bootstrap_tokens:
        tokens.create(token.name, token.kind, replace=True, token=token.token)


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
    for command in (serve, migrated, token):
        command.add_argument("--config", type=Path, required=True)
    return parser


if __name__ == "__main__":
    sys.exit(main())
