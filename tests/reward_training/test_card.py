"""The model card says what the labels say."""

from components.reward_training.card import label_origin, model_card
from components.reward_training.config import Config

METRICS = {
    "real_mean": 0.7, "synthetic_mean": 0.4, "holdout_auc": 0.98, "agreement": 0.834,
    "gold": {"real_mean": 0.6, "synthetic_mean": 0.5, "holdout_auc": 0.9},
    "tv": {"std_with": 0.03, "std_without": 0.074, "std_with_normalised": 0.05,
           "std_without_normalised": 0.09},
}  # fmt: skip


def rows(name: str, labels: str, judged: int) -> list[dict[str, object]]:
    return [
        {"set": name, "label": int(label), "annotated": i < judged}
        for i, label in enumerate(labels)
    ]


def test_data_agreement_and_measures_stand_in_the_card() -> None:
    origin = {
        "annotators": {"label studio user 1": 7}, "alpha": 0.61, "shared": 5,
        "thresholds": {"photographs": 0.2, "generated": 0.4},
    }  # fmt: skip
    table = [*rows("photographs", "1110", 3), *rows("generated", "0001", 2)]
    text = model_card(Config(clip="small"), label_origin(table, origin), METRICS)
    assert "| photographs | 4 | 3 | 75% | 0.2 |" in text
    assert "| generated | 4 | 2 | 25% | 0.4 |" in text
    assert "alpha 0.61 on 5 images" in text
    assert "label studio user 1 (7 judgements)" in text
    assert "| AUC, photographs against generated | 0.980 | 0.900 |" in text
    assert "0.030 with total variation, 0.074 without" in text
    assert "correlate by 0.83" in text
    assert "realistic against unrealistic" not in text  # was not measured here


def test_without_shared_images_no_agreement_is_claimed() -> None:
    origin = {"annotators": {}, "alpha": None, "shared": 0, "thresholds": {"generated": 0.4}}
    labels = label_origin(rows("generated", "01", 2), origin)
    text = model_card(Config(), labels, METRICS)
    assert "no image was judged by several annotators" in text
