"""One untrained micro model, shared; a test that changes it takes a copy."""

import copy
from dataclasses import replace

import pytest

from components.core.diffusion.model import TextToImage
from components.core.diffusion.small import SmallConfig, build_small


@pytest.fixture(scope="session")
def shared_model() -> TextToImage:
    model = build_small(["brick, old red brick wall", "metal, copper"] * 2, SmallConfig.micro())
    for module in (model.unet, model.vae, model.text_encoder, model.text_encoder_2):
        module.eval().requires_grad_(False)
    return model


@pytest.fixture
def model(shared_model: TextToImage) -> TextToImage:
    return replace(shared_model, unet=copy.deepcopy(shared_model.unet))
