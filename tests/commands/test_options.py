"""Options show their defaults and become settings."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Callable
from dataclasses import MISSING, fields, replace
from typing import Any, get_args

import pytest

from tracker.cli import build_parser
from tracker.commands.options import DETECTOR_TYPES, GROUPINGS, POSES, model_options, tracker_config
from tracker.detection.detector import DEFAULT_SIZE, FAMILIES
from tracker.errors import UsageError
from tracker.pipeline import PoseMethod, build_pipeline
from tracker.pose.grouping import TRACKED_GROUPING, GroupingMethod
from tracker.tracking.config import TrackerConfig

SETTINGS = [pytest.param(field.name, field.default, id=field.name) for field in fields(TrackerConfig)]


def parse(*options: str) -> argparse.Namespace:
    return build_parser().parse_args(["track", "--input", "x", *options])


@pytest.fixture
def help_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[str, str], str]:
    """What the help of a command says about an option."""
    monkeypatch.setenv("COLUMNS", "500")  # nothing is wrapped

    def help_of(command: str, option: str) -> str:
        with pytest.raises(SystemExit) as ended:
            build_parser().parse_args([command, "--help"])
        assert ended.value.code == 0
        entry = re.search(rf"^  {option}[ ,](?:.*\n {{10,}})?.*$", capsys.readouterr().out, re.MULTILINE)
        assert entry, f"the help does not list {option}"
        return entry[0]

    return help_of


@pytest.mark.parametrize(("name", "default"), SETTINGS)
@pytest.mark.parametrize("command", ["track", "bench"])
def test_every_setting_has_an_option_whose_default_the_help_shows(
    help_of: Callable[[str, str], str], command: str, name: str, default: Any
) -> None:
    assert default is not MISSING
    shown = "on" if default is True else default
    assert help_of(command, f"--{name.replace('_', '-')}").endswith(f"(default: {shown})")


@pytest.mark.parametrize(
    ("option", "ending"),
    [
        ("--detector", "default: as shipped"),
        ("--pose-model", "default: as shipped"),
        ("--detector-type", "default: told by the file"),
        ("--detector-size", f"default: {DEFAULT_SIZE}"),
        ("--detector-score", "(default: 0.5)"),
        ("--detect-every", "(default: 1)"),
        ("--device", "(default: auto)"),
        ("--flow", "(default: dis)"),
        ("--fps", "default: 25"),
        ("--start", "default: 0"),
        ("--end", "default: the end"),
        ("--max-frames", "default: all"),
    ],
)
def test_the_help_shows_the_other_defaults(help_of: Callable[[str, str], str], option: str, ending: str) -> None:
    assert help_of("track", option).endswith(ending)


def test_the_methods_are_those_that_exist() -> None:
    assert get_args(PoseMethod) == (*POSES, "litepose")


@pytest.mark.parametrize("option", [("--detector", "x.onnx"), ("--detector-type", "yolox"), ("--detector-size", "320")])
def test_litepose_needs_no_detector(option: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match=f"--pose bottom-up finds people without a detector; leave out {option[0]}$"):
        model_options(parse("--pose", "bottom-up", *option))


def test_settings_of_the_grouping() -> None:
    options = ["--grouping", "skeleton", "--max-people", "50", "--peak-threshold", "0.2", "--tag-threshold", "2"]
    given = model_options(parse("--pose", "bottom-up", *options))["grouping"]
    assert given == replace(
        TRACKED_GROUPING, method="skeleton", max_people=50, detection_threshold=0.2, tag_threshold=2.0
    )
    given = model_options(parse("--pose", "bottom-up", "--person-score", "0.3"))["grouping"]
    assert given == replace(TRACKED_GROUPING, least_score=0.3)
    assert model_options(parse())["grouping"] == TRACKED_GROUPING
    assert get_args(GroupingMethod) == GROUPINGS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(["--max-people", "5"], "--max-people is for --pose bottom-up; leave it out", id="top-down"),
        pytest.param(
            ["--pose", "bottom-up", "--max-people", "0"], "--max-people must be 1 or more, not 0", id="nobody"
        ),
        pytest.param(
            ["--pose", "bottom-up", "--peak-threshold", "1"], "--peak-threshold must be from 0", id="too high"
        ),
    ],
)
def test_senseless_settings_of_the_grouping(options: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}"):
        model_options(parse(*options))


@pytest.mark.parametrize(
    ("option", "default"),
    [
        ("--max-people", "max_people"),
        ("--peak-threshold", "detection_threshold"),
        ("--tag-threshold", "tag_threshold"),
        ("--person-score", "least_score"),
    ],
)
def test_the_help_shows_the_groupings_defaults(help_of: Callable[[str, str], str], option: str, default: str) -> None:
    assert float(help_of("track", option).rpartition("default: ")[2]) == getattr(TRACKED_GROUPING, default)


def test_the_types_of_detectors_are_those_that_exist() -> None:
    assert tuple(FAMILIES) == DETECTOR_TYPES


def test_without_options_the_settings_are_the_defaults() -> None:
    assert tracker_config(parse()) == TrackerConfig()


@pytest.mark.parametrize(
    ("options", "name", "value"),
    [
        (["--similarity", "pose"], "similarity", "pose"),
        (["--gate", "0.5"], "gate", 0.5),
        (["--queue-length", "3"], "queue_length", 3),
        (["--no-propagation"], "propagation", False),
        (["--merge", "plain"], "merge", "plain"),
        (["--max-lost", "0"], "max_lost", 0),
    ],
)
def test_an_option_sets_its_setting_alone(options: list[str], name: str, value: Any) -> None:
    config = tracker_config(parse(*options))
    assert config == TrackerConfig(**{name: value})
    assert config != TrackerConfig()


def test_a_setting_out_of_range_is_named_as_its_option() -> None:
    with pytest.raises(UsageError, match=r"^--box-expansion must be 1 or more, not 0\.5$"):
        tracker_config(parse("--box-expansion", "0.5"))


def test_model_options_are_those_that_build_a_pipeline() -> None:
    defaults = {name: parameter.default for name, parameter in inspect.signature(build_pipeline).parameters.items()}
    assert defaults.pop("num_threads") == 0  # `track` has an option of its own for each process
    assert model_options(parse()) == defaults | {"config": TrackerConfig()}
