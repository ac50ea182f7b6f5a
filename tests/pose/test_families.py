"""Families of top-down networks, on graphs of the published signatures whose answers follow the picture."""

from __future__ import annotations

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tracker.errors import ModelError
from tracker.nets import IMAGENET_MEAN, IMAGENET_STD
from tracker.pose import TopDownEstimator, load_estimator, load_pose_network
from tracker.pose.heatmap_family import HEATMAPS, heatmap_family
from tracker.pose.heatmaps import decode_dark, encode_heatmaps
from tracker.pose.simcc_family import SIMCC
from tracker.skeletons import COCO_17, SKELETONS
from tracker.types import Candidates

SIZE_HW = 256, 192
SIMCC_SIZES_WH = {"simcc_x": 384, "simcc_y": 512}
# Blue, green, red, one for each third of the keypoints, both sides of a pair alike.
SPOTS = np.array([[120.3, 171.8], [163.9, 120.2], [143.6, 252.4]])
BOXES = np.array([[80, 60, 210, 300], [100, 90, 190, 280], [60, 100, 230, 270]], np.float32)


def colors_of(num_keypoints: int) -> np.ndarray:
    order = next(
        (s.flip_order for s in SKELETONS.values() if s.num_keypoints == num_keypoints), np.arange(num_keypoints)
    )
    return np.minimum(np.arange(num_keypoints), order) % 3


def write(path, nodes, outputs, constants, batch="batch", size_hw=SIZE_HW, num_keypoints=None):
    """A graph from `input` to outputs of those sizes; sizes that are text are left open."""
    shape = [batch, num_keypoints or "MatMulsimcc_x_dim_1"]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 3, *size_hw])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [*shape, *sizes]) for name, sizes in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def write_simcc(path, num_keypoints=17, size_hw=SIZE_HW, names=("simcc_x", "simcc_y"), **options):
    """Curves of RTMPose's signature: the brightest row or column of a colour, at two bins a pixel."""
    height, width = size_hw
    nodes = [
        # Of how many keypoints is known only when it runs, as in MMDeploy's graphs.
        helper.make_node("Compress", ["channels", "all"], ["order"], axis=0),
        helper.make_node("Gather", ["input", "order"], ["picked"], axis=1),
        *(helper.make_node("ReduceMax", ["picked", axis], [f"{axis}_max"], keepdims=0) for axis in ("rows", "columns")),
        *(
            helper.make_node(
                "Resize", [f"{axis}_max", "", "twice"], [name], mode="linear",
                coordinate_transformation_mode="asymmetric",
            )
            for axis, name in zip(("rows", "columns"), names, strict=True)
        ),
    ]  # fmt: skip
    # Channels are red, green, blue.
    constants = {
        "channels": 2 - colors_of(num_keypoints), "all": np.ones(num_keypoints, bool),
        "rows": [2], "columns": [3], "twice": np.float32([1, 1, 2]),
    }  # fmt: skip
    return write(path, nodes, {names[0]: [2 * width], names[1]: [2 * height]}, constants, size_hw=size_hw, **options)


def write_heatmaps(path, num_keypoints=17, **options):
    """Heatmaps of ViTPose's signature, from the first pixel to the last."""
    nodes = [
        helper.make_node("Gather", ["input", "channels"], ["picked"], axis=1),
        helper.make_node(
            "Resize", ["picked", "", "quarter"], ["output_0"], mode="linear",
            coordinate_transformation_mode="align_corners",
        ),
    ]  # fmt: skip
    constants = {"channels": 2 - colors_of(num_keypoints), "quarter": np.float32([1, 1, 0.25, 0.25])}
    return write(path, nodes, {"output_0": [64, 48]}, constants, num_keypoints=num_keypoints, **options)


def picture():
    """A wide Gaussian spot of each colour on grey, which is 0 when normalised."""
    y, x = np.mgrid[:400, :300]
    distances = (x[..., None] - SPOTS[:, 0]) ** 2 + (y[..., None] - SPOTS[:, 1]) ** 2
    grey = np.array(IMAGENET_MEAN[::-1])
    return np.rint(grey + (255 - grey) * np.exp(-distances / (2 * 9.0**2))).astype(np.uint8)


def candidates(boxes=BOXES):
    return Candidates(boxes, np.full(len(boxes), 0.9, np.float32), np.zeros(len(boxes), np.int8))


