"""Networks are fetched by name, taken out of their archive, checked, recorded, and known again ever after."""

from __future__ import annotations

import errno
import hashlib
import json
import re
import tomllib
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from tests.catalogue.server import Fault, serving, zip_of
from tests.onnx_graphs import write_constant_graph
from tracker.catalogue import fetch as fetching
from tracker.catalogue import find_network, store
from tracker.catalogue.entries import CATALOGUE, Entry, read_catalogue
from tracker.catalogue.fetch import fetch
from tracker.detection import load_detector
from tracker.errors import InputError, ModelError, OutputError, TrackerError
from tracker.nets.pose_resnet import PoseResNet
from tracker.pipeline import build_pipeline
from tracker.pose import load_pose_network
from tracker.pose.settings import parse_settings
from tracker.runtime import TensorInfo

DETECTOR = "rtmdet-nano"
# Entries of the catalogue as a test has them.
CHANGED: dict[str, Entry] = {}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty folder of weights."""
    monkeypatch.setenv("POSE_TRACKER_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    CHANGED.clear()
    monkeypatch.setattr(store, "read_catalogue", lambda: {**read_catalogue(), **CHANGED})
    monkeypatch.setattr(fetching, "download", partial(fetching.download, wait=lambda _: None))
    return tmp_path / "weights"


@pytest.fixture
def server():
    with serving() as server:
        yield server


def graph(folder: Path, size: int, outputs=None) -> bytes:
    """A detector's graph as MMDeploy exports it."""
    image = TensorInfo("input", (1, 3, size, size), "float32")
    return write_constant_graph(folder / "graph.onnx", [image], outputs or boxes()).read_bytes()


def on(server, name: str, content: bytes, **changes) -> Entry:
    """An entry of the catalogue as if its makers had this server, and what they publish."""
    entry = replace(read_catalogue()[name], address=f"{server.url}/", mirrors=[], **{"sha256": "", **changes})
    server.files[f"/{entry.file}"] = content
    CHANGED[name] = entry
    return entry


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def test_the_catalogue_says_what_it_must_of_each_network():
    for name, entry in read_catalogue().items():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
        assert all(address.startswith("https://") for address in entry.addresses)
        assert entry.suffix in (".onnx", ".pth")
        assert entry.file.endswith(".zip") == bool(entry.member)
        assert re.fullmatch(r"[0-9a-f]{8}|[0-9a-f]{64}|", entry.sha256)
        assert parse_settings(entry.settings, name).keys() >= {"color", "mean", "std", "input_size"}
        assert ("skeleton" in entry.settings) == (entry.kind != "detector")
        assert entry.sha256 in entry.file or len(entry.sha256) == 64
    assert {"rtmpose-m", "rtmpose-halpe26-m", "rtmo-s", "rtmdet-m", "vitpose-b", "simple-baselines-50"} <= {
        *read_catalogue()
    }


@pytest.mark.parametrize("text", ["", "family = 1", "[[family]]\nname = 'a'", "[[family]]\nweights = [{}]", "a = ="])
def test_a_malformed_catalogue_is_told_in_one_line(tmp_path, text):
    (tmp_path / "catalogue.toml").write_text(text)
    with pytest.raises(ModelError, match=r"catalogue.toml is malformed .*; install the program again"):
        read_catalogue(tmp_path / "catalogue.toml")
    assert CATALOGUE.is_file()


def test_a_detector_comes_out_of_its_archive_and_is_known_again(server, tmp_path, folder, monkeypatch):
    network = graph(tmp_path, 320)
    archive = zip_of(end2end__onnx=network, detail__json=b"{}", evil=b"x" * 1000)
    entry = on(server, DETECTOR, archive)
    assert re.fullmatch(r"rtmdet-nano: 0.0 MB, sha256 \w{8}… recorded, as none is published: .*", fetch(entry))
    assert names_in(folder) == ["rtmdet-nano.json", "rtmdet-nano.onnx"]
    record = json.loads((folder / "rtmdet-nano.json").read_text())
    for part, content in (("served", archive), ("network", network)):
        assert record[part] == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert record["address"] == entry.addresses[0]
    assert find_network(DETECTOR) == folder / "rtmdet-nano.onnx"
    assert load_detector(find_network(DETECTOR), "cpu").name == "rtmdet-nano.onnx (RTMDet, 320 px)"
    assert "there already" in fetch(entry)
    assert len(server.asked) == 1
    (folder / "rtmdet-nano.onnx").unlink()
    assert "as recorded" in fetch(entry)


def test_a_checkpoint_comes_with_the_settings_that_its_name_told(server, tmp_path, folder):
    torch.save({"state_dict": mmpose_state(), "meta": {"epoch": 210}}, tmp_path / "a.pth")
    content = (tmp_path / "a.pth").read_bytes()
    entry = on(server, "simple-baselines-50", content, sha256=hashlib.sha256(content).hexdigest()[:8])
    assert "as published" in fetch(entry)
    network = load_pose_network(find_network("simple-baselines-50"), "cpu")
    assert (network.skeleton.name, network.input_size_hw) == ("coco17", (256, 192))
    # What the program says of a network is what counts, not what an older one wrote.
    (folder / "simple-baselines-50.toml").write_bytes(b'color = "bgr"\xff\n')
    find_network("simple-baselines-50")
    settings = tomllib.loads((folder / "simple-baselines-50.toml").read_text())
    assert settings == {**entry.settings, "licence": entry.licence}


