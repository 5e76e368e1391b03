"""Numbers that are not finite never reach the weights or a checkpoint."""

import pytest
import torch

from components.core.errors import UserError
from components.sdxl_finetune.engine import join_process_group
from components.sdxl_finetune.safety import require_finite_step, require_finite_weights

KEPT = "the checkpoint of step 10 stays in /work"


@pytest.fixture
def group() -> None:
    """Of one process. It stays, for DeepSpeed remembers the first one that it meets."""
    join_process_group("cpu")


def test_a_finite_step_passes() -> None:
    require_finite_step(12, [5, 6], torch.tensor([0.5, 1e30]), 3.0, KEPT)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_samples_of_a_loss_that_is_not_finite_are_named(value: float) -> None:
    losses_b = torch.tensor([0.5, value, 0.1, value])
    with pytest.raises(
        UserError, match=r"loss is not finite at step 12 \(items grid 6, grid 8\)"
    ) as error:
        require_finite_step(12, [5, 6, 7, 8], losses_b, 1.0, KEPT, "grid {}".format)
    assert "learning_rate" in str(error.value)
    assert str(error.value).endswith(KEPT)


@pytest.mark.parametrize("norm", [float("nan"), float("inf")])
def test_a_gradient_may_overflow_where_the_loss_does_not(norm: float) -> None:
    losses_b = torch.arange(10.0)
    with pytest.raises(UserError, match=r"gradient .* step 3 \(items 9, 8, 7.* and 2 more\)"):
        require_finite_step(3, list(range(10)), losses_b, norm, KEPT)


@pytest.mark.usefixtures("group")
def test_weights_that_are_not_finite_are_never_saved() -> None:
    unet = torch.nn.Linear(3, 3)
    require_finite_weights(unet, 4, torch.device("cpu"), KEPT)
    with torch.no_grad():
        unet.weight[1, 1] = float("inf")
    with pytest.raises(UserError, match="weights are not finite after step 4"):
        require_finite_weights(unet, 4, torch.device("cpu"), KEPT)
