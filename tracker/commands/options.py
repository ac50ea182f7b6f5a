"""The command line's parser, and the options that several commands share: declared and read here, nowhere else."""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from functools import cache
from itertools import pairwise, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from tracker import __version__
from tracker.after.second_pass import FILL_GAPS_S, SMOOTHERS, SecondPass
from tracker.errors import ModelError, UsageError, nearest
from tracker.selection import read_only, read_region
from tracker.tracking.config import MERGES, PAPER, TrackerConfig
from tracker.tracking.similarities import SIMILARITIES

if TYPE_CHECKING:
    from tracker.job.job import Engine, Settings
    from tracker.job.web import Address
    from tracker.pose.grouping import GroupingConfig

T = TypeVar("T")

# The names that `tracker.flow` knows, repeated so that --help does not load OpenCV.
FLOWS = ("dis", "lk", "none")
SPEEDS = ("exact", "balanced", "fast")
# Likewise, the names that `tracker.pipeline` and `tracker.detection` know.
POSES = ("top-down", "bottom-up")
DETECTOR_TYPES = ("person-detector", "rtmdet", "rtmdet-raw", "yolox", "yolox-nms", "yolo", "yolo-nms", "picodet")
# Likewise, the names that `tracker.engines` knows.
ENGINES = ("auto", "onnxruntime", "openvino", "openvino-bf16", "torch")
# Likewise, the parts that `tracker.video.overlay` draws.
PARTS = ("boxes", "ids", "trails", "skeleton")
# The settings of the tracker that are options of their own; all can be given by --tracker.
_OWN = (
    *("similarity", "propagation", "merge", "queue_length", "gate"),
    *("keypoint_threshold", "confirm_after_s", "forget_after_s"),
)
_DEFAULTS = TrackerConfig().settled()
# The options of the second pass, by the fields of `SecondPass`, beside --smooth.
_OF_SECOND_PASS = {
    "--cutoff-hz": "cutoff_hz",
    "--fill-gaps": "fill_gaps_s",
    "--stitch": "stitch_s",
    "--drop-shorter": "drop_shorter_s",
}

