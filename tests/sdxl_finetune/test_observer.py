"""Held-out loss and pictures: fixed, so that only the weights change them."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from components.core.diffusion.model import load_model
from components.core.platform.tracking import NullTracker
from components.sdxl_finetune.average import Average
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.engine import join_process_group
from components.sdxl_finetune.heldout import Heldout, build_heldout
from components.sdxl_finetune.observer import Observer
from components.sdxl_finetune.samples import Gallery, leave_file


@pytest.fixture
def group() -> None:
    """Of one process. It stays, for DeepSpeed remembers the first one that it meets."""
    join_process_group("cpu")


class Engine:
    """What a DeepSpeed engine is to `Heldout`."""

    device = torch.device("cpu")

    def __init__(self, unet: Any) -> None:
        self._unet = unet

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._unet(*args, **kwargs)

    def parameters(self) -> Any:
        return self._unet.parameters()

    def train(self) -> None:
        self._unet.train()

    def eval(self) -> None:
        self._unet.eval()


class Pictures(NullTracker):
    def __init__(self) -> None:
        self.found: dict[str, NDArray[np.uint8]] = {}

    def log_image(self, image: NDArray[np.uint8], name: str) -> None:
        assert name not in self.found
        self.found[name] = image


def go_on() -> bool:
    return False


@pytest.mark.usefixtures("group")
def test_heldout_loss_is_of_test_grids_and_changes_with_the_weights_alone(
    base_model: Path, dataset: Path, tmp_path: Path
) -> None:
    model, config = load_model(str(base_model)), Config(heldout_items=5, micro_batch_size=5)
    file = tmp_path / "heldout.safetensors"
    assert build_heldout([dataset], model, config, file) == 2  # all that the split has
    engine = Engine(model.unet)
    heldout = Heldout(file, config, model.schedule)
    first = heldout.measure(engine, model.image_size)
    torch.manual_seed(5)
    one_by_one = Config(heldout_items=5, micro_batch_size=1, batch_size=1)
    again = Heldout(file, one_by_one, model.schedule).measure(engine, model.image_size)
    assert again == pytest.approx(first, rel=1e-5)
    assert model.unet.training
    assert 0.1 < first["heldout_loss"] < 5.0
    assert {"heldout_loss_t1", "heldout_loss_t3"} < first.keys()  # two grids, spread evenly
    with torch.no_grad():
        model.unet.conv_out.bias += 1.0
    assert heldout.measure(engine, model.image_size)["heldout_loss"] > first["heldout_loss"]


def test_fewer_heldout_grids_than_there_are_can_be_asked_for(
    base_model: Path, dataset: Path, tmp_path: Path
) -> None:
    model = load_model(str(base_model))
    file = tmp_path / "heldout.safetensors"
    assert build_heldout([dataset], model, Config(heldout_items=1), file) == 1


@pytest.mark.usefixtures("group")
def test_what_is_switched_off_is_not_computed(base_model: Path, tmp_path: Path) -> None:
    def never(*_: object) -> None:
        raise AssertionError("nothing was asked for")

    model, config = load_model(str(base_model)), Config(heldout_every=0, preview_every=0)
    observer = Observer(config, model, tmp_path, tmp_path / "cache", never, never)
    for done in range(3):
        observer(Engine(model.unet), done, never, never)


@pytest.mark.usefixtures("group")
def test_what_is_measured_are_the_averaged_weights(
    base_model: Path, dataset: Path, tmp_path: Path
) -> None:
    """They are the result; afterwards training goes on with its own."""
    model, config = load_model(str(base_model)), Config(heldout_items=2, heldout_every=1)
    build_heldout([dataset], model, config, tmp_path / "heldout.safetensors")
    found: list[float] = []
    observer = Observer(
        config, model, tmp_path, tmp_path / "cache",
        lambda metrics, done: found.append(metrics["heldout_loss"]),
        lambda grids, done: None,
    )  # fmt: skip
    average = Average(model.unet, decay=0.9)
    start = model.unet.conv_out.bias.detach().clone()
    observer(Engine(model.unet), 0, average.in_place, go_on)
    with torch.no_grad():
        model.unet.conv_out.bias += 1.0
    trained = model.unet.conv_out.bias.detach().clone()
    observer(Engine(model.unet), 1, average.in_place, go_on)
    observer(Engine(model.unet), 2, nullcontext, go_on)
    assert found[0] == found[1] < found[2]
    assert torch.equal(model.unet.conv_out.bias, trained)
    average.copy_to_parameters()
    assert torch.equal(model.unet.conv_out.bias, start)


def test_grids_are_shown_with_renderings_and_files_once(tmp_path: Path) -> None:
    """The second material is black metal, so its rendering is the darker one."""
    grids = np.full((2, 32, 32, 3), 200, dtype=np.uint8)
    grids[1, :16, :16] = 0
    rendering = {"size": 24, "spp": 4, "mesh_resolution": 8}
    tracker = Pictures()
    gallery = Gallery(Config.model_validate({"rendering": rendering}), tracker)
    gallery.show_files(tmp_path / "samples")
    leave_file(grids, 40, tmp_path / "samples")
    gallery.show_files(tmp_path / "samples")
    gallery.show_files(tmp_path / "samples")
    assert tracker.found.keys() == {"samples/0000040.png", "renderings/0000040.png"}
    sheet = tracker.found["samples/0000040.png"]
    assert np.array_equal(sheet, np.concatenate(list(grids), axis=1))
    rendered = tracker.found["renderings/0000040.png"]
    assert rendered.shape == (24, 48, 3)
    assert rendered[:, 24:].mean() < 0.5 * rendered[:, :24].mean()


@pytest.mark.usefixtures("group")
def test_looking_is_left_off_between_two_passes(
    base_model: Path, dataset: Path, tmp_path: Path
) -> None:
    """A checkpoint is waited for then; the weights in place are those that are trained again."""
    model = load_model(str(base_model))
    config = Config(
        heldout_items=2, heldout_every=1, micro_batch_size=1, preview_every=1, preview_prompts=1,
        preview_steps=6,
    )  # fmt: skip
    build_heldout([dataset], model, config, tmp_path / "heldout.safetensors")
    (tmp_path / "prompts.json").write_text('["oak"]')
    found: list[str] = []
    observer = Observer(
        config, model, tmp_path, tmp_path,
        lambda metrics, done: found.append("measured"), lambda grids, done: found.append("shown"),
    )  # fmt: skip
    average = Average(model.unet, decay=0.9)
    with torch.no_grad():
        model.unet.conv_out.bias += 1.0
    trained = model.unet.conv_out.bias.detach().clone()
    model.unet.train().register_forward_hook(lambda *_: found.append("pass"))

    def look(asked_after: int) -> int:
        found.clear()
        asked = lambda: found.count("pass") >= asked_after  # noqa: E731
        observer(Engine(model.unet), 1, average.in_place, asked)
        assert torch.equal(model.unet.conv_out.bias, trained)
        assert model.unet.training
        return found.count("pass")

    assert look(asked_after=1) == 1
    assert "measured" not in found
    assert look(asked_after=4) == 4
    assert "measured" in found
    assert "shown" not in found
    assert look(asked_after=100) == 8
    assert "shown" in found
