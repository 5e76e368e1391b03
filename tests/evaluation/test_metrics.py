"""The measures agree with independent implementations and find what is planted."""

from typing import cast

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.linalg import eigvalsh
from scipy.special import entr
from sklearn.linear_model import LinearRegression
from sklearn.metrics.pairwise import polynomial_kernel
from torchmetrics.functional import pairwise_cosine_similarity
from torchmetrics.functional.classification import binary_auroc
from torchmetrics.image.kid import poly_mmd

from components.core.materials.material import Material
from components.core.materials.seam import material_seam
from components.core.realism.clip import ClipFeatures
from components.core.realism.diversity import mean_pairwise_distance
from components.core.rendering.batch import Light
from components.evaluation.comparison import Pair, measure
from components.evaluation.metrics.baking import light_baking, shading_correlation
from components.evaluation.metrics.diversity import vendi_score
from components.evaluation.metrics.kid import kernel_distance, unit_scaled
from components.evaluation.metrics.many import holm
from components.evaluation.metrics.maps import colourfulness, map_statistics, metal_as_asked
from components.evaluation.statistics import auc, paired_difference
from tests.evaluation.micro import FlatRenderer, environments

Floats = npt.NDArray[np.float64]
SIZE = 64
LIGHTS = (Light(0, 0.0, 1), Light(1, 0.5, 2))


def unit(count: int, width: int, seed: int) -> Floats:
    rows = np.random.default_rng(seed).normal(size=(count, width))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def material(
    albedo: npt.ArrayLike = 0.5,
    height: npt.ArrayLike = 0.5,
    metallic: npt.ArrayLike = 0.0,
    category: str = "",
) -> Material:
    def full(values: npt.ArrayLike, *shape: int) -> npt.NDArray[np.float32]:
        return np.broadcast_to(np.asarray(values, np.float32), shape).copy()

    return Material(
        albedo=full(albedo, SIZE, SIZE, 3),
        height=full(height, SIZE, SIZE),
        roughness=full(0.5, SIZE, SIZE),
        metallic=full(metallic, SIZE, SIZE),
        category=category,
    )


def bumps(seed: int) -> Floats:
    """A smooth periodic field in [0, 1]."""
    rng = np.random.default_rng(seed)
    frequency = np.fft.fftfreq(SIZE, 1 / SIZE)
    low = np.hypot(frequency[:, None], frequency[None, :])
    spectrum = np.fft.fft2(rng.normal(size=(SIZE, SIZE))) * np.exp(-((low / 6) ** 2))
    field = np.fft.ifft2(spectrum).real
    return np.asarray((field - field.min()) / np.ptp(field))


def baking(made: Material) -> float:
    found = light_baking(made)
    assert found is not None
    return found


def test_kernel_distance_is_the_definition_with_scikit_learns_kernel() -> None:
    first, second = unit(12, 5, 0), unit(17, 5, 1) + 0.1
    within = [
        polynomial_kernel(x, x, degree=3, gamma=1 / 5, coef0=1)[~np.eye(len(x), dtype=bool)].mean()
        for x in (first, second)
    ]
    across = polynomial_kernel(first, second, degree=3, gamma=1 / 5, coef0=1).mean()
    assert kernel_distance(first, second) == pytest.approx(sum(within) - 2 * across, rel=1e-9)


def test_torchmetrics_finds_the_same_distances_and_areas() -> None:
    first, second = unit(40, 16, 0), unit(40, 16, 1)
    a, b = torch.from_numpy(unit_scaled(first)), torch.from_numpy(unit_scaled(second) + 0.2)
    assert kernel_distance(a.numpy(), b.numpy()) == pytest.approx(float(poly_mmd(a, b)), rel=1e-9)
    cosines = pairwise_cosine_similarity(torch.from_numpy(first), zero_diagonal=True)
    distance = 1.0 - float(cosines.sum()) / (40 * 39)
    assert mean_pairwise_distance(first) == pytest.approx(distance, rel=1e-9)
    scores = np.round(np.concatenate([first[:, 0] + 0.1, second[:30, 0]]), 2)  # with ties
    labels = torch.tensor([1] * 40 + [0] * 30)
    area = float(binary_auroc(torch.from_numpy(scores).sigmoid(), labels))
    assert auc(scores[:40], scores[40:]) == pytest.approx(area, rel=1e-6)


