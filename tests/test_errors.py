"""Import errors become one line with the remedy; every error has its exit code."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tracker import errors
from tracker.doctor.checks import mend_of
from tracker.errors import TrackerError, UsageError, explain_import_error, is_hollow

ROOT = Path(__file__).resolve().parent.parent


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
    assert message.endswith("; run: pip install -r requirements.txt")


def test_an_installed_copy_names_what_can_be_typed_where_no_list_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "_REQUIREMENTS", Path("site-packages/requirements.txt"))
    message = str(explain_import_error(ModuleNotFoundError("No module named 'av'", name="av")))
    assert message.endswith("; run: pip install pose-tracker")
    assert mend_of("video") == "pip install --force-reinstall av"
    assert mend_of("tracking") == "install the program again, in a new virtual environment"


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(AttributeError("module 'cv2' has no attribute 'x'", obj=ModuleType("cv2"), name="x"), id="hollow"),
        pytest.param(ImportError("cannot import name 'x' from 'cv2' (unknown location)", name="cv2"), id="a name"),
        pytest.param(ModuleNotFoundError("No module named 'cv2.typing'", name="cv2.typing"), id="a part"),
        pytest.param(ImportError('recursion is detected during loading of "cv2" binary extensions'), id="no binary"),
    ],
)
def test_a_library_that_is_not_whole_is_installed_anew(error: ImportError | AttributeError) -> None:
    message = str(explain_import_error(error))
    assert message.startswith("cv2 is not whole (")
    assert message.endswith("; run: pip install --force-reinstall opencv-python")


def test_onnxruntime_is_removed_twice_and_installed_once() -> None:
    message = str(explain_import_error(AttributeError("no InferenceSession", obj=ModuleType("onnxruntime"))))
    assert "pip uninstall -y onnxruntime onnxruntime-gpu, then pip install onnxruntime-gpu" in message


HOLLOW = "import sys, types; sys.modules[sys.argv.pop(1)] = types.ModuleType('cv2'); "


@pytest.mark.parametrize(
    ("program", "end"),
    [
        pytest.param("from tracker.cli import main; sys.exit(main())", "", id="command line"),
        pytest.param("from tracker import track_video", "Traceback", id="Python"),
    ],
)
def test_a_hollow_library_is_one_line(program: str, end: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HOLLOW + program, "cv2", "track", "--input", ".github/demo.jpg"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("run: pip install --force-reinstall opencv-python")
    assert end or done.stderr.startswith("error: ")


def test_a_fault_of_ours_is_not_taken_for_one() -> None:
    assert not is_hollow(AttributeError("x", obj=errors, name="x"))
    assert not is_hollow(AttributeError("x", obj=object(), name="x"))


def test_a_file_of_the_packages_name_is_named(tmp_path: Path) -> None:
    shutil.copy(ROOT / "run_video.py", tmp_path)
    (tmp_path / "tracker.py").touch()
    done = subprocess.run(
        [sys.executable, "run_video.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    expected = f"error: {tmp_path / 'tracker.py'} is imported instead of the package tracker; rename that file\n"
    assert (done.returncode, done.stderr) == (1, expected)


def test_exit_codes() -> None:
    tree = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, TrackerError)]
    assert {e.exit_code for e in tree if e is not UsageError} == {1}
    assert UsageError.exit_code == 2