# What to say of a text that is none of these.
_NUMBERS: Mapping[Any, str] = {int: "no whole number, such as 3", float: "no number, such as 2.5"}


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows every default that is not None; wide enough for one line per option."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=27)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or (action.nargs == 0 and action.const is not None):
            return action.help
        if isinstance(action.default, bool):
            return f"{action.help} (default: {'on' if action.default else 'off'})"
        return super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """Wrong usage is told in one line, with the nearest right option; nothing can be abbreviated.

    --help leaves out the options of `add_rare_group`, which --help-all shows, too. moved_to: the command that does now
    what this one did. moved: likewise, for options.
    """

    moved_to: str | None = None

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=HelpFormatter, allow_abbrev=False, **options)
        self.moved: dict[str, str] = {}
        self._rare: list[Any] = []
        self._negative_number_matcher = re.compile(r"-\.?\d")  # -1,0,1,1 is no option, as argparse would have it
        self.add_argument("--version", action="version", version=f"pose-tracker {__version__}")
        self.add_argument(
            "-v", "--verbose", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error"
        )

    def add_rare_group(self, title: str, description: str | None = None) -> Any:
        """A group of options that --help-all alone shows."""
        if not self._rare:
            self.add_argument("--help-all", nargs=0, action=_HelpAll, help="show all options")
        self._rare.append(self.add_argument_group(title, description))
        return self._rare[-1]

    def format_help(self, *, whole: bool = False) -> str:
        """The help; whole: with the rare options."""
        formatter = self._get_formatter()
        needed = (
            " ".join([*action.option_strings[:1], str(action.metavar or action.dest.upper())])
            for action in self._actions
            if action.required
        )
        formatter.add_usage(" ".join(["%(prog)s", *needed, "[options]"]), self._actions, [])
        formatter.add_text(self.description)
        positionals, optionals, *groups = self._action_groups
        for group in (positionals, *groups, optionals):
            if whole or group not in self._rare:
                formatter.start_section(group.title)
                formatter.add_text(group.description)
                formatter.add_arguments(group._group_actions)
                formatter.end_section()
        return formatter.format_help()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """As argparse has it, but whatever is not known is an error here, where the options are."""
        if self.moved_to:
            raise UsageError(
                f"`{self.prog}` is now `{self.moved_to}`; see pose-tracker {self.moved_to.split()[0]} --help"
            )
        needed = [action.option_strings[0] for action in self._get_optional_actions() if action.required]
        if args and needed and not (args[0].startswith("-") or self._get_positional_actions()):
            self.error(f"{args[0]} stands alone; name what it is: {needed[0]} {args[0]}")
        try:
            found, rest = super().parse_known_args(args, namespace)
        except UsageError:  # a misspelt --input is missing, too, which says less
            rest = self._find_unknown(args or ())
            if not rest:
                raise
        if rest:
            self.error(self._explain_unknown(rest))
        return found, []

    def _find_unknown(self, args: Sequence[str]) -> list[str]:
        if self._subparsers:  # whose options these are
            return []
        options = [text for text in takewhile("--".__ne__, args) if text.startswith("--")]
        return [text for text in options if text.partition("=")[0] not in self._option_string_actions]

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        """As argparse has it, but where names are asked for -5 is no negative number."""
        is_name = action.type in (None, Path) and action.nargs != argparse.PARSER
        if is_name and self._negative_number_matcher.match(arg_string):
            self.error(f"{arg_string} looks like an option, and there is none; for a file write ./{arg_string}")
        try:
            return super()._get_value(action, arg_string)
        except argparse.ArgumentError as error:
            if action.type not in _NUMBERS:
                raise
            message = f"{arg_string!r} is {_NUMBERS[action.type]}"
            raise argparse.ArgumentError(action, message) from error

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """As argparse has it, but naming the nearest of the choices, too."""
        if action.nargs == argparse.PARSER and Path(value).is_file():
            raise argparse.ArgumentError(action, f"{value} stands alone; to track it: track --input {value}")
        if action.choices is not None and value not in action.choices:
            choices = [str(choice) for choice in action.choices]
            near = nearest(str(value), choices)
            raise argparse.ArgumentError(action, f"there is no {value!r}{near}; choose from {', '.join(choices)}")

    def error(self, message: str) -> NoReturn:
        """Raise a UsageError."""
        raise UsageError(f"{message}; see {self.prog} --help")

    def _explain_unknown(self, rest: Sequence[str]) -> str:
        option = next((text.partition("=")[0] for text in rest if text.startswith("-")), None)
        if option is None:
            return f"unrecognized arguments: {' '.join(rest)}"
        if option in self.moved:
            return f"{option} is now {self.moved[option]}"
        moved: dict[str, str] = {}
        for action in self._actions:
            if isinstance(action, SettingAction):
                moved |= {
                    f"--{name.replace('_', '-')}": f"{action.option_strings[0]} {name}=…" for name in action.names
                }
        return f"there is no option {option}{nearest(option, [*moved, *self._option_string_actions], moved)}"


class _HelpAll(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        assert isinstance(parser, Parser)
        print(parser.format_help(whole=True), end="")
        parser.exit()


class SettingAction(argparse.Action):
    """NAME=VALUE for a field of a frozen dataclass, collected in a dict; `help` prints what there is.

    load: gives the defaults, when they are asked for.
    """

    def __init__(self, *, load: Callable[[], Any], **options: Any) -> None:
        super().__init__(**options, nargs="+", metavar="NAME=VALUE")
        self._load = load

    @property
    def names(self) -> list[str]:
        """Of all fields."""
        return [field.name for field in fields(self._load())]

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, _: Any = None) -> None:
        """Collect the values."""
        defaults, option = self._load(), self.option_strings[0]
        if "help" in values:
            print(_describe(defaults))
            parser.exit()
        given = dict(getattr(namespace, self.dest) or {})
        for text in values:
            name, equals, value = text.partition("=")
            name = name.replace("-", "_")
            assert isinstance(parser, Parser)
            if new := parser.moved.get(f"--{name.replace('_', '-')}"):
                raise UsageError(f"{option} {name} is now {new}")
            if name not in self.names:
                raise UsageError(f"{option} knows no {name}{nearest(name, self.names)}; {option} help lists all")
            if not equals:
                raise UsageError(f"{option} {name} needs a value: {name}={getattr(defaults, name)}")
            given[name] = _convert(value, getattr(defaults, name), f"{option} {name}")
        setattr(namespace, self.dest, given)


def _convert(text: str, default: Any, name: str) -> Any:
    """The value that a text stands for, of the kind that the default has."""
    words = {"on": True, "true": True, "off": False, "false": False}
    try:
        return words[text.lower()] if isinstance(default, bool) else type(default)(text)
    except (KeyError, ValueError) as error:
        kind = {bool: "on or off", int: "a whole number", float: "a number"}[type(default)]
        raise UsageError(f"{name} must be {kind}, such as {_shown(default)}, not {text!r}") from error


def _shown(value: Any) -> str:
    return str(value) if not isinstance(value, bool) else "on" if value else "off"