@pytest.mark.parametrize("flip_test", [False, True], ids=["plain", "flip test"])
@pytest.mark.parametrize(
    ("write_graph", "name", "tolerance"),
    [
        # A bin is up to 0.6 px here, and the brightest pixels of a spot are as bright.
        pytest.param(write_simcc, "rtmpose.onnx", 0.7, id="SimCC"),
        pytest.param(write_heatmaps, "vitpose-s-coco.onnx", 0.03, id="ViTPose"),
    ],
)
def test_what_is_in_the_picture_is_found_where_it_is(tmp_path, write_graph, name, tolerance, flip_test):
    estimator = load_estimator(write_graph(tmp_path / name), "cpu", flip_test=flip_test)
    assert estimator.skeleton is COCO_17
    poses = estimator.estimate(picture(), candidates())
    truth = SPOTS[colors_of(17)]
    assert np.abs(poses.keypoints - truth).max() < tolerance
    # Raw: a bright pixel is over two deviations above the mean. In 0–1 for what follows.
    assert (poses.scores > 2).all()
    assert (poses.limited().scores == 1).all()
    one_by_one = [estimator.estimate(picture(), candidates(BOXES[row : row + 1])) for row in range(len(BOXES))]
    np.testing.assert_array_equal(poses.keypoints, np.concatenate([alone.keypoints for alone in one_by_one]))
    np.testing.assert_array_equal(poses.scores, np.concatenate([alone.scores for alone in one_by_one]))


def test_a_vitpose_read_as_if_it_were_of_simple_baselines_is_off(tmp_path):
    """The trap that `family = "vitpose"` avoids: cells of another crop."""
    (tmp_path / "a.toml").write_text('family = "vitpose"\ncrop = "simple-baselines"\nskeleton = "coco17"')
    poses = load_estimator(write_heatmaps(tmp_path / "a.onnx"), "cpu").estimate(picture(), candidates())
    assert np.abs(poses.keypoints - SPOTS[colors_of(17)]).max() > 0.5


class Given:
    """A network that gives outputs made for the test."""

    name, engine, note, skeleton, input_size_hw = "given", "numpy", None, COCO_17, SIZE_HW

    def __init__(self, outputs):
        self.outputs = outputs

    def run(self, images):
        return {name: values[: len(images)] for name, values in self.outputs.items()}


def region(box):
    """Left top corner, width and height of what a crop of 3:4 around a box shows."""
    x1, y1, x2, y2 = box.astype(float)
    width = max(x2 - x1, (y2 - y1) * 3 / 4) * 1.25
    size = np.array([width, width * 4 / 3])
    return np.array([x1 + x2, y1 + y2]) / 2 - size / 2, size


def independent_simcc(x, y, box):
    """Li et al.: the bin of the maximum, divided by the splitting factor and brought to the region."""
    corner, size = region(box)
    pixels = np.array([int(np.argmax(x)), int(np.argmax(y))]) / 2
    return corner + pixels / (192, 256) * size, min(max(x), max(y))


def independent_udp_dark(heatmap, box):
    """Zhang et al., eq. 9, on the map blurred by OpenCV; Huang et al.: cells reach from edge to edge."""
    blurred = cv2.GaussianBlur(heatmap.astype(np.float64), (11, 11), 0, borderType=cv2.BORDER_REFLECT_101)
    log = np.pad(np.log(np.clip(blurred, 0.001, 50)), 1, mode="edge")
    row, column = np.unravel_index(heatmap.argmax(), heatmap.shape)
    window = log[row : row + 3, column : column + 3]
    gradient = np.array([window[1, 2] - window[1, 0], window[2, 1] - window[0, 1]]) / 2
    ahead, back = np.diff(window, axis=1), np.diff(window, axis=0)
    mixed = ((ahead[2, 1] - ahead[1, 1]) + (ahead[1, 0] - ahead[0, 0])) / 2
    hessian = np.array([[ahead[1, 1] - ahead[1, 0], mixed], [mixed, back[1, 1] - back[0, 1]]])
    cell = np.array([column, row]) - np.linalg.solve(hessian, gradient)
    corner, size = region(box)
    return corner + cell / (47, 63) * size, heatmap.max()


