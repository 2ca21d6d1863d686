"""What an audit leaves: found again, written, shown."""

from __future__ import annotations

from pathlib import Path

from leakcheck import store
from leakcheck.credentials import Secrets
from leakcheck.errors import LeakcheckError, UsageError
from leakcheck.model.audit import Audit
from leakcheck.render import renderer
from leakcheck.render.terminal import open_console, print_audit, print_plain
from leakcheck.verdicts import conclude


def load(source: Path) -> tuple[Path, Audit]:
    """Find the audit in a folder or a file: audit.json if it is there, else the journal."""
    directory = source if source.is_dir() else source.parent
    wanted = (directory / store.AUDIT, directory / store.JOURNAL) if source.is_dir() else (source,)
    found = next((path for path in wanted if path.is_file()), None)
    if found is None:
        raise UsageError(
            f"'{source}' holds neither {store.AUDIT} nor {store.JOURNAL}; give the folder that an audit wrote"
        )
    if found.suffix == ".jsonl":
        return directory, Secrets().hide_all(conclude(store.read_journal(found)))
    return directory, store.read_audit(found)


def write_reports(directory: Path, audit: Audit) -> None:
    """Write audit.json and report.html, each whole. Raises LeakcheckError where that is not possible."""
    for name in ("json", "html"):
        one = renderer(name)
        store.write_whole(directory / one.FILE, one.render(audit))


def show(audit: Audit, *, print_json: bool) -> None:
    """Print the audit on standard output, for people or as JSON."""
    console = open_console()
    try:
        if print_json:
            print_plain(renderer("json").render(audit).decode(), console)
        else:
            print_audit(audit, console)
    except OSError as error:
        raise LeakcheckError(
            f"Standard output cannot be written ({error.strerror}); read '{audit.plan.directory}' instead"
        ) from error
