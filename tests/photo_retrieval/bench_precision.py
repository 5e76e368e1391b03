"""Precision of `laptop`'s photo search with the shipped CLIP (`make bench`), given photographs.

All real photographs lie among half as many distractors. A kept photograph is right if the table of
`tests.photographs` lists its kind under the category that it is filed under; kinds that are of none
of the 16 are always wrong, and so are distractors.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from PIL import Image

from components.core.materials.material import CATEGORIES
from components.core.materials.photos import list_images, read_photos
from components.core.realism.clip import ClipFeatures
from components.core.realism.distractors import draw_distractor
from components.photo_retrieval.examples import Examples
from components.photo_retrieval.queries import Queries
from components.photo_retrieval.search import search
from pipelines.recipe import load_recipe
from tests.photographs import CATEGORIES_OF, kind_of, photograph_folder

SIZE = 64
NONE = "none"


def test_precision_on_real_photographs() -> None:
    clip = ClipFeatures.load("small")
    files = list_images(photograph_folder())
    photos = read_photos(files, SIZE)
    kinds = [kind_of(str(path)) for path in photos.kept]
    rng = np.random.default_rng(0)
    distractors = np.stack([draw_distractor(rng, 128)[0] for _ in range(len(kinds) // 2)])
    small = [np.asarray(Image.fromarray(d).resize((SIZE, SIZE))) for d in distractors]
    features = clip.images(np.concatenate([photos.images, np.stack(small)]))
    kinds += [NONE] * len(distractors)
    texts, config = clip.categories(CATEGORIES), load_recipe("laptop").photo_retrieval
    for depth in (50, 200, len(features)):
        hits = search(
            features,
            Queries.of(features, texts, Examples.none(texts.shape[1])),
            clip.texts(config.other_prompts),
            depth=depth, per_category=depth, duplicate_similarity=config.duplicate_similarity,
            other_margin=config.other_margin,
        )  # fmt: skip
        kept, right, noise = Counter[str](), Counter[str](), 0
        for hit in hits:
            name, kind = CATEGORIES[hit.category], kinds[hit.item]
            kept[name] += 1
            right[name] += name in CATEGORIES_OF.get(kind, ())
            noise += kind == NONE
        chance = np.mean([len(CATEGORIES_OF.get(kind, ())) / len(CATEGORIES) for kind in kinds])
        print(
            f"\ndepth {depth}: {len(hits)} of {len(kinds)} kept, precision "
            f"{right.total() / len(hits):.3f} (by chance {chance:.3f}), distractors kept "
            f"{noise} of {len(distractors)}"
        )
        print(", ".join(f"{name} {right[name]}/{kept[name]}" for name in CATEGORIES if kept[name]))
