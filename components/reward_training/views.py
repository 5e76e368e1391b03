"""The same photograph seen slightly differently: crops, mirror images, a change of exposure."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Images = NDArray[np.uint8]


def views(images_nhwc: Images, count: int, rng: np.random.Generator) -> Images:
    """`count` views of each image, (N * count, h, w, 3), the views of an image in a row."""
    return np.stack([_view(image, rng) for image in images_nhwc for _ in range(count)])


def _view(image: Images, rng: np.random.Generator) -> Images:
    rows, columns, _ = image.shape
    share = rng.uniform(0.88, 1.0)
    height, width = round(rows * share), round(columns * share)
    top, left = int(rng.integers(rows - height + 1)), int(rng.integers(columns - width + 1))
    crop = Image.fromarray(image[top : top + height, left : left + width])
    resized = np.asarray(crop.resize((columns, rows), Image.Resampling.BICUBIC))
    if rng.random() < 0.5:
        resized = resized[:, ::-1]
    return (resized * rng.uniform(0.94, 1.06)).clip(0, 255).astype(np.uint8)