def boxes() -> dict[str, np.ndarray]:
    return {"dets": np.zeros((1, 3, 5), np.float32), "labels": np.zeros((1, 3), np.int64)}


def curves(num_keypoints: int) -> dict[str, np.ndarray]:
    return {f"simcc_{axis}": np.zeros((1, num_keypoints, n), np.float32) for axis, n in (("x", 384), ("y", 512))}


# The outputs that the makers' graphs have, by family.
OUTPUTS = {
    "RTMPose": curves(17),
    "RTMPose, Halpe-26": curves(26),
    "DWPose": curves(133),
    "ViTPose": {"output_0": np.zeros((1, 17, 64, 48), np.float32)},
    "RTMO": {"dets": np.zeros((1, 3, 5), np.float32), "keypoints": np.zeros((1, 3, 17, 3), np.float32)},
    "RTMDet": boxes(),
    "YOLOX, Human-Art": boxes(),
}


@pytest.mark.parametrize("family", sorted({entry.family for entry in read_catalogue().values()} - {"Simple Baselines"}))
def test_what_is_listed_runs_once_it_is_fetched(server, tmp_path, family):
    """Graphs with the inputs and outputs of the published ones load by their names, as what the catalogue says."""
    for entry in [entry for entry in read_catalogue().values() if entry.family == family]:
        image = TensorInfo("input", (1, 3, *entry.settings["input_size"]), "float32")
        network = write_constant_graph(tmp_path / "graph.onnx", [image], OUTPUTS[family]).read_bytes()
        fetch(on(server, entry.name, zip_of(end2end__onnx=network) if entry.member else network))
        if entry.kind == "detector":
            detector = load_detector(find_network(entry.name), "cpu")
            assert detector.name == f"{entry.name}.onnx ({family.split(',')[0]}, {entry.settings['input_size'][0]} px)"
        else:
            pose = load_pose_network(find_network(entry.name), "cpu")
            assert pose.skeleton.name == entry.settings["skeleton"]


def mmpose_state() -> dict[str, torch.Tensor]:
    names = {"final_layer": "keypoint_head.final_layer", "deconv_layers": "keypoint_head.deconv_layers"}
    state = PoseResNet(18, 17).state_dict()
    return {f"{names.get(key.split('.')[0], 'backbone.' + key.split('.')[0])}{key[key.index('.') :]}": value
            for key, value in state.items()}  # fmt: skip


def damaged(archive: bytes) -> bytes:
    place = archive.index(b"end2end.onnx") + 30
    return archive[:place] + bytes([archive[place] ^ 0xFF]) + archive[place + 1 :]


