"""Options show their defaults and become settings."""

from __future__ import annotations

import argparse
import re
from dataclasses import MISSING, fields
from typing import Any

import pytest

from tracker.cli import build_parser
from tracker.commands.options import model_options, tracker_config
from tracker.detection.onnx import DEFAULT_SIZE
from tracker.errors import UsageError
from tracker.tracking.config import TrackerConfig

SETTINGS = [pytest.param(field.name, field.default, id=field.name) for field in fields(TrackerConfig)]


def parse(*options: str) -> argparse.Namespace:
    return build_parser().parse_args(["track", "--input", "x", *options])


def help_by_option(capsys: pytest.CaptureFixture[str], command: str = "track") -> dict[str, str]:
    """What the help says about each option, on one line."""
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args([command, "--help"])
    assert ended.value.code == 0
    entries = re.split(r"\n  (?=-)", capsys.readouterr().out)[1:]
    texts = (re.sub(r"(?<=\w-) (?=\w)", "", " ".join(entry.split())) for entry in entries)
    return {name: text for text in texts for name in re.findall(r"--[a-z-]+", text.partition("  ")[0])[:1]}


@pytest.mark.parametrize(("name", "default"), SETTINGS)
@pytest.mark.parametrize("command", ["track", "bench"])
def test_every_setting_has_an_option_whose_default_the_help_shows(
    capsys: pytest.CaptureFixture[str], command: str, name: str, default: Any
) -> None:
    assert default is not MISSING
    shown = "on" if default is True else default
    assert help_by_option(capsys, command)[f"--{name.replace('_', '-')}"].endswith(f"(default: {shown})")


@pytest.mark.parametrize(
    ("option", "ending"),
    [
        ("--detector", "default: as shipped"),
        ("--pose-model", "default: as shipped"),
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
def test_the_help_shows_the_other_defaults(capsys: pytest.CaptureFixture[str], option: str, ending: str) -> None:
    assert help_by_option(capsys)[option].endswith(ending)


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
    # a name that `build_pipeline` does not know, or a default that differs, would show here
    import inspect

    from tracker.pipeline import build_pipeline

    defaults = {name: parameter.default for name, parameter in inspect.signature(build_pipeline).parameters.items()}
    assert model_options(parse()) == defaults | {"config": TrackerConfig()}
