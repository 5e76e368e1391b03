"""The reward separates, and total variation does what the paper says it does."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from components.core.errors import UserError
from components.core.platform.tracking import NullTracker
from components.core.realism.linear import auc, fit_linear
from components.core.realism.scorer import LinearScorer
from components.reward_training.config import Config
from components.reward_training.quality import agreement
from components.reward_training.stage import Labelled, train, write
from components.reward_training.variation import nearest, nearest_within, total_variation
from components.reward_training.views import views

DIMENSIONS = 24
CLUSTERS = 300


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


NO_ORIGIN: dict = {"sets": {}, "annotators": {}, "alpha": None, "shared": 0}


def data(seed: int = 0, per_cluster: int = 6) -> Labelled:
    """Clusters of look-alikes. The first dimension tells their realism; in the last eight the
    members of a cluster differ at random, and by chance a little with the label."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(CLUSTERS, DIMENSIONS))
    centres[:, -8:] = 0
    real = np.arange(CLUSTERS) % 2
    centres[:, 0] = 1.5 * (2 * real - 1) + rng.normal(0, 0.6, CLUSTERS)
    x = np.repeat(centres, per_cluster, axis=0)
    x[:, :-8] += rng.normal(0, 0.05, (len(x), DIMENSIONS - 8))
    label = np.repeat(real, per_cluster)
    x[:, -8:] += rng.normal(0, 0.5, (len(x), 8)) + 0.25 * (2 * label - 1)[:, None]
    splits = np.array(["reward", "gold", "test"])[
        np.repeat(np.arange(CLUSTERS) // 2 % 3, per_cluster)
    ]
    return Labelled(
        features=unit(x),
        label=label,
        photograph=label == 1,
        item=np.where(label == 1, np.cumsum(label) - 1, np.arange(len(x))),
        split=splits,
    )


class PixelClip:
    """Features that are a fixed projection of the pixels."""

    fingerprint = "of these pixels"

    def images(self, images: np.ndarray) -> np.ndarray:
        flat = images.reshape(len(images), -1).astype(np.float32) / 255
        return unit(flat @ np.random.default_rng(0).normal(size=(flat.shape[1], DIMENSIONS)))


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tmp_path_factory.mktemp("reward")
    pictures = np.random.default_rng(1).integers(0, 256, (900, 8, 8, 3), dtype=np.uint8)
    config = Config(steps=1500)
    write(
        config,
        data(),
        pictures,
        PixelClip(),
        NO_ORIGIN,
        output=folder / "out",
        tracker=NullTracker(),
    )  # type: ignore[arg-type]
    for name in ("reward", "gold", "reward_without_tv"):
        assert LinearScorer.load(folder / "out" / name).weight.shape == (DIMENSIONS,)
    assert json.loads((folder / "out" / "clip.json").read_text()) == {
        "uri": "small",
        "weights": "of these pixels",
    }
    labelled, unseen = data(), json.loads((folder / "out" / "test_photographs.json").read_text())
    assert len(unseen) == len(set(unseen)) == sum(labelled.photograph & (labelled.split == "test"))
    trained = labelled.item[labelled.photograph & (labelled.split != "test")]
    assert not set(unseen) & set(trained.tolist())
    return json.loads((folder / "out" / "metrics.json").read_text())


def test_real_and_synthetic_are_told_apart_on_unseen_materials(metrics: dict) -> None:
    assert metrics["holdout_auc"] > 0.95
    assert metrics["gold"]["holdout_auc"] > 0.95
    assert metrics["real_mean"] > metrics["synthetic_mean"]
    assert 0.5 < metrics["agreement"] <= 1
    assert 0 <= metrics["synthetic_mean_normalised"] < metrics["real_mean_normalised"] <= 1


def test_tv_halves_the_spread_among_similar_images_and_keeps_the_auc(metrics: dict) -> None:
    tv = metrics["tv"]
    assert tv["std_with"] <= 0.5 * tv["std_without"]
    assert tv["std_with_normalised"] < tv["std_without_normalised"]
    assert tv["auc_with"] >= tv["auc_without"] - 0.02


def test_total_variation_is_the_mean_over_pairs() -> None:
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    neighbours = torch.tensor([[[1.0, 1.0], [0.0, 0.0]], [[0.0, 3.0], [0.0, 1.0]]])
    value = total_variation(lambda z: z @ torch.tensor([1.0, 2.0]), x, neighbours)
    assert float(value) == pytest.approx((2**2 + 1**2 + 4**2 + 0) / 2**2)


def test_neighbours_are_the_nearest_and_never_the_image_itself() -> None:
    x = unit(np.array([[1, 0.0], [1, 0.1], [0, 1], [0.1, 1], [1, 0.0]]))
    found = nearest(x, 1)[:, 0]
    assert found.tolist() == [4, 0, 3, 2, 0] or found.tolist() == [4, 4, 3, 2, 0]


def test_photographs_and_renderings_are_not_joined_however_alike() -> None:
    x = unit(np.array([[1, 0.0], [1, 0.01], [1, 0.3], [0, 1], [1, 0.31]]))
    found = nearest_within(x, np.array([True, False, True, False, True]), 2)
    assert found.tolist() == [[2, 4], [3, 1], [4, 0], [1, 3], [2, 0]]


def test_joining_the_sets_draws_their_scores_together() -> None:
    given, gap = data(), {}
    for within in (True, False):
        config = Config(steps=200, within_sets=within, neighbours=40)  # far beyond a cluster
        head = train(config, given, None, "reward", config.tv_weight, "reward", NullTracker())
        scores = head(given.features[given.split == "test"])
        real = given.photograph[given.split == "test"]
        gap[within] = float(scores[real].mean() - scores[~real].mean())
    assert 0 < gap[False] < 0.9 * gap[True]


def test_with_weight_decay_scorers_of_different_items_agree_about_others() -> None:
    """As in CLIP's features, few factors move many dimensions: without it, each scorer's weights
    hang on what its own few items happen to have in the rest."""
    rng = np.random.default_rng(3)
    mixing = rng.normal(size=(4, 96))

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        factors = rng.normal(size=(count, 4))
        x = factors @ mixing + rng.normal(size=(count, 96))
        return unit(x), (factors[:, 0] + rng.normal(size=count) > 0).astype(np.int64)

    x, label = draw(240)
    known = Labelled(x, label, label == 1, np.arange(240), np.repeat(["reward", "gold"], 120))
    others, realistic = draw(2000)

    def measured(weight_decay: float) -> tuple[float, float]:
        config = Config(steps=1000, weight_decay=weight_decay)
        mine, theirs = (
            train(config, known, None, name, 0.0, name, NullTracker())
            for name in ("reward", "gold")
        )
        scores = mine(others)
        right = auc(scores[realistic == 1], scores[realistic == 0])
        return agreement(mine, theirs, others), right

    (agreeing, right), (before, right_before) = measured(30.0), measured(0.0)
    assert agreeing > before + 0.1
    assert right > right_before


def test_agreement_is_a_correlation_and_0_where_nothing_is_told_apart() -> None:
    x = np.eye(3, dtype=np.float32)
    first, turned = (LinearScorer(np.float32(w), 0.0) for w in ([1, 2, 3], [6, 4, 2]))
    assert agreement(first, turned, x) == pytest.approx(-1)
    assert agreement(first, LinearScorer(np.zeros(3, np.float32), 0.5), x) == 0


def test_one_kind_of_label_only_is_a_sentence(tmp_path: Path) -> None:
    everything = data()
    broken = Labelled(**{**vars(everything), "label": np.ones_like(everything.label)})
    pictures = np.zeros((1, 8, 8, 3), np.uint8)
    with pytest.raises(UserError, match="same realism label"):
        write(
            Config(),
            broken,
            pictures,
            PixelClip(),
            NO_ORIGIN,
            output=tmp_path / "o",
            tracker=NullTracker(),
        )  # type: ignore[arg-type]
    assert not (tmp_path / "o").exists()


def test_fit_linear_finds_the_least_squares_solution() -> None:
    rng = np.random.default_rng(0)
    x = unit(rng.normal(size=(500, 6)) + 2)
    weight = rng.normal(size=6).astype(np.float32)
    y = torch.from_numpy(x @ weight + 0.3)
    inputs = torch.from_numpy(x)
    fitted = fit_linear(
        x,
        lambda score, rows: (score(inputs[rows]) - y[rows]).square().mean(),
        steps=2000,
        batch=64,
        learning_rate=0.01,
    )
    np.testing.assert_allclose(fitted(x), y.numpy(), atol=0.02)


@pytest.mark.parametrize("features", [6, 64])
def test_no_error_is_below_the_closed_form_and_the_fit_comes_close(features: int) -> None:
    """Labels of 0 and 1, a fifth of them wrong: the normal equations bound what a layer can do."""
    rng = np.random.default_rng(1)
    x = unit(rng.normal(size=(600, features)) + 1)
    y = (x[:, 0] > np.median(x[:, 0])) != (rng.random(600) < 0.2)
    targets, inputs = torch.from_numpy(y).float(), torch.from_numpy(x)
    fitted = fit_linear(
        x,
        lambda score, rows: (score(inputs[rows]) - targets[rows]).square().mean(),
        steps=3000,
        batch=64,
        learning_rate=0.01,
        start=0.5,
    )
    with_bias = np.concatenate([x, np.ones((600, 1))], axis=1).astype(np.float64)
    best = with_bias @ np.linalg.lstsq(with_bias, y.astype(np.float64), rcond=None)[0]
    bound, error = float(np.mean((best - y) ** 2)), float(np.mean((fitted(x) - y) ** 2))
    assert bound - 1e-6 <= error <= 1.02 * bound
    assert bound > 0.1  # noisy labels cannot be fitted


def test_auc_counts_pairs_and_halves_ties() -> None:
    assert auc(np.array([2.0, 3.0]), np.array([1.0, 0.0])) == 1.0
    assert auc(np.array([1.0]), np.array([1.0])) == 0.5
    assert auc(np.array([1.0, 3.0]), np.array([2.0, 0.0])) == 0.75


def test_views_stay_close_to_their_image() -> None:
    y, x = np.mgrid[0:32, 0:32]
    image = np.stack([x * 4, y * 4, x * 2 + y * 2], axis=-1).astype(np.uint8)[None]
    seen = views(image, 5, np.random.default_rng(0))
    assert seen.shape == (5, 32, 32, 3)
    assert len({view.tobytes() for view in seen}) == 5
    assert abs(float(seen.mean()) - float(image.mean())) < 12
