"""Options show their defaults and become settings; the help shows first what matters first."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from typing import Any, get_args

import pytest

from tracker import __version__, engines
from tracker.cli import build_parser
from tracker.commands.demo import _RENDERED
from tracker.commands.options import (
    DETECTOR_TYPES,
    ENGINES,
    FLOWS,
    PARTS,
    POSES,
    read_engine,
    read_settings,
    spell,
    tracker_config,
)
from tracker.detection.detector import DEFAULT_SIZE, FAMILIES
from tracker.errors import UsageError
from tracker.flow import FLOW_NAMES
from tracker.job.job import Engine, Settings
from tracker.pipeline import PoseMethod
from tracker.pose.grouping import TRACKED_GROUPING, GroupingConfig
from tracker.scenes.scripts import SCENARIOS
from tracker.tracking.config import PAPER, TrackerConfig
from tracker.video import overlay


def parse(*options: str) -> argparse.Namespace:
    return build_parser().parse_args(["track", "--input", "x", *options])


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What those arguments print before the program ends well."""
    monkeypatch.setenv("COLUMNS", "500")  # nothing is wrapped

    def shown(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            build_parser().parse_args(arguments)
        assert ended.value.code == 0
        return capsys.readouterr().out

    return shown


def options_in(text: str) -> dict[str, str]:
    """Each option of a help with its last line."""
    return dict(re.findall(r"^  (?:-\w, )?(--[\w-]+)[ ,\n](?:.*\n {10,})?(.*)$", text, re.MULTILINE))


def test_the_help_shows_what_matters_and_another_all(shown: Callable[..., str]) -> None:
    first, whole = (options_in(shown("track", option)) for option in ("--help", "--help-all"))
    assert len(first) <= 30
    assert first.items() < whole.items()
    assert {"--input", "--detector", "--keypoint-threshold", "--confirm-after", "--version"} <= {*first}
    assert {"--workers", "--similarity", "--propagation", "--tracker", "--grouping"} <= {*whole} - {*first}


@pytest.mark.parametrize("option", ["--version", "track --version"])
def test_the_version(shown: Callable[..., str], option: str) -> None:
    assert shown(*option.split()) == f"pose-tracker {__version__}\n"


@pytest.mark.parametrize(
    ("option", "ending"),
    [
        ("--detector", "default: as shipped"),
        ("--detector-size", f"default: {DEFAULT_SIZE}"),
        ("--detector-score", "(default: 0.5)"),
        ("--propagation", "(default: on)"),
        ("--start", "default: 0"),
    ],
)
def test_the_help_shows_defaults(shown: Callable[..., str], option: str, ending: str) -> None:
    assert options_in(shown("track", "--help-all"))[option].endswith(ending)


@pytest.mark.parametrize(
    ("option", "defaults"), [("--tracker", TrackerConfig().settled()), ("--grouping", TRACKED_GROUPING)]
)
def test_settings_are_listed_with_types_defaults_and_meanings(
    shown: Callable[..., str], option: str, defaults: TrackerConfig | GroupingConfig
) -> None:
    rows = re.findall(r"^(\w+)=(\S+)  \(([\w/ ]+)\)\n {4}(.+)$", shown("track", "--input", "x", option, "help"), re.M)
    words = {True: "on", False: "off"}
    assert [(name, value) for name, value, *_ in rows] == [
        (name, words[value] if isinstance(value, bool) else str(value)) for name, value in asdict(defaults).items()
    ]
    assert all(meaning.endswith(".") for *_, meaning in rows)


def test_names_that_are_repeated_are_those_that_exist() -> None:
    assert get_args(PoseMethod) == (*POSES, "litepose")
    assert tuple(FAMILIES) == DETECTOR_TYPES
    assert FLOW_NAMES == FLOWS
    assert engines.ENGINES == ENGINES
    assert overlay.PARTS == PARTS
    assert tuple(SCENARIOS) == _RENDERED


def test_without_options_settings_are_the_defaults() -> None:
    assert (read_settings(parse()), read_engine(parse())) == (Settings(), Engine())


@pytest.mark.parametrize("option", [("--detector", "x.onnx"), ("--detector-type", "yolox"), ("--detector-size", "320")])
def test_litepose_needs_no_detector(option: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match=f"--pose bottom-up finds people without a detector; leave out {option[0]}$"):
        read_settings(parse("--pose", "bottom-up", *option))


def test_senseless_settings_of_the_grouping() -> None:
    with pytest.raises(UsageError, match=r"^--grouping max_people must be 1 or more, not 0$"):
        read_settings(parse("--pose", "bottom-up", "--grouping", "max_people=0"))


def test_settings_of_the_grouping() -> None:
    numbers = ["method=skeleton", "max_people=50", "detection_threshold=0.2", "refine=off"]
    given = read_settings(parse("--pose", "bottom-up", "--grouping", *numbers)).grouping
    assert given == replace(TRACKED_GROUPING, method="skeleton", max_people=50, detection_threshold=0.2, refine=False)


@pytest.mark.parametrize(
    ("options", "name", "value"),
    [
        (["--similarity", "pose"], "similarity", "pose"),
        (["--gate", "0.5"], "gate", 0.5),
        (["--queue-length", "3"], "queue_length", 3),
        (["--no-propagation"], "propagation", False),
        (["--merge", "plain"], "merge", "plain"),
        (["--forget-after", "0"], "forget_after_s", 0),
        (["--tracker", "age-decay=0.5"], "age_decay", 0.5),
        (["--tracker", "propagation=off"], "propagation", False),
    ],
)
def test_an_option_sets_its_setting_alone(options: list[str], name: str, value: Any) -> None:
    config = tracker_config(parse(*options))
    assert config == TrackerConfig(**{name: value})
    assert config != TrackerConfig()


def test_the_papers_tracker_knows_no_appearance() -> None:
    with pytest.raises(UsageError, match="--paper is without what was added"):
        read_settings(parse("--paper", "--appearance", "colour"))
    assert read_settings(parse("--paper", "--appearance", "off")).config == PAPER


def test_the_papers_tracker_is_one_option_that_others_change() -> None:
    assert tracker_config(parse("--paper")) == PAPER != TrackerConfig()
    given = tracker_config(parse("--paper", "--similarity", "flow", "--forget-after", "6"))
    assert given == replace(PAPER, similarity="flow", forget_after_s=6.0)


def test_numbers_of_the_tracker_add_up() -> None:
    given = parse("--tracker", "age_decay=0.5", "score_decay=0.8", "--gate", "0.2", "--tracker", "merge_iou=0.3")
    assert tracker_config(given) == TrackerConfig(age_decay=0.5, score_decay=0.8, gate=0.2, merge_iou=0.3)


@pytest.mark.parametrize("command", ["bench", "demo", "ablate"])
def test_other_commands_track_with_the_same_options(shown: Callable[..., str], command: str) -> None:
    names = {spell(field.name).split()[0] for field in fields(TrackerConfig)}
    assert names <= {*options_in(shown(command, "--help-all"))}