def test_kernel_distance_is_unbiased_and_rises_with_the_shift() -> None:
    rng = np.random.default_rng(2)
    same = [kernel_distance(rng.normal(size=(20, 8)), rng.normal(size=(30, 8))) for _ in range(200)]
    assert abs(np.mean(same)) < 4 * np.std(same) / np.sqrt(len(same))
    base = rng.normal(size=(100, 8))
    near, far = (kernel_distance(base, rng.normal(size=(100, 8)) + by) for by in (0.3, 0.9))
    assert 0 < near < far


def test_unit_vectors_are_scaled_to_the_kernels_size() -> None:
    assert np.linalg.norm(unit_scaled(unit(3, 16, 0)), axis=1) == pytest.approx(4.0)


def test_one_feature_has_no_distance() -> None:
    with pytest.raises(ValueError, match="2 are needed"):
        kernel_distance(unit(1, 4, 0), unit(5, 4, 0))


@pytest.mark.parametrize("count", [5, 40])
def test_vendi_is_scipys_entropy_of_the_eigenvalues(count: int) -> None:
    rows = unit(count, 12, count)
    shares = np.clip(eigvalsh(rows @ rows.T / count), 0, None)
    assert vendi_score(rows) == pytest.approx(np.exp(entr(shares).sum()), rel=1e-6)


def test_vendi_counts_what_is_different() -> None:
    assert vendi_score(np.eye(7)) == pytest.approx(7)
    assert vendi_score(np.repeat(np.eye(3, 9), 5, axis=0)) == pytest.approx(3)
    assert vendi_score(np.repeat(unit(1, 9, 0), 6, axis=0)) == pytest.approx(1)


def test_shading_correlation_is_scikit_learns_regression() -> None:
    lit = material(height=bumps(1))
    normals = lit.normal()
    values = bumps(2) + 2.0 * normals[..., 0]
    down, across = np.meshgrid(np.linspace(-1, 1, SIZE), np.linspace(-1, 1, SIZE), indexing="ij")
    x, y = normals[..., 0].astype(float), normals[..., 1].astype(float)
    inputs = np.stack([x, y, x * across - y * down], -1).reshape(-1, 3)
    r2 = LinearRegression().fit(inputs, values.ravel()).score(inputs, values.ravel())
    count = values.size
    adjusted = 1 - (1 - r2) * (count - 1) / (count - 4)
    assert shading_correlation(values, normals) == pytest.approx(np.sqrt(adjusted), rel=1e-6)


@pytest.mark.parametrize("light", [(0.7, 0.0), (-0.4, 0.6), (0.0, -0.8)])
def test_baked_light_from_any_direction_is_found(light: tuple[float, float]) -> None:
    clean = material(albedo=0.3 + 0.4 * bumps(3)[..., None], height=bumps(4))
    normals = clean.normal()
    shade = 0.7 + light[0] * normals[..., 0] + light[1] * normals[..., 1]
    baked = material(clean.albedo * np.clip(shade, 0.1, 1)[..., None], clean.height)
    assert baking(clean) < 0.15
    assert baking(baked) > 0.6


def test_a_flash_baked_above_the_centre_is_found() -> None:
    height = bumps(5)
    normals = material(height=height).normal()
    down, across = np.meshgrid(np.linspace(-1, 1, SIZE), np.linspace(-1, 1, SIZE), indexing="ij")
    towards = np.stack([-across, down, np.ones_like(down)], -1)
    towards /= np.linalg.norm(towards, axis=-1, keepdims=True)
    shade = np.clip((normals * towards).sum(-1), 0.05, 1)
    assert baking(material(0.5 * shade[..., None], height)) > 0.5


def test_paint_that_follows_the_height_is_no_baked_light() -> None:
    height = bumps(6)
    assert baking(material(0.2 + 0.6 * height[..., None], height)) < 0.15


def test_of_flat_maps_nobody_can_say() -> None:
    assert light_baking(material(albedo=bumps(0)[..., None])) is None
    assert light_baking(material(height=bumps(0))) is None


def test_grey_has_no_colour_and_two_colours_have_the_published_measure() -> None:
    assert colourfulness(np.full((4, 4, 3), 0.3)) == 0.0
    # Half pure red, half pure blue: rg is 1 or 0, yb is 0.5 or -1.
    halves = np.zeros((2, 2, 3))
    halves[0, :, 0] = halves[1, :, 2] = 1.0
    expected = np.hypot(0.5, 0.75) + 0.3 * np.hypot(0.5, -0.25)
    assert colourfulness(halves) == pytest.approx(expected)


