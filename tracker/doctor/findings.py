"""What a check says, and what is said of an error that ends one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from tracker.errors import TrackerError, explain_import_error, explain_missing_system_library


@dataclass(frozen=True)
class Finding:
    """What a check says. state: ok, note (something that not everybody needs is absent) or problem."""

    state: str
    text: str
    remedy: str | None = None


Check: TypeAlias = Callable[[], Iterable[Finding]]


def is_failed(findings: Iterable[Finding]) -> bool:
    """Whether a check was not passed at all: one that works may still have a problem to tell."""
    return {finding.state for finding in findings} == {"problem"}


def explained(error: Exception, mend: str) -> Finding:
    """A problem and its remedy, which the program's own messages have behind a semicolon."""
    is_nameless = isinstance(error, ImportError) and not error.name and not isinstance(error, TrackerError)
    if is_nameless and not explain_missing_system_library(error):
        return Finding("problem", f"it does not import ({' '.join(str(error).split())[:200]})", mend)
    if isinstance(error, ImportError | AttributeError) and not isinstance(error, TrackerError):
        error = explain_import_error(error)
    text = " ".join(str(error).split()) or type(error).__name__
    if not isinstance(error, TrackerError):
        return Finding("problem", f"{type(error).__name__}: {text}"[:300], mend)
    what, _, remedy = text.rpartition("; ")
    return Finding("problem", what or remedy, remedy.removeprefix("run: ") if what else None)