def _describe(defaults: Any) -> str:
    """Names, types, defaults and meanings of the fields of a dataclass."""
    kinds = {bool: "on/off", int: "whole number", float: "number", str: "word"}
    return "\n".join(
        f"{name}={_shown(getattr(defaults, name))}  ({kinds[type(getattr(defaults, name))]})\n    {meaning}"
        for name, meaning in meanings_of(type(defaults)).items()
    )


def meanings_of(config: type) -> dict[str, str]:
    """What each field of a dataclass means: the text below it in the source, "" where there is no source."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(config)))
    except OSError:
        return {field.name: "" for field in fields(config)}
    (body,) = (node.body for node in tree.body if isinstance(node, ast.ClassDef))
    return {
        field.target.id: text.value.value.strip()
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }


def natural(text: str) -> int:
    """A whole number of 1 or more, as the type of an option."""
    if not re.fullmatch(r"[1-9]\d*", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} must be 1 or more")
    return int(text)


def height_m(text: str) -> float:
    """How tall people are, in metres, as the type of an option."""
    if not re.fullmatch(r"-?\d+(\.\d+)?", text, re.ASCII) or not 0.3 <= float(text) <= 2.6:
        raise argparse.ArgumentTypeError(f"{text!r} must be in metres, from 0.3 to 2.6")
    return float(text)


def read_address(text: str) -> Address:
    """Where a server is to listen, as the type of an option."""
    from tracker.job.web import Address

    try:
        return Address.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def network_file(text: str) -> Path:
    """The file that an option on a network means: a path, or a name of `weights list`; UsageError for neither."""
    from tracker.catalogue import find_network

    try:
        return find_network(text)
    except ModelError as error:  # which argparse would take for a value of a wrong type
        raise UsageError(str(error)) from error


# What names and runs networks, by the names that the options have as arguments.
_NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "pose": {
        # litepose is what bottom-up was called.
        "type": lambda name: "bottom-up" if name == "litepose" else name,
        "choices": POSES,
        "default": "top-down",
        "help": "in a detector's boxes, or everybody at once; RTMO and YOLO are told by their files",
    },
    "detector": {"type": network_file, "metavar": "FILE", "help": "person detector, or its name; default: as shipped"},
    "detector_size": {"type": int, "metavar": "PX", "help": "its input side, where open; default: 416"},
    "detector_type": {"choices": DETECTOR_TYPES, "help": "its family; default: told by the file"},
    "detector_score": {"type": float, "default": 0.5, "metavar": "S", "help": "least score of a person"},
    "speed": {
        "choices": SPEEDS,
        "help": "how much networks look at; default: balanced, of live sources fast, of data sets exact",
    },
    "detect_every": {"type": natural, "default": 1, "metavar": "N", "help": "detect in every N-th frame only"},
    "boxes": {
        "choices": ("detector", "ground-truth"),
        "default": "detector",
        "help": "boxes in which poses are estimated",
    },
    "pose_model": {"type": network_file, "metavar": "FILE", "help": "pose network, or its name; default: as shipped"},
    "flip_test": {"action": "store_true", "help": "average with the mirrored picture"},
    "device": {"default": "auto", "metavar": "D", "help": "auto, cpu, cuda or cuda:N"},
    "engine": {"choices": ENGINES, "default": "auto", "help": "what runs networks; auto takes the fastest at hand"},
}
OF_DETECTORS = ("detector", "detector_size", "detector_type", "detector_score")
OF_POSES = ("pose_model", "flip_test", "device", "engine")


def add_network_options(group: Any, *names: str, **changes: Mapping[str, Any]) -> None:
    """Those of the options on networks; changes: of single ones, such as `detector_score={"default": 0.01}`."""
    for name in names:
        group.add_argument(f"--{name.replace('_', '-')}", **{**_NETWORKS[name], **changes.get(name, {})})


def add_model_options(parser: Parser) -> None:
    """--pose, --detector, --pose-model, --device and what belongs to them."""
    add_network_options(parser.add_argument_group("networks"), "speed", "pose", "detector", *OF_POSES)
    group = parser.add_rare_group("the detector")
    add_network_options(group, "detector_size", "detector_type", "detector_score", "detect_every")
    group.add_argument(
        "--detector-batch",
        type=natural,
        default=1,
        metavar="N",
        help="frames detected at once: suits a GPU, adds latency",
    )
    group = parser.add_rare_group("networks that need no detector (--pose bottom-up)")
    group.add_argument(
        "--grouping", action=SettingAction, load=_grouping_defaults,
        help="a number of the grouping of keypoints; --grouping help lists them",
    )  # fmt: skip


def add_people_options(parser: Parser) -> None:
    """--people, --only and --region."""
    group = parser.add_argument_group("whom")
    group.add_argument(
        "--people", type=natural, metavar="N", help="ids in all, at most: who comes then is one of the lost"
    )
    group.add_argument(
        "--only",
        type=checked(read_only),
        metavar="WHO",
        help="one person alone: largest, centre, an id, or a point X,Y",
    )
    group.add_argument(
        "--region",
        type=checked(read_region),
        metavar="X1,Y1,X2,Y2",
        help="people who stand in a part of the picture, in shares of it or in pixels; more points: a polygon",
    )


def add_overlay_options(group: Any) -> None:
    """--show-unconfirmed, --draw, --line-width, --blur-faces and --no-audio."""
    group.add_argument("--show-unconfirmed", action="store_true", help="draw people who are not confirmed yet, too")
    group.add_argument(
        "--draw",
        type=checked(_read_parts),
        metavar="PART,...",
        help=f"what is drawn of people, of {','.join(PARTS)}; default: all",
    )
    group.add_argument("--line-width", type=natural, metavar="PX", help="of limbs; default: by the size of people")
    group.add_argument("--blur-faces", action="store_true", help="of everybody who is found, whether drawn or not")
    group.add_argument("--no-audio", dest="audio", action="store_false", help="leave out the sound of the input")


def _read_parts(text: str) -> tuple[str, ...]:
    parts = tuple(text.split(","))
    if wrong := [part for part in parts if part not in PARTS]:
        raise ValueError(f"there is no part {wrong[0]!r}; name some of {','.join(PARTS)}")
    return parts


def checked(read: Callable[[str], T]) -> Callable[[str], T]:
    """A reader of a text as the type of an option, which says what the ValueError says."""

    def read_text(text: str) -> T:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read_text


def add_tracking_options(parser: Parser) -> None:
    """Flow, similarity, propagation and the other settings of the tracker."""
    parser.moved |= {
        "--min-hits": "--confirm-after, in seconds: of 25 frames per second 3 are confirmed by 0.05 s, 1 by 0",
        "--max-lost": "--forget-after, in seconds: of 25 frames per second 150 are 6 s",
    }
    group = parser.add_argument_group("tracking")
    group.add_argument("--flow", choices=FLOWS, default="dis", help="dense, sparse or no optical flow")
    _add_settings(group, "keypoint_threshold", "confirm_after_s", "forget_after_s")
    group = parser.add_rare_group("the paper's ablation, and the rest of the tracker")
    group.add_argument(
        "--appearance", type=_read_appearance, metavar="off|colour|FILE",
        help="tell people who come back by their colours, or by an embedding network (.onnx); default: off",
    )  # fmt: skip
    paper = "the paper's tracker: plain merge, no memory, nothing that was added; other options change it"
    group.add_argument("--paper", action="store_true", help=paper)
    _add_settings(group, "similarity", "propagation", "merge", "queue_length", "gate")
    group.add_argument(
        "--tracker", action=SettingAction, load=lambda: _DEFAULTS,
        help="another number of the tracker; --tracker help lists them",
    )  # fmt: skip


def _read_appearance(text: str) -> str | Path | None:
    return text if text == "colour" else None if text == "off" else Path(text)


def _add_settings(group: Any, *names: str) -> None:
    """Options for fields of TrackerConfig; what is not given is not in the namespace."""
    choices, meanings = {"similarity": SIMILARITIES, "merge": MERGES}, _tracker_meanings()
    for name in names:
        default = getattr(_DEFAULTS, name)
        metavar = "S" if name.endswith("_s") else "N" if isinstance(default, int) else "X"
        options: dict[str, Any] = {"type": type(default), "metavar": metavar, "dest": name}
        if isinstance(default, bool):
            options = {"action": argparse.BooleanOptionalAction}
        elif name in choices:
            options = {"choices": choices[name]}
        shown = f"{_as_help(meanings[name])} (default: {_shown(default)})"
        group.add_argument(spell(name), default=argparse.SUPPRESS, help=shown, **options)


@cache
def _tracker_meanings() -> dict[str, str]:
    """Of the tracker's settings, which eight groups of options ask for at every start."""
    return meanings_of(TrackerConfig)