def test_section_5s_example_is_told_from_its_grey_failure() -> None:
    red = np.broadcast_to([0.7, 0.2, 0.1], (SIZE, SIZE, 3))
    assert map_statistics(material(red, metallic=0.0)).black_metal_beside_colour
    assert not map_statistics(material(red, metallic=0.3)).black_metal_beside_colour
    assert not map_statistics(material(0.5, metallic=0.0)).black_metal_beside_colour


def test_contrast_is_the_span_of_the_percentiles() -> None:
    steps = np.tile(np.linspace(0, 1, SIZE), (SIZE, 1))
    assert map_statistics(material(steps[..., None])).contrast == pytest.approx(0.9, abs=0.02)
    assert map_statistics(material(0.5, metallic=1.0)).grid_contrast == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("category", "metallic", "right"),
    [("metal", 0.9, True), ("metal", 0.0, False), ("wood", 0.0, True), ("wood", 0.9, False)],
)
def test_metal_belongs_to_metal_alone(category: str, metallic: float, right: bool) -> None:
    assert metal_as_asked(material(metallic=metallic, category=category)) is right


def test_a_crop_has_a_seam_and_a_tile_has_none() -> None:
    field = bumps(7)
    crop = np.kron(field[5:37, 9:41], np.ones((2, 2)))
    assert material_seam(material(field[..., None], field)) <= 1.0
    assert material_seam(material(crop[..., None], crop)) > 1.5


def test_holm_is_the_step_down_by_hand() -> None:
    corrected = holm({"a": 0.04, "b": 0.01, "c": 0.03})
    assert corrected == pytest.approx({"a": 0.06, "b": 0.03, "c": 0.06})
    assert holm({}) == {}


def test_intervals_cover_the_truth_at_the_nominal_rate() -> None:
    rng = np.random.default_rng(2)
    prompts = [f"prompt {i // 2}" for i in range(80)]
    trials, truth, covered = 2000, 0.3, 0
    for trial in range(trials):
        shared = np.repeat(rng.normal(size=40), 2)
        after = truth + shared + 0.5 * rng.normal(size=80)
        result = paired_difference(np.zeros(80), after, prompts, seed=trial, resamples=800)
        covered += result.ci95[0] <= truth <= result.ci95[1]
    # Three deviations of 2000 trials (0.49 % each). Seeds taken as independent would cover 86 %:
    # 1.96 * sqrt(1.25 / 80 / (1.125 / 40)) deviations.
    assert 0.935 < covered / trials < 0.965


def test_the_clip_score_is_the_formula_in_plain_numpy() -> None:
    """CLIPScore's cosine (Hessel et al. 2021) times 100 and never below 0, mean over the lights."""
    pairs = [Pair("brick, red", "brick", 0, LIGHTS), Pair("wood, oak", "wood", 1, LIGHTS)]
    rng = np.random.default_rng(3)
    images = rng.normal(size=(4, 6)) * 3
    texts = rng.normal(size=(2, 6)) * 2
    features = PlantedFeatures(images, texts)
    side = measure(
        pairs, [material(), material()], renderer=FlatRenderer(), environments=environments(),
        features=cast(ClipFeatures, features), scorers={},
    )  # fmt: skip
    for pair in range(2):
        cosines = [
            float(np.dot(images[i], texts[pair]))
            / (float(np.linalg.norm(images[i])) * float(np.linalg.norm(texts[pair])))
            for i in (2 * pair, 2 * pair + 1)
        ]
        expected = 100 * sum(max(cosine, 0.0) for cosine in cosines) / 2
        assert side.clip_score_n[pair] == pytest.approx(expected)


class PlantedFeatures:
    """Gives the planted features, scaled to unit length as CLIP's are."""

    def __init__(self, images: Floats, texts: Floats) -> None:
        self._images, self._texts = (
            values / np.linalg.norm(values, axis=1, keepdims=True) for values in (images, texts)
        )

    def images(self, images_nhwc: npt.NDArray[np.uint8]) -> Floats:
        assert len(images_nhwc) == len(self._images)
        return self._images

    def texts(self, prompts: list[str]) -> Floats:
        assert len(prompts) == len(self._texts)
        return self._texts

    def zero_shot(self, features: Floats, names: tuple[str, ...]) -> npt.NDArray[np.int64]:
        return np.zeros(len(features), np.int64)
