"""What the tests of the embedding share."""

import pytest

from components.core.materials.material import CATEGORIES
from components.core.realism.clip import ClipFeatures
from components.core.realism.small import build_small_clip, save_clip


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("clip")
    save_clip(*build_small_clip(list(CATEGORIES)), folder)
    return str(folder)


@pytest.fixture(scope="session")
def clip(clip_folder: str) -> ClipFeatures:
    return ClipFeatures.load(clip_folder)
