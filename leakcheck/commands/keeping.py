"""What the commands share that look at something: what was seen is kept however it ends, and shown."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path

from leakcheck import composition, config, results, store
from leakcheck.audit import closing
from leakcheck.credentials import Secrets
from leakcheck.errors import LeakcheckError, TargetError, UsageError
from leakcheck.interruption import Interruptible
from leakcheck.model.event import Ended, Planned, Warned
from leakcheck.model.finding import Verdict
from leakcheck.options import Options
from leakcheck.verdicts import conclude

EXIT_CODES = {Verdict.CLEAN: 0, Verdict.LEAK: 1, Verdict.UNDECIDED: 3, Verdict.NOT_JUDGED: 3}
EXIT_INTERRUPTED = 130
OPTIONS_FIRST = {"allow_interspersed_args": False}
"""What follows the first word of COMMAND is COMMAND's, also without `--`."""


def kept(
    setup: config.Setup, carry_out: Callable[[Secrets, store.Journal, Interruptible], None], *, print_json: bool
) -> int:
    """Carry out an audit or a watch, keep what was seen however it ends, show it, and return the exit code."""
    directory, secrets = Path(setup.plan.directory), Secrets(setup.secret_values)
    unwritten: LeakcheckError | None = None
    try:
        composition.check_ports(setup)
        composition.check_inside(setup)
        with store.Journal(directory, secrets) as journal, Interruptible() as interruptible:
            try:
                carry_out(secrets, journal, interruptible)
            except KeyboardInterrupt:  # while the target was started or stopped; further signals are ignored by now
                if not any(isinstance(event, Planned) for event in journal.events):
                    raise
            except (UsageError, TargetError) as error:  # told below; `leakcheck report` tells it again
                journal.write(Warned(message=str(error)))
                journal.write(closing("not begun"))
                raise
            if not any(isinstance(event, Ended) for event in journal.events):
                journal.write(closing("interrupted"))
            audit = conclude(journal.events)
            try:
                results.write_reports(directory, audit)
            except LeakcheckError as error:  # shown all the same
                unwritten = error
    except LeakcheckError as error:
        raise type(error)(secrets.hide(str(error))) from None
    results.show(audit, print_json=print_json)
    if unwritten is not None:
        raise unwritten
    return EXIT_INTERRUPTED if audit.tool.ended == "interrupted" else EXIT_CODES[audit.verdict]


def directory_of(options: Options) -> Path:
    """Return the folder that was asked for, or a new one in .leakcheck."""
    if options.out:
        return Path(options.out)
    stamp = dt.datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    words = "".join(c if c.isalnum() else "-" for c in (options.name or config.default_name(options)))
    return Path(".leakcheck") / f"{stamp}-{words.strip('-')[:40]}-{os.getpid()}"
