"""The command line: one file a verb. A verb's module is imported only when it, or the help, is asked for.

A verb's module has HELP, EXAMPLES, add_arguments(parser) and run(args) -> exit code. Exit codes: 0 done,
1 something unforeseen, 2 wrong use, 3 bad input, 4 drive, 5 state, 6 executor, 7 a part is missing,
8 MLflow, 9 a stage failed, 10 the doctor found something bad, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from heliograph import __version__
from heliograph.errors import HeliographError

VERBS = (
    *("demo", "init", "doctor"),
    *("train", "watch", "evaluate", "analyse", "job"),
    *("status", "why", "logs", "retry", "cancel", "quarantine", "dashboard"),
    *("mlflow", "sync", "db"),
)
_GLOBAL_WITH_VALUE = ("--drive", "--log-level")
_ABOUT = "Carries a trained model from one server to the next: train, evaluate, analyse, exactly once each."


def _module(verb: str) -> ModuleType:
    return import_module(f"heliograph.cli.{verb}")


def _asked_verb(argv: Sequence[str]) -> str | None:
    """Return the verb: the first word that is neither an option nor the value of a global one."""
    words = iter(argv)
    for word in words:
        if word in _GLOBAL_WITH_VALUE:
            next(words, None)
        elif not word.startswith("-"):
            return word if word in VERBS else None
    return None


def build_parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """Build the parser for these arguments: of the verb that they name, or of all verbs for the help."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--drive",
        default=argparse.SUPPRESS,
        metavar="FOLDER",
        help="the shared drive (default: the environment variable SHARED_DRIVE)",
    )
    common.add_argument(
        "--log-level", default=argparse.SUPPRESS, choices=["DEBUG", "INFO", "WARNING", "ERROR"]
    )
    parser = argparse.ArgumentParser(prog="heliograph", description=_ABOUT, parents=[common])
    parser.add_argument("--version", action="version", version=f"heliograph {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs")
    asked = _asked_verb(argv)
    for name in [asked] if asked else VERBS:
        module = _module(name)
        sub = verbs.add_parser(
            name,
            help=module.HELP,
            description=module.HELP,
            epilog=f"examples:\n{module.EXAMPLES.rstrip()}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            parents=[common],
        )
        module.add_arguments(sub)
        sub.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code. A user's mistake gives a sentence, not a traceback."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = build_parser(words)
    args = parser.parse_args(words)
    args.drive = getattr(args, "drive", None)
    args.log_level = getattr(args, "log_level", "INFO")
    if args.verb is None:
        parser.print_help()
        return 2
    try:
        return int(args.run(args))
    except HeliographError as error:
        print(f"heliograph: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone (heliograph status | head); that is no error of ours
        return 0
