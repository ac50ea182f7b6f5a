"""Detectors from files: recognition, input sizes, batches, and what becomes of the boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.onnx_graphs import write_constant_graph
from tracker.boxes import iou
from tracker.detection import load_detector
from tracker.detection.detector import NetworkDetector
from tracker.detection.family import Outputs
from tracker.detection.person_detector import PERSON_DETECTOR
from tracker.detection.rtmdet import RTMDET
from tracker.errors import ModelError, UsageError
from tracker.runtime import OnnxNetwork, TensorInfo, torch_runs_on_cuda
from tracker.types import Detections, Image
from tracker.weights import find_default

SHARED = Path(__file__).parents[3] / "shared"
RTMDET_NANO = SHARED / "models" / "rtmdet_nano.onnx"
BONN = SHARED / "data" / "val" / "bonn" / "images" / "val" / "000001_bonn_test"

OPEN = TensorInfo("image", (None, 3, None, None), "float32")
FIXED = TensorInfo("image", (1, 3, 64, 96), "float32")
IMAGE = np.zeros((64, 96, 3), np.uint8)


def _write_rows(path: Path, rows: Sequence[Sequence[float]], image: TensorInfo = FIXED) -> Path:
    """A detector that always finds the same: rows of x1, y1, x2, y2, score in input pixels."""
    dets = np.array(rows, np.float32).reshape(1, -1, 5)
    labels = np.zeros(dets.shape[:2], np.int64)
    return write_constant_graph(path, [image], {"dets": dets, "labels": labels})


class _PictureReader:
    """A network that sees the one person who stands in the blue values of an image's first five pixels.

    They are x1, y1, x2, y2 and 255 times the score. one_image_inside: the open batch of the input is a lie.
    """

    path = Path("a.onnx")
    engine = "numpy"
    note = None
    inputs = (OPEN,)
    outputs = (TensorInfo("dets", (None, 1, 5), "float32"), TensorInfo("labels", (None, 1), "int64"))

    def __init__(self, one_image_inside: bool = False) -> None:
        self.metadata: dict[str, str] = {}
        self.batches: list[int] = []
        self._largest = 1 if one_image_inside else 9

    def run(self, images: Any) -> Outputs:
        self.batches.append(len(images))
        if len(images) > self._largest:
            raise ModelError("a.onnx failed on numpy: Reshape")
        dets = images[:, :1, 0, :5] * 57.375 + 103.53
        return [dets / np.array([1, 1, 1, 1, 255], np.float32), np.zeros((len(images), 1), np.int64)]

    def detector(self) -> NetworkDetector:
        return NetworkDetector(self, RTMDET, 0.5, 96)


def _picture(*values: int, height: int = 64) -> Image:
    """An image in which `_PictureReader` sees a person."""
    image = np.zeros((height, 96, 3), np.uint8)
    image[0, :5, 0] = values
    return image


def _detect_one(path: Path, image: Image = IMAGE, **settings: Any) -> Detections:
    (detections,) = load_detector(path, "cpu", **settings).detect([image])
    return detections


def test_each_axis_has_its_own_scale(tmp_path: Path) -> None:
    # 101×50 scaled to 96 wide is 47.5 rows, of which 48 are made.
    detections = _detect_one(_write_rows(tmp_path / "a.onnx", [[0, 0, 96, 48, 0.9]]), np.zeros((50, 101, 3), np.uint8))
    np.testing.assert_allclose(detections.boxes, [[0, 0, 101, 50]], rtol=1e-6)


@pytest.mark.parametrize(
    ("threshold", "kept"),
    [
        pytest.param(0.5, [0.9, 0.5], id="equal is kept"),
        pytest.param(0.3, [0.9, 0.5, 0.3], id="equal after rounding to single precision is kept"),
        pytest.param(0.51, [0.9], id="below is dropped"),
    ],
)
def test_the_threshold(tmp_path: Path, threshold: float, kept: list[float]) -> None:
    rows = [[1, 1, 9, 9, 0.5], [1, 1, 9, 9, 0.3], [1, 1, 9, 9, 0.9]]
    detections = _detect_one(_write_rows(tmp_path / "a.onnx", rows), score_threshold=threshold)
    np.testing.assert_array_equal(detections.scores, np.array(kept, np.float32))


def test_the_best_come_first_and_equals_keep_their_order(tmp_path: Path) -> None:
    rows = [[x, 0, 90, 9, 0.8 if x == 30 else 0.6] for x in range(60)]
    detections = _detect_one(_write_rows(tmp_path / "a.onnx", rows))
    assert detections.boxes[:, 0].tolist() == [30, *range(30), *range(31, 60)]


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        pytest.param([-5, -7, 20, 30], [0, 0, 20, 30], id="over the top left"),
        pytest.param([10, 10, 10, 30], None, id="no width"),
        pytest.param([30, 30, 10, 10], None, id="inside out"),
        pytest.param([96, 10, 120, 30], None, id="just right of the image"),
    ],
)
def test_boxes_are_cut_to_the_image(tmp_path: Path, box: list[float], clipped: list[float] | None) -> None:
    detections = _detect_one(_write_rows(tmp_path / "a.onnx", [[*box, 0.9]]))
    np.testing.assert_array_equal(detections.boxes, np.reshape(clipped or [], (-1, 4)))
    assert len(detections.scores) == len(detections.boxes)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param([1, 1, 9, 9, np.nan], id="score"),
        pytest.param([1, np.nan, 9, 9, 0.9], id="coordinate"),
    ],
)
def test_values_that_are_not_finite_are_an_error(tmp_path: Path, row: list[float]) -> None:
    path = _write_rows(tmp_path / "a.onnx", [[1, 1, 9, 9, 0.9], row])
    with pytest.raises(ModelError, match=r"^a\.onnx .* gave values that are not finite on ONNX Runtime .*--device cpu"):
        _detect_one(path)


def test_nonsense_below_the_threshold_does_no_harm(tmp_path: Path) -> None:
    path = _write_rows(tmp_path / "a.onnx", [[1, 1, 9, 9, 0.9], [0, 0, np.inf, 9, 0.1]])
    assert len(_detect_one(path)) == 1


@pytest.mark.parametrize(
    ("size", "input_hw"),
    [
        pytest.param(None, (288, 416), id="416 by default"),
        pytest.param(32, (32, 32), id="as asked"),
    ],
)
def test_an_open_input_has_the_shape_of_the_image(tmp_path: Path, size: int | None, input_hw: tuple[int, int]) -> None:
    shapes = []

    def prepare(image: Image, size_wh: tuple[int, int]) -> Any:
        prepared = RTMDET.prepare(image, size_wh)
        shapes.append(prepared[0].shape)
        return prepared

    network = OnnxNetwork(_write_rows(tmp_path / "a.onnx", [], OPEN), "cpu")
    NetworkDetector(network, replace(RTMDET, prepare=prepare), 0.5, size).detect([IMAGE])
    assert shapes == [(3, *input_hw)]


@pytest.mark.parametrize("size", [0, -32, 300])
def test_a_size_that_is_no_multiple_of_the_stride(tmp_path: Path, size: int) -> None:
    with pytest.raises(UsageError, match=f"detector size {size} is no multiple of 32"):
        load_detector(_write_rows(tmp_path / "a.onnx", [], OPEN), "cpu", size=size)


def test_a_fixed_size_cannot_be_changed(tmp_path: Path) -> None:
    path = _write_rows(tmp_path / "a.onnx", [])
    assert load_detector(path, "cpu", size=96).name == "a.onnx (RTMDet, 96 px)"
    with pytest.raises(UsageError, match=r"detector size 416: a\.onnx takes 96×64 only"):
        load_detector(path, "cpu", size=416)


def _write_grid(path: Path, rows: Sequence[Sequence[float]]) -> Path:
    """A YOLOX of people alone on 64×64 px: rows of x, y, width, height in pixels, and score, of the first cells."""
    grid = np.zeros((1, 64 + 16 + 4, 6), np.float32)
    grid[..., :2] = 32
    grid[0, : len(rows), :5] = rows
    grid[..., 5] = 1
    return write_constant_graph(path, [TensorInfo("images", (1, 3, 64, 64), "float32")], {"output": grid})


def _write_raw(path: Path, image: TensorInfo) -> Path:
    """RTMDet's heads for an input of 96×64 px: one person whose box is 16, 8, 48, 40."""
    heads = {f"head_{s}": np.full((1, 64 // s, 96 // s, 5), -9, np.float32) for s in (8, 16, 32)}
    heads["head_8"][0, 2, 4] = 9, 16, 8, 16, 24
    return write_constant_graph(path, [image], heads)


def _write_picodet(path: Path) -> Path:
    boxes = np.array([[[24, 16, 48, 32], [1, 1, 9, 9]]], np.float32)
    return write_constant_graph(path, [FIXED], {"boxes": boxes, "scores": np.array([[[0.9, 0.1]]], np.float32)})


@pytest.mark.parametrize(
    ("write", "name", "box"),
    [
        pytest.param(lambda path: _write_rows(path, [[24, 16, 48, 32, 0.9]]), "RTMDet, 96", [48, 32, 96, 64], id="NMS"),
        pytest.param(lambda path: _write_raw(path, FIXED), "RTMDet, 96", [32, 16, 96, 80], id="RTMDet's heads"),
        # 192×128 is 64×43 in the corner of 64×64: about a third
        pytest.param(
            lambda path: _write_grid(path, [[20, 20, 8, 16, 0.9]]), "YOLOX, 64", [48, 12 / 43 * 128, 72, 28 / 43 * 128],
            id="YOLOX",
        ),
        pytest.param(_write_picodet, "PicoDet, 96", [48, 32, 96, 64], id="PicoDet"),
    ],
)  # fmt: skip
def test_families_are_recognised_and_their_boxes_go_back_to_the_image(
    tmp_path: Path, write: Callable[[Path], Path], name: str, box: list[float]
) -> None:
    detector = load_detector(write(tmp_path / "any.onnx"), "cpu")
    assert detector.name == f"any.onnx ({name} px)"
    (found,) = detector.detect([np.zeros((128, 192, 3), np.uint8)])
    np.testing.assert_allclose(found.boxes, [box], rtol=1e-5)


@pytest.mark.parametrize(
    ("file_name", "detector_type", "pixel"),
    [
        pytest.param("any.onnx", None, -103.53 / 57.375, id="RTMDet by default"),
        pytest.param("any.onnx", "yolox-nms", 0, id="YOLOX by its type"),
        pytest.param("YOLOX_m_humanart.onnx", None, 0, id="YOLOX by the file's name"),
        pytest.param("yolox_m_8xb8-300e_humanart/end2end.onnx", None, 0, id="YOLOX by the folder's name"),
        pytest.param("yolox.onnx", "rtmdet", -103.53 / 57.375, id="the type weighs more than the name"),
    ],
)
def test_with_nms_in_the_graph_type_or_name_tell_the_family(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_name: str, detector_type: str | None, pixel: float
) -> None:
    inputs = []

    def run(self: OnnxNetwork, batch: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        inputs.append(batch)
        return [np.zeros((1, 0, 5), np.float32), np.zeros((1, 0), np.int64)]

    monkeypatch.setattr(OnnxNetwork, "run", run)
    (tmp_path / file_name).parent.mkdir(exist_ok=True)
    _detect_one(_write_rows(tmp_path / file_name, []), detector_type=detector_type)
    assert inputs[0][0, 0, 0, 0] == pytest.approx(pixel)


@pytest.mark.parametrize(
    "inputs",
    [
        pytest.param([FIXED, TensorInfo("scale", (1, 2), "float32")], id="two inputs"),
        pytest.param([TensorInfo("x", (1, 320, 320, 3), "float32")], id="channels last"),
        pytest.param([TensorInfo("x", (1, 3, 320, 320), "uint8")], id="bytes in"),
        pytest.param([TensorInfo("x", (4, 3, 320, 320), "float32")], id="batch of four"),
        pytest.param([TensorInfo("x", (3, 320, 320), "float32")], id="a single image"),
    ],
)
def test_a_detector_is_fed_images_alone(tmp_path: Path, inputs: list[TensorInfo]) -> None:
    outputs = {"dets": np.zeros((1, 2, 5), np.float32), "labels": np.zeros((1, 2), np.int64)}
    with pytest.raises(ModelError, match="is no detector of a known kind"):
        load_detector(write_constant_graph(tmp_path / "a.onnx", inputs, outputs), "cpu")


def test_a_network_of_another_type_than_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as error:
        load_detector(_write_picodet(tmp_path / "a.onnx"), "cpu", detector_type="yolox")
    assert str(error.value).startswith(f"{tmp_path / 'a.onnx'} is no detector of type yolox: its inputs are image ")
    assert str(error.value).endswith("out YOLOX (one output [b, cells, 6 or 85])")


@pytest.mark.parametrize(
    ("second", "kept"),
    [
        pytest.param([30, 20, 20, 30, 0.9], [0.9], id="IoU 1: the better one"),
        pytest.param([36, 20, 20, 30, 0.8], [0.8], id="IoU 0.54 is above YOLOX's 0.5"),
        pytest.param([40, 20, 20, 30, 0.8], [0.8, 0.6], id="IoU 1/3: two people"),
    ],
)
def test_overlapping_boxes_are_suppressed(tmp_path: Path, second: list[float], kept: list[float]) -> None:
    path = _write_grid(tmp_path / "a.onnx", [[30, 20, 20, 30, 0.6], second])
    (found,) = load_detector(path, "cpu").detect([np.zeros((64, 64, 3), np.uint8)])
    np.testing.assert_allclose(found.scores, kept)


# Three cells of one person, two of another beside them, and one of neither, in pixels of the input.
CROWD = [
    ([10, 10, 30, 50], 0.9), ([11, 10, 31, 50], 0.6), ([10, 12, 30, 52], 0.3),
    ([20, 10, 40, 50], 0.8), ([21, 10, 41, 50], 0.5), ([60, 10, 80, 50], 0.4),
]  # fmt: skip


def _detect_crowd(tmp_path: Path, num_votes: int, threshold: float) -> list[tuple[list[float], float]]:
    """Boxes and scores of CROWD, which stands in its cells whatever the image."""
    maps = [np.zeros((1, 5, 64 // stride, 96 // stride), np.float32) for stride in (8, 16, 32)]
    for level in maps:
        level[:, 0], level[:, 1:] = -20, 1
    for column, (box, score) in enumerate(CROWD):
        point = np.array([column * 8, 0])
        maps[0][0, 0, 0, column] = np.log(score / (1 - score))
        maps[0][0, 1:, 0, column] = [*(point - box[:2]), *(box[2:] - point)]
    outputs = {f"stride_{stride}": level for stride, level in zip((8, 16, 32), maps, strict=True)}
    network = OnnxNetwork(write_constant_graph(tmp_path / "a.onnx", [FIXED], outputs), "cpu")
    family = replace(PERSON_DETECTOR, num_votes=num_votes)
    (found,) = NetworkDetector(network, family, threshold, None).detect([IMAGE])
    return [
        (box.round(3).tolist(), round(float(score), 3)) for box, score in zip(found.boxes, found.scores, strict=True)
    ]


@pytest.mark.parametrize(
    ("num_votes", "scores"),
    [
        pytest.param(1, [0.9, 0.8, 0.4], id="the best alone"),
        pytest.param(3, [0.6, 0.433, 0.133], id="three"),
        pytest.param(100, [0.018, 0.013], id="more than there are cells"),
    ],
)
def test_those_that_a_box_replaces_say_with_it_how_sure_it_is(
    tmp_path: Path, num_votes: int, scores: list[float]
) -> None:
    least = 0.01
    found = _detect_crowd(tmp_path, num_votes, least)
    assert [score for _, score in found] == pytest.approx(scores, abs=1e-3)
    assert [box for box, _ in found] == [CROWD[cell][0] for cell in (0, 3, 5)][: len(scores)]


@pytest.mark.parametrize(
    ("threshold", "scores"),
    [
        pytest.param(0.1, [0.6, 0.433, 0.133], id="all"),
        pytest.param(0.3, [0.6, 0.433], id="who is not sure enough together"),
        pytest.param(0.5, [0.6], id="nor is one whose best cell alone is"),
        pytest.param(0.95, [], id="nobody"),
    ],
)
def test_scores_do_not_depend_on_the_threshold(tmp_path: Path, threshold: float, scores: list[float]) -> None:
    assert [score for _, score in _detect_crowd(tmp_path, 3, threshold)] == pytest.approx(scores, abs=1e-3)


def test_a_threshold_of_zero_compares_the_best_thousand_alone(tmp_path: Path) -> None:
    boxes = np.zeros((1, 5000, 4), np.float32)
    boxes[0, :, 0] = boxes[0, :, 1] = np.arange(5000) % 60
    boxes[0, :, 2:] = boxes[0, :, :2] + np.linspace(1, 2, 5000)[:, None]
    scores = np.linspace(0, 1, 5000, dtype=np.float32).reshape(1, 1, -1)
    path = write_constant_graph(tmp_path / "a.onnx", [FIXED], {"boxes": boxes, "scores": scores})
    found = _detect_one(path, score_threshold=0.0)
    assert len(found) == 60
    assert found.scores[0] == 1


@pytest.mark.parametrize(
    ("outputs", "found"),
    [
        pytest.param([np.zeros((1, 7, 5)), np.zeros((1, 6), np.int64)], r"\(7, 5\), \(6,\)", id="fewer labels"),
        pytest.param([np.zeros((1, 7, 1)), np.zeros((1, 7), np.int64)], r"\(7, 1\), \(7,\)", id="no scores"),
    ],
)
def test_shapes_that_come_to_light_late_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outputs: list[npt.NDArray[Any]], found: str
) -> None:
    monkeypatch.setattr(OnnxNetwork, "run", lambda *_: outputs)
    with pytest.raises(ModelError, match=rf"^a\.onnx .* gave {found} for an input \(3, 64, 96\).*--detector-type"):
        _detect_one(_write_rows(tmp_path / "a.onnx", []))


def test_a_grid_of_another_size_than_the_input_is_an_error(tmp_path: Path) -> None:
    path = _write_raw(tmp_path / "a.onnx", OPEN)
    assert len(_detect_one(path, size=96)) == 1
    with pytest.raises(ModelError, match=r"gave \(8, 12, 5\), .* for an input \(3, 96, 128\)"):
        _detect_one(path, size=128)


def test_an_open_batch_is_run_at_once() -> None:
    network = _PictureReader()
    pictures = [_picture(4, 5, 60, 50, 204), _picture(0, 0, 9, 9, 25), _picture(7, 8, 20, 30, 255)]
    found = network.detector().detect(pictures)
    assert network.batches == [3]
    np.testing.assert_allclose(found[0].boxes, [[4, 5, 60, 50]], atol=1e-4)
    np.testing.assert_allclose(found[0].scores, [0.8], atol=1e-6)
    assert len(found[1]) == 0
    np.testing.assert_allclose(found[2].boxes, [[7, 8, 20, 30]], atol=1e-4)


def test_images_of_several_shapes_are_run_one_by_one() -> None:
    network = _PictureReader()
    found = network.detector().detect([_picture(4, 5, 60, 50, 204), _picture(1, 2, 33, 31, 255, height=32)])
    assert network.batches == [1, 1]
    np.testing.assert_allclose(found[1].boxes, [[1, 2, 33, 31]], atol=1e-4)


def test_a_batch_in_name_only_is_looped() -> None:
    network = _PictureReader(one_image_inside=True)
    detector = network.detector()
    for _ in range(2):
        found = detector.detect([_picture(4, 5, 60, 50, 204), _picture(7, 8, 20, 30, 255)])
        assert [round(float(each.boxes[0, 0])) for each in found] == [4, 7]
    # The batch is tried once only.
    assert network.batches == [2, 1, 1, 1, 1]


def test_outputs_for_one_image_of_a_batch_are_found_out(tmp_path: Path) -> None:
    path = _write_rows(tmp_path / "a.onnx", [[1, 1, 9, 9, 0.9]], OPEN)
    found = load_detector(path, "cpu", size=96).detect([IMAGE, IMAGE])
    assert [len(each) for each in found] == [1, 1]


@pytest.mark.shared
@pytest.mark.skipif(not RTMDET_NANO.exists(), reason="needs ../shared/models and ../shared/data")
def test_the_real_network_finds_the_four_people_of_a_photograph() -> None:
    cv2 = pytest.importorskip("cv2")
    images = [cv2.imread(str(BONN / name)) for name in ("000000.jpg", "000010.jpg")]
    detector = load_detector(RTMDET_NANO, "cpu")
    together = detector.detect(images)
    for image, found in zip(images, together, strict=True):
        (alone,) = detector.detect([image])
        np.testing.assert_allclose(alone.boxes, found.boxes, atol=1e-3)
        assert (np.diff(alone.scores) <= 0).all()
        assert (alone.boxes[:, 2:] <= (image.shape[1], image.shape[0])).all()
    assert 3 <= len(together[0]) <= 5


@pytest.mark.shared
@pytest.mark.skipif(not RTMDET_NANO.exists(), reason="needs ../shared/models and ../shared/data")
@pytest.mark.parametrize("name", ["rtmdet_nano_raw", "yolox_nano", "picodet_s_320_pedestrian"])
def test_real_networks_of_all_families_find_the_same_people(name: str) -> None:
    cv2 = pytest.importorskip("cv2")
    image = cv2.imread(str(BONN / "000000.jpg"))
    (expected,) = load_detector(RTMDET_NANO, "cpu").detect([image])
    (found,) = load_detector(RTMDET_NANO.with_stem(name), "cpu", 0.4).detect([image])
    assert (iou(expected.boxes, found.boxes).max(axis=1) > 0.7).sum() >= len(expected) - 1
    assert len(found) <= len(expected) + 2


def test_cuda_finds_what_the_cpu_finds() -> None:
    if not torch_runs_on_cuda("auto"):
        pytest.skip("there is no CUDA device")
    image = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    path = find_default("detector", engine="torch")
    (on_cpu,), (on_cuda,) = (load_detector(path, device, 0.001, size=96).detect([image]) for device in ("cpu", "cuda"))
    assert abs(len(on_cpu) - len(on_cuda)) <= 0.1 * len(on_cpu)
    np.testing.assert_allclose(on_cuda.scores[:5], on_cpu.scores[:5], atol=0.02)
