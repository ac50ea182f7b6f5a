"""Rendered people as training data: folders of the form that `train` reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tracker.scenes.rendering import People, render_scene

SIZE_WH = (240, 136)


def write_data(folder: Path, scene: str = "exercise", num_frames: int = 4) -> Path:
    """A folder of training data: so many frames of a scene, and the last one once more for validation."""
    write_set(folder / "train" / "rendered.json", folder / "train" / "rendered", scene, range(num_frames))
    images = folder / "val" / "rendered" / "images"
    write_set(images.parent / "annotations.json", images, scene, range(num_frames - 1, num_frames))
    return folder


def write_set(path: Path, pictures: Path, scene: str, frames: range) -> None:
    """Frames of a scene as a file in COCO's format and pictures, and a grey picture that shows nobody."""
    pictures.mkdir(parents=True)
    images, annotations = [], []
    for frame in render_scene(scene, SIZE_WH, frames.stop):
        if frame.index in frames:
            images.append(_image(frame.index + 1, pictures, frame.image))
            annotations += _annotations(frame.index + 1, frame.people)
    nobody = _image(1000, pictures, np.full((SIZE_WH[1], SIZE_WH[0], 3), 90, np.uint8))
    images.append(nobody | {"negative": True})
    path.write_text(json.dumps({"images": images, "annotations": annotations}))


def _image(number: int, pictures: Path, picture: np.ndarray[Any, Any]) -> dict[str, Any]:
    cv2.imwrite(str(pictures / f"{number}.png"), picture)
    return {"id": number, "file_name": f"{number}.png", "width": picture.shape[1], "height": picture.shape[0]}


def _annotations(number: int, people: People) -> list[dict[str, Any]]:
    visible = people.visible.astype(np.float32)[..., None]
    labels = np.concatenate([people.keypoints * visible, 2 * visible], axis=2)
    sizes = people.boxes[:, 2:] - people.boxes[:, :2]
    return [
        {"image_id": number, "bbox": [*box[:2].tolist(), *size.tolist()], "keypoints": keypoints.ravel().tolist()}
        for box, size, keypoints in zip(people.boxes, sizes, labels, strict=True)
    ]
