"""Import errors become one line with the remedy; every error has its exit code."""

from __future__ import annotations

import pytest

from tracker import errors
from tracker.errors import TrackerError, UsageError, explain_import_error


@pytest.mark.parametrize(
    "library", ["libGL.so.1", "libgthread-2.0.so.0", "libglib-2.0.so.0"], ids=["GL", "gthread", "glib"]
)
def test_missing_system_libraries_name_their_packages(library: str) -> None:
    error = ImportError(f"{library}: cannot open shared object file: No such file or directory")
    message = str(explain_import_error(error))
    assert library in message
    assert "apt-get install libgl1 libglib2.0-0" in message


def test_a_missing_package_says_how_to_install_it() -> None:
    message = str(explain_import_error(ModuleNotFoundError("No module named 'av'", name="av")))
    assert message.startswith("av cannot be imported")
    assert "pip install -r requirements.txt" in message


def test_exit_codes() -> None:
    tree = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, TrackerError)]
    assert {e.exit_code for e in tree if e is not UsageError} == {1}
    assert UsageError.exit_code == 2
