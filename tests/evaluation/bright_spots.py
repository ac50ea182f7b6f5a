"""Networks that see nothing but blue."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracker.pose.bottom_up_networks import OutputMaps
from tracker.skeletons import COCO_17
from tracker.types import Image


class BlueCrops:
    """Heatmaps of crops, one for all keypoints: how blue every fourth pixel is."""

    name = "blue"
    engine = "numpy"
    note = None
    skeleton = COCO_17
    input_size_wh = (96, 128)

    def heatmaps(self, crops: Image) -> Any:
        blue = crops[:, ::4, ::4, 0].astype(np.float32) / 255
        return np.repeat(blue[:, None], self.skeleton.num_keypoints, axis=1)


class BluePictures(BlueCrops):
    """Heatmaps of pictures likewise, at strides 4 and 2, with the red as tag."""

    input_size = 256

    def maps(self, images: Image) -> list[OutputMaps]:
        outputs = []
        for stride in (4, 2):
            part = images[:, ::stride, ::stride].astype(np.float32)
            heatmaps = np.repeat(part[:, None, ..., 0] / 255, 17, axis=1)
            outputs.append(OutputMaps(heatmaps, np.repeat(part[:, None, ..., 2] / 10, 17, axis=1)))
        return [outputs[0], OutputMaps(outputs[1].heatmaps, None)]
