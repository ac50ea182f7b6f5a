"""The reference vectors are really there: a listing that finds nothing must not pass for success."""

from __future__ import annotations

import pytest

from tests.vectors import FOLDERS, files


def test_own_folder_holds_every_family():
    families = [*(f"SB-{number}_*.npz" for number in range(1, 8)), "SB-8_*.json"]
    for family in (*families, *(f"LP-{number}_*.npz" for number in range(1, 5))):
        assert any(FOLDERS["own"].rglob(family)), family


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