@pytest.mark.parametrize("seed", range(5))
def test_decoding_agrees_with_an_independent_decoder(seed):
    rng = np.random.default_rng(seed)
    shape = len(BOXES), 17
    places = rng.uniform(3, 40, (*shape, 2))
    heatmaps, _ = encode_heatmaps(places, np.ones(shape), (48, 64), stride=1, whole_cells=False)
    heatmaps += rng.normal(0, 0.02, heatmaps.shape).astype(np.float32)
    curves = {
        name: rng.normal(0.2, 0.5, (*shape, length)).astype(np.float32) for name, length in SIMCC_SIZES_WH.items()
    }
    vitpose = heatmap_family(udp=True, dark_kernel=11)
    for outputs, family in ((curves, SIMCC), ({"heatmaps": heatmaps}, vitpose)):
        poses = TopDownEstimator(Given(outputs), family).estimate(picture(), candidates())
        for n, k in np.ndindex(shape):
            parts = [values[n, k] for values in outputs.values()]
            decode = independent_simcc if family is SIMCC else independent_udp_dark
            expected, score = decode(*parts, BOXES[n])
            np.testing.assert_allclose(poses.keypoints[n, k], expected, rtol=0, atol=1e-4)
            assert poses.scores[n, k] == score


@pytest.mark.parametrize(("sigma", "kernel", "size_wh"), [(2, 11, (48, 64)), (3, 17, (72, 96)), (2, 11, (64, 64))])
def test_dark_decodes_what_is_encoded_between_cells(sigma, kernel, size_wh):
    keypoints = np.random.default_rng(0).uniform(3 * sigma, np.array(size_wh) - 3 * sigma - 1, (40, 17, 2))
    heatmaps, _ = encode_heatmaps(keypoints, np.ones((40, 17)), size_wh, sigma=sigma, stride=1, whole_cells=False)
    positions, values = decode_dark(heatmaps, kernel)
    assert np.abs(positions - keypoints).max() < 0.02
    np.testing.assert_array_equal(values, heatmaps.max(axis=(2, 3)))


def test_dark_stays_at_cells_where_the_map_has_no_top():
    flat = np.full((1, 1, 8, 6), 0.5, np.float32)
    slope = np.broadcast_to(np.exp(np.arange(6, dtype=np.float32)), (1, 1, 8, 6))
    for maps in (flat, slope, np.zeros_like(flat)):
        positions, _ = decode_dark(maps, 3)
        assert np.abs(positions - [5 if maps is slope else 0, 0]).max() <= 1


@pytest.mark.parametrize("draw_of", [HEATMAPS, SIMCC], ids=["heatmaps", "SimCC"])
def test_maps_to_look_at_have_their_peaks_where_the_keypoints_are(draw_of):
    rng = np.random.default_rng(1)
    outputs = {"heatmaps": rng.random((3, 17, 64, 48), np.float32)}
    if draw_of is SIMCC:
        outputs = {name: rng.random((3, 17, length), np.float32) for name, length in SIMCC_SIZES_WH.items()}
    cells, scores, grid_wh = draw_of.decode(outputs)
    heatmaps = draw_of.draw(outputs)
    assert heatmaps.shape == (3, 17, 64, 48)
    np.testing.assert_array_equal(heatmaps.max(axis=(2, 3)), scores)
    x, y = (cells / grid_wh * (48, 64)).astype(float).transpose(2, 0, 1)
    if draw_of is SIMCC:  # heatmaps are moved by a quarter of a cell
        rows, columns = (np.minimum(np.floor(at + 0.5).astype(int), last) for at, last in ((y, 63), (x, 47)))
        np.testing.assert_array_equal(heatmaps[np.arange(3)[:, None], np.arange(17), rows, columns], scores)


@pytest.mark.parametrize(
    ("num_keypoints", "name", "skeleton"),
    [
        (17, "rtmpose-m.onnx", "coco17"),
        (17, "rtmpose-m_simcc-ap10k_pt-aic-coco_210e-256x256.onnx", "ap10k17"),
        (26, "end2end.onnx", "halpe26"),
        (133, "dw-ll_ucoco_384.onnx", "wholebody133"),
        (21, "rtmpose-m_simcc-hand5.onnx", "hand21"),
    ],
)
def test_the_number_of_keypoints_tells_the_skeleton_though_the_graph_leaves_it_open(
    tmp_path, num_keypoints, name, skeleton
):
    path = write_simcc(tmp_path / name, num_keypoints)
    network = load_pose_network(path, "cpu")
    assert [info.shape[1] for info in network._network.outputs] == [None, None]
    assert (network.skeleton.name, network.family, network.input_size_hw) == (skeleton, SIMCC, SIZE_HW)
    assert (network._normalization.color, network._normalization.mean) == ("rgb", IMAGENET_MEAN)
    path.with_suffix(".toml").write_text('color = "bgr"')  # of one's own export
    assert load_pose_network(path, "cpu")._normalization.color == "bgr"
    assert load_pose_network(path, "cpu")._normalization.std == IMAGENET_STD