def add_second_pass_options(group: Any) -> None:
    """--smooth and the others of the second pass over results; what is not given is None."""
    meanings = meanings_of(SecondPass)
    group.add_argument("--smooth", choices=SMOOTHERS, help=_as_help(meanings["smooth"]))
    for option, name in _OF_SECOND_PASS.items():
        metavar = "S" if name.endswith("_s") else "HZ"
        group.add_argument(option, type=float, dest=name, metavar=metavar, help=_as_help(meanings[name]))


def read_second_pass(args: argparse.Namespace) -> SecondPass:
    """The second pass that is asked for; with smoothing or stitching gaps are filled unless the user says otherwise."""
    given = {name: getattr(args, name) for name in ("smooth", *_OF_SECOND_PASS.values())}
    given = {name: value for name, value in given.items() if value is not None}
    smooth = given.get("smooth", "off")
    if "cutoff_hz" in given and smooth != "butterworth":
        raise UsageError("--cutoff-hz is of --smooth butterworth; name both or neither")
    fill_gaps_s = FILL_GAPS_S if smooth != "off" or given.get("stitch_s") else 0.0
    try:
        return SecondPass(**({"fill_gaps_s": fill_gaps_s} | given))
    except ValueError as error:
        name, _, rest = str(error).partition(" ")
        option = next(option for option, of in _OF_SECOND_PASS.items() if of == name)
        raise UsageError(f"{option} {rest}") from error


