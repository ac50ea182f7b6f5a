"""Networks that see nothing but blue."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracker.skeletons import COCO_17
from tracker.types import Image


class BlueCrops:
    """Heatmaps of crops, one for all keypoints: how blue every fourth pixel is."""

    name = "blue"
    engine = "numpy"
    note = None
    skeleton = COCO_17
    input_size_hw = (128, 96)

    def run(self, crops: Image) -> Any:
        blue = crops[:, ::4, ::4, 0].astype(np.float32) / 255
        return {"heatmaps": np.repeat(blue[:, None], self.skeleton.num_keypoints, axis=1)}


class BluePictures(BlueCrops):
    """Heatmaps of pictures likewise, at strides 4 and 2, with the red as tag."""

    input_size_hw = (256, 256)

    def run(self, images: Image) -> Any:
        coarse, fine = (images[:, ::stride, ::stride, None].astype(np.float32).repeat(17, axis=3) for stride in (4, 2))
        blue, red = (np.moveaxis(coarse[..., channel], 3, 1) for channel in (0, 2))
        return {"heatmaps_0": blue / 255, "tags_0": red / 10, "heatmaps_1": np.moveaxis(fine[..., 0], 3, 1) / 255}