@pytest.mark.parametrize(
    ("names", "size_hw"),
    [
        pytest.param(("a_x", "b_y"), SIZE_HW, id="named x and y"),
        pytest.param(("first", "second"), (256, 256), id="in this order, both as long"),
    ],
)
def test_curves_are_told_apart_by_their_names_or_their_order(tmp_path, names, size_hw):
    estimator = load_estimator(write_simcc(tmp_path / "a.onnx", names=names, size_hw=size_hw), "cpu")
    found = estimator.estimate(picture(), candidates()).keypoints
    assert np.abs(found - SPOTS[colors_of(17)]).max() < 0.7


@pytest.mark.parametrize(
    ("write_graph", "name", "text", "words"),
    [
        (write_heatmaps, "a.onnx", "", "or its family, vitpose"),
        (write_heatmaps, "a.onnx", 'family = "vitpos"', "states family = 'vitpos', which makes no sense (it must be"),
        (write_heatmaps, "vitpose.onnx", "dark_kernel = 10", "odd number from 3 to 63"),
        (write_heatmaps, "vitpose.onnx", "dark_kernel = 999", "odd number from 3 to 63"),
        (write_heatmaps, "vitpose.onnx", 'crop = "half"', "udp or simple-baselines"),
        (write_heatmaps, "vitpose.onnx", 'skeleton = "halpe26"', "of 26 keypoints: export it so"),
        (write_simcc, "rtmpose.onnx", 'crop = "udp"', "states its crop, but gives curves"),
        (write_simcc, "rtmpose.onnx", 'skeleton = "halpe26"', "not curves [b, K, w] along x"),
    ],
)
def test_settings_that_do_not_fit_are_named(tmp_path, write_graph, name, text, words):
    path = write_graph(tmp_path / name)
    path.with_suffix(".toml").write_text(text)
    with pytest.raises(ModelError) as error:
        load_estimator(path, "cpu").estimate(picture(), candidates())
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_curves_of_other_names_in_the_other_order_are_refused():
    curves = {name: np.ones((3, 17, length), np.float32) for name, length in (("first", 512), ("second", 384))}
    estimator = TopDownEstimator(Given(curves), SIMCC)
    with pytest.raises(ModelError, match="gives 512×384 cells for crops of 192×256 px, which do not go together"):
        estimator.estimate(picture(), candidates())


@pytest.mark.parametrize(
    ("num_keypoints", "name", "skeleton", "udp"),
    [
        (17, "vitpose-b-coco.onnx", "coco17", True),
        (16, "vitpose-b-mpii.onnx", "mpii16", True),
        (17, "vitpose-b-apt36k.onnx", "ap10k17", False),
        (133, "vitpose-b-wholebody.onnx", "wholebody133", False),
    ],
)
def test_of_vitpose_only_people_of_coco_and_mpii_have_udp(tmp_path, num_keypoints, name, skeleton, udp):
    network = load_pose_network(write_heatmaps(tmp_path / name, num_keypoints), "cpu")
    assert (network.skeleton.name, network.family.udp) == (skeleton, udp)
    assert network.family.decode.keywords == {"dark_kernel": 11 if udp else None}
    (tmp_path / name).with_suffix(".toml").write_text('crop = "simple-baselines"')
    assert not load_pose_network(tmp_path / name, "cpu").family.udp


def test_a_number_of_keypoints_that_nobody_has_is_named(tmp_path):
    for number, name in ((25, "vitpose-s-coco_25.onnx"), (14, "vitpose-b-aic.onnx")):
        with pytest.raises(ModelError, match=f"has {number} keypoints and is not described; write the skeleton"):
            load_pose_network(write_heatmaps(tmp_path / name, number), "cpu")
