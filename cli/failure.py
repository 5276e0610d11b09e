"""How a command ends when it cannot do its work: a line that says what to do, and an exit status.

Status 2 stands for configuration (zoo file, ports, directories), 130 for Ctrl-C, 1 for all else, also for an
output that nobody reads any more.
"""

import errno
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import grpc
import typer
from typer.core import TyperGroup

from cli.entry import EXIT_INTERRUPTED, say_interrupted
from cli.settings import read_cli_settings
from services.core.errors import ConfigError, ConfigProblem, MessPlusError

EXIT_FAILURE = 1
EXIT_CONFIG = 2


class CommandError(MessPlusError):
    """A command cannot go on; the message says what to do."""


class RefusedError(CommandError):
    """A running system refused to change; one problem per line."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problems))


class ReportingGroup(TyperGroup):
    """A command group that ends with one line per problem instead of a traceback."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        """Reads the arguments, and prints the group's own help; fails as `invoke` does."""
        with _reported():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; turns what it raises into lines on standard error and an exit status."""
        with _reported(debug=bool(ctx.params.get("debug"))):
            return super().invoke(ctx)


@contextmanager
def _reported(*, debug: bool = False) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        # Who read the output has seen enough, as `head -1` has: Typer ends without a word, as rich does.
        raise
    except (MessPlusError, OSError, grpc.RpcError) as error:
        report(error, debug=debug or _debug_wanted())
        raise typer.Exit(exit_status(error)) from None
    except KeyboardInterrupt:
        say_interrupted()
        raise typer.Exit(EXIT_INTERRUPTED) from None


def report(error: Exception, *, debug: bool) -> None:
    """Writes what went wrong to standard error, with the traceback if `debug`."""
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    for line in explain(error):
        sys.stderr.write(f"messplus: {line}\n")


def explain(error: Exception) -> list[str]:
    """Lines for people: what went wrong and what to do."""
    if isinstance(error, ConfigError):
        return [_say(problem) for problem in error.problems]
    if isinstance(error, OSError):
        return [_explain_os(error)]
    if isinstance(error, grpc.RpcError):
        return [f"a service answered {_rpc_summary(error)}; its log is in the data directory"]
    if isinstance(error, RefusedError):
        return list(error.problems)
    return [" ".join(str(error).split())]


def exit_status(error: Exception) -> int:
    """2 for a wrong configuration, 1 for all else."""
    return EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_FAILURE


def config_error(location: str, key: str, value: object, allowed: str) -> ConfigError:
    """A ConfigError of one problem."""
    return ConfigError([ConfigProblem(location, key, str(value), allowed)])


def _say(problem: ConfigProblem) -> str:
    return " ".join(str(problem).split())


def _explain_os(error: OSError) -> str:
    place = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"the disk is full{place}: free some space and run the command again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"no permission to write{place}: choose another directory (--data-dir, MESSPLUS_DATA)"
    return f"{error.strerror or error}{place}"


def _rpc_summary(error: grpc.RpcError) -> str:
    code, details = getattr(error, "code", None), getattr(error, "details", None)
    return f"{code().name}: {details()}" if code and details else repr(error)


def _debug_wanted() -> bool:
    try:
        return read_cli_settings().debug
    except ConfigError:
        return False
