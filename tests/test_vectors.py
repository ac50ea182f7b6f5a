"""The reference vectors are really there: a listing that finds nothing must not pass for success."""

from __future__ import annotations

import pytest

from tests.vectors import FOLDERS, files


@pytest.mark.parametrize(
    "family",
    [
        "SB-1_*.npz",
        "SB-2_*.npz",
        "SB-3_*.npz",
        "SB-4_*.npz",
        "SB-5_*.npz",
        "SB-6_R*.npz",
        "SB-7_*.npz",
        "SB-8_*.json",
        "LP-1_*.npz",
        "LP-2_*.npz",
        "LP-3_*.npz",
        "LP-4_*.npz",
    ],
)
def test_own_folder_holds_every_family(family):
    assert any(FOLDERS["own"].rglob(family))


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("SB", marks=pytest.mark.vectors_sb),
        pytest.param("LP", marks=pytest.mark.vectors_litepose),
    ],
)
def test_given_folder_holds_cases(code):
    """Any of the families will do, but a folder that was mistyped must not look like parity."""
    if not FOLDERS["given"].is_dir():
        pytest.skip(f"there is no folder {FOLDERS['given']}")
    assert any(param.id.startswith("given-") for param in files(f"{code}-*")), (
        f"{FOLDERS['given']} holds no {code}-* case"
    )


def test_own_vectors_stay_small():
    assert sum(path.stat().st_size for path in FOLDERS["own"].rglob("*") if path.is_file()) < 500_000