def _as_help(meaning: str) -> str:
    text = meaning.rstrip(".").replace("%", "%%")
    return f"{text[0].lower()}{text[1:]}"


def spell(name: str) -> str:
    """The option of a field of TrackerConfig.

    >>> spell("queue_length"), spell("forget_after_s"), spell("age_decay")
    ('--queue-length', '--forget-after', '--tracker age_decay')
    """
    return f"--{name.removesuffix('_s').replace('_', '-')}" if name in _OWN else f"--tracker {name}"


def tracker_config(args: argparse.Namespace) -> TrackerConfig:
    """The settings of the tracker; UsageError for a senseless one."""
    own = {name: getattr(args, name) for name in _OWN if hasattr(args, name)}
    try:
        return replace(PAPER if args.paper else TrackerConfig(), **(own | (args.tracker or {})))
    except ValueError as error:
        name, _, rest = str(error).partition(" ")
        raise UsageError(f"{spell(name)} {rest}") from error


def read_settings(args: argparse.Namespace) -> Settings:
    """The settings of a job; UsageError for senseless ones."""
    if not 0 <= args.detector_score <= 1:
        raise UsageError(f"--detector-score must be within 0 and 1, not {args.detector_score}")
    config = tracker_config(args)
    if args.paper and args.appearance:
        raise UsageError("--paper is without what was added, as --appearance was; leave one out")
    if args.detect_every > 1 and not config.propagation:
        raise UsageError("--detect-every needs propagation to carry people between; pass --propagation")
    if args.pose == "bottom-up":
        refuse_detector(args)
    if getattr(args, "people", None) and args.only is not None:
        raise UsageError("--only follows one person, so --people has no meaning; leave one out")
    grouping = _grouping_config(args)
    from tracker.job.job import Settings

    same = {field.name: getattr(args, field.name) for field in fields(Settings) if field.name in vars(args)}
    return Settings(**(same | {"config": config, "grouping": grouping}))


def read_engine(args: argparse.Namespace) -> Engine:
    """By what networks are run."""
    from tracker.job.job import Engine

    return Engine(args.device, args.detector_batch, getattr(args, "threads", None) or 0, args.engine)


def refuse_networks(args: argparse.Namespace, why: str, remedy: str) -> None:
    """Raise UsageError where networks are named, or another kind of them than usual, though the truth stands in."""
    if args.detector or args.pose_model or args.pose != "top-down":
        raise UsageError(f"{why}; leave out --detector, --pose-model and --pose, or {remedy}")


def refuse_detector(args: argparse.Namespace) -> None:
    """Raise UsageError for an option on the detector, which bottom-up estimation has none of."""
    for option in ("detector", "detector_type", "detector_size"):
        if getattr(args, option) is not None:
            raise UsageError(
                f"--pose bottom-up finds people without a detector; leave out --{option.replace('_', '-')}"
            )


def _grouping_defaults() -> GroupingConfig:
    from tracker.pose.grouping import TRACKED_GROUPING

    return TRACKED_GROUPING


def _grouping_config(args: argparse.Namespace) -> GroupingConfig:
    """The settings of the grouping; UsageError for a senseless one."""
    if args.grouping and args.pose != "bottom-up":
        raise UsageError("--grouping is for --pose bottom-up; leave it out")
    try:
        return replace(_grouping_defaults(), **(args.grouping or {}))
    except ValueError as error:
        raise UsageError(f"--grouping {error}") from error