# What may come instead of a detector: what is made of the right archive, changes of its entry, and what is said of it.
WRONG = {
    "nothing": (lambda _: b"", {}, "nothing came"),
    "page": (lambda _: b"<!DOCTYPE html><title>log in", {}, "a web page came in place of the file: is there a log-in"),
    "text": (lambda _: b"hello", {}, "is no whole archive"),
    "cut": (lambda whole: whole[:-30], {}, "is no whole archive"),
    "damaged": (damaged, {}, "is no whole archive"),
    "without": (lambda _: zip_of(model__onnx=b"x"), {}, "the archive holds 0 files end2end.onnx"),
    "twice": (lambda _: zip_of(end2end__onnx=b"x", other__end2end__onnx=b"y"), {"member": "onnx"}, "holds"),
    "no graph": (lambda _: zip_of(end2end__onnx=b"no graph"), {}, "not run as rtmdet-nano: rtmdet-nano.onnx does not"),
    "another": (lambda whole: whole, {"sha256": "0123456789"}, "not rtmdet-nano as published: its sha256 begins"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_not_the_network_is_refused_and_not_kept(server, tmp_path, folder, what):
    content, changes, message = WRONG[what]
    whole = zip_of(end2end__onnx=graph(tmp_path, 320))
    assert_refused(on(server, DETECTOR, content(whole), **changes), message, folder)
    fetch(on(server, DETECTOR, whole))
    assert load_detector(find_network(DETECTOR), "cpu")


def test_a_network_of_another_kind_is_refused_and_not_kept(server, tmp_path, folder):
    pose = graph(tmp_path, 320, {"heatmaps": np.zeros((1, 17, 80, 80), np.float32)})
    entry = on(server, DETECTOR, zip_of(end2end__onnx=pose))
    assert_refused(entry, "is no detector of a known kind", folder)


def assert_refused(entry, message, folder):
    with pytest.raises(ModelError) as error:
        fetch(entry)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert names_in(folder) == []


def test_another_network_than_the_first_one_is_refused(server, tmp_path, folder):
    entry = on(server, DETECTOR, zip_of(end2end__onnx=graph(tmp_path, 320)))
    fetch(entry)
    (folder / "rtmdet-nano.onnx").write_bytes(b"changed")
    with pytest.raises(ModelError, match="has changed since it was fetched; run: python -m tracker weights fetch rtm"):
        find_network(DETECTOR)
    server.files[f"/{entry.file}"] = zip_of(end2end__onnx=graph(tmp_path, 416))
    with pytest.raises(ModelError, match=r"another network than was fetched first .*, delete .*rtmdet-nano.json and f"):
        fetch(entry)
    (folder / "rtmdet-nano.json").unlink()
    with pytest.raises(ModelError, match="lies there without a record of how it came"):
        find_network(DETECTOR)
    fetch(entry)
    assert find_network(DETECTOR)
    assert "is not rtmdet-nano as published" in str(store.fault_of(replace(entry, sha256="0" * 64)))
    (folder / "rtmdet-nano.json").write_text("{}")
    with pytest.raises(ModelError, match="is damaged, the record of what was fetched as rtmdet-nano; delete it"):
        find_network(DETECTOR)


def test_what_the_server_states_of_a_file_is_held_against_it(server, tmp_path):
    entry = on(server, DETECTOR, zip_of(end2end__onnx=graph(tmp_path, 320)))
    location = {"Location": f"{server.url}/{entry.file}", "X-Linked-ETag": f'"{"a" * 64}"'}
    server.faults.append(Fault(302, location))
    with pytest.raises(ModelError, match="another sha256 than the server states"):
        fetch(entry)


def test_mirrors_stand_in_and_a_folder_may_be_one(server, tmp_path, folder, capsys):
    archive = zip_of(end2end__onnx=graph(tmp_path, 320))
    entry = on(server, DETECTOR, archive)
    gone = replace(entry, address=f"{server.url}/gone/", mirrors=[entry.address])
    fetch(gone)
    assert "it answers 404" in capsys.readouterr().err
    assert json.loads((folder / "rtmdet-nano.json").read_text())["address"] == entry.addresses[0]
    (folder / "rtmdet-nano.onnx").unlink()
    fetch(gone, mirror=server.url)
    (folder / "rtmdet-nano.onnx").unlink()
    with pytest.raises(InputError, match=r"there is no file .*; --mirror is a folder that has it, or an http"):
        fetch(gone, mirror=str(tmp_path))
    (tmp_path / Path(entry.file).name).write_bytes(archive)
    fetch(gone, mirror=str(tmp_path))
    (folder / "rtmdet-nano.onnx").rename(tmp_path / f"{Path(entry.file).stem}.onnx")
    assert (tmp_path / Path(entry.file).name).read_bytes() == archive
    (tmp_path / Path(entry.file).name).unlink()
    fetch(gone, mirror=str(tmp_path))
    assert find_network(DETECTOR)


def test_a_part_of_a_mirror_is_gone_on_with_there(server, tmp_path, folder):
    archive = zip_of(end2end__onnx=graph(tmp_path, 320))
    entry = on(server, DETECTOR, archive)
    entry = replace(entry, mirrors=[f"{server.url}/mirror/"])
    server.files[f"/mirror/{entry.file}"] = archive
    server.faults.extend([Fault(404), Fault(after=100), *[Fault(500)] * 3])
    with pytest.raises(ModelError, match=r"mirror.* it answers 500"):
        fetch(entry)
    fetch(entry)
    assert server.asked[-1] == (f"/mirror/{entry.file}", "bytes=100-")


def test_what_is_interrupted_after_all_has_come_is_not_fetched_again(server, tmp_path, monkeypatch):
    entry = on(server, DETECTOR, zip_of(end2end__onnx=graph(tmp_path, 320)))
    with monkeypatch.context() as patch:
        patch.setattr(fetching.shutil, "copyfileobj", full_disk)
        with pytest.raises(OutputError, match="No space left"):
            fetch(entry)
    fetch(entry)
    assert find_network(DETECTOR)
    assert server.asked[-1] == (f"/{entry.file}", f"bytes={len(server.files[f'/{entry.file}'])}-")


def full_disk(*_) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_two_processes_do_not_fetch_into_one_folder(server, tmp_path, folder):
    entry = on(server, DETECTOR, zip_of(end2end__onnx=graph(tmp_path, 320)))
    folder.mkdir()
    with FileLock(folder / ".lock"), pytest.raises(ModelError, match="another process is fetching into"):
        fetch(entry)


def test_words_that_are_no_networks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"rtmpose-m has not been fetched; run: .* weights fetch rtmpose-m"):
        find_network("rtmpose-m")
    with pytest.raises(ModelError, match="rtmdet-m has not been fetched"):
        build_pipeline(detector="rtmdet-m")
    with pytest.raises(TrackerError, match="no network file or name rtmpose-mm; nearest: rtmpose-m"):
        find_network("rtmpose-mm")
    for path in ("rtmpose.onnx", "./rtmpose-m", "a/rtmpose-m"):
        assert find_network(path) == Path(path)
    Path("mine").touch()
    assert find_network("mine") == Path("mine")
    assert store.folder() == tmp_path / "weights"
