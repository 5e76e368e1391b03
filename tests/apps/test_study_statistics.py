"""The study's statistics against the paper's figures and against cases with a known answer."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from apps.study.statistics import results, with_and_without_flagged
from apps.study.tables import text_of
from apps.study.votes import read_votes
from components.core.errors import UserError
from pipelines.cli import main


def table(counts: dict[str, int], per_participant: int = 20, trials: int = 0) -> pd.DataFrame:
    """Votes with these counts, dealt out evenly over participants and trials."""
    choices = [choice for choice, count in counts.items() for _ in range(count)]
    choices = list(np.random.default_rng(0).permutation(choices))
    return pd.DataFrame(
        {
            "study": "one",
            "participant": [f"p{i // per_participant}" for i in range(len(choices))],
            "trial": [f"t{i % (trials or len(choices))}" for i in range(len(choices))],
            "choice": choices,
        }
    )


def percent(bounds: list[float]) -> list[float]:
    return [round(100 * bound, 1) for bound in bounds]


def test_the_papers_intervals_of_the_rl_study() -> None:
    # Section 6.2: 46.8, 28.9 and 24.3 % of 641 votes of 32 responses.
    found = results(table({"after": 300, "before": 185, "similar": 156}))
    assert found["votes"] == 641
    shares = found["shares"]
    assert list(shares) == ["after", "before", "similar"]
    assert [round(100 * shares[name]["share"], 1) for name in shares] == [46.8, 28.9, 24.3]
    assert percent(shares["after"]["ci95"]) == [42.9, 50.7]
    assert percent(shares["before"]["ci95"]) == [25.4, 32.4]
    assert percent(shares["similar"]["ci95"]) == [21.0, 27.7]  # the paper prints 27.6
    assert shares["similar"]["ci95"][1] == pytest.approx(0.276, abs=1e-3)
    assert percent(shares["after"]["wilson95"]) == [43.0, 50.7]


def test_the_papers_intervals_of_the_three_methods() -> None:
    # Section 6.4: 53, 40, 3 and 4 % of 440 votes.
    counts = {"RealMat": 233, "ReflectanceFusion": 177, "MatFuse": 12, "similar": 18}
    shares = results(table(counts, 10))["shares"]
    assert list(shares) == ["RealMat", "ReflectanceFusion", "MatFuse", "similar"]
    expected = [[48.3, 57.6], [35.6, 44.8], [1.2, 4.3], [2.2, 5.9]]
    for name, bounds in zip(shares, expected, strict=True):
        assert percent(shares[name]["ci95"]) == pytest.approx(bounds, abs=0.11)


def test_votes_of_one_mind_a_participant_widen_the_clustered_interval() -> None:
    even = table({"after": 100, "before": 100})
    stubborn = even.sort_values("choice").reset_index(drop=True)
    stubborn["participant"] = even["participant"]
    independent, clustered = (
        np.ptp(results(votes)["shares"]["after"]["clustered95"]) for votes in (even, stubborn)
    )
    assert independent < 0.2
    assert clustered > 0.5
    assert results(stubborn)["shares"]["after"]["ci95"] == results(even)["shares"]["after"]["ci95"]


def test_few_people_of_two_minds_leave_every_share_open() -> None:
    """Four people always choose one, two the other: the t interval of six means, however many
    votes each has."""
    votes = table({"after": 400, "before": 200})
    votes = votes.sort_values("choice").reset_index(drop=True)
    votes["participant"] = [f"p{i // 100}" for i in range(600)]
    found = results(votes)
    own = stats.ttest_1samp([1, 1, 1, 1, 0, 0], 0.0).confidence_interval()
    clipped = [max(own.low, 0.0), min(own.high, 1.0)]
    assert found["shares"]["after"]["clustered95"] == pytest.approx(clipped)
    (rate,) = found["win_rates"]
    assert (rate["between"], rate["votes"]) == (["after", "before"], [400, 200])
    assert rate["clustered95"] == pytest.approx(clipped)
    assert rate["wilson95"][0] > 0.6


def test_a_win_rate_leaves_out_votes_for_neither_and_people_who_gave_none() -> None:
    votes = table({"after": 6, "before": 2, "similar": 12}, per_participant=20)
    (rate,) = results(votes)["win_rates"]
    assert (rate["share"], sum(rate["votes"])) == (0.75, 8)
    assert "clustered95" not in rate  # one participant
    third = results(table({"a": 30, "b": 20}), ["a", "b", "c"])["win_rates"]
    assert [row["between"] for row in third] == [["a", "b"], ["a", "c"], ["b", "c"]]
    nobody = results(table({"similar": 4}), ["a", "b"])["win_rates"]
    assert nobody == [{"between": ["a", "b"], "votes": [0, 0]}]


def test_the_majority_of_a_trial_and_ties() -> None:
    votes = pd.DataFrame(
        [("s", p, t, c) for t, choices in {
            "1": "aab", "2": "ab", "3": "bbb", "4": "sab", "5": "ssa",
        }.items() for p, c in zip("xyz"[: len(choices)], choices, strict=True)],
        columns=["study", "participant", "trial", "choice"],
    ).replace({"choice": {"a": "after", "b": "before", "s": "similar"}})  # fmt: skip
    found = results(votes)["majority"]
    assert found["trials"] == 5
    assert found["shares"] == {"after": 0.2, "before": 0.2, "similar": 0.6}


def test_agreement_is_one_for_equal_votes_and_about_zero_for_random_ones() -> None:
    rng = np.random.default_rng(1)
    rows = [
        ("s", f"p{p}", f"t{t}", choice)
        for t, choice in enumerate(rng.choice(["after", "before"], 60))
        for p in range(3)
    ]
    votes = pd.DataFrame(rows, columns=["study", "participant", "trial", "choice"])
    assert results(votes)["agreement"]["krippendorff_alpha"] == pytest.approx(1.0)
    votes["choice"] = rng.choice(["after", "before"], len(votes))
    assert abs(results(votes)["agreement"]["krippendorff_alpha"]) < 0.2
    single = table({"after": 5, "before": 5})
    assert results(single)["agreement"] == {"krippendorff_alpha": None, "trials": 0}


def test_bradley_terry_gives_back_the_odds_of_two() -> None:
    found = results(table({"after": 300, "before": 100}))["bradley_terry"]
    # P(after beats before) = s_a / (s_a + s_b) = 3 / 4.
    assert found["after"]["strength"] == pytest.approx(0.75, abs=0.005)
    low, high = found["after"]["clustered95"]
    assert low < 0.75 < high


def test_a_method_that_never_won_is_the_weakest() -> None:
    two = results(table({"after": 50, "before": 0}), ["after", "before"])["bradley_terry"]
    assert two["after"]["strength"] > 0.98
    counts = {"a": 30, "b": 20}
    three = results(table(counts), ["a", "b", "c"])["bradley_terry"]
    assert three["a"]["strength"] > three["b"]["strength"] > 10 * three["c"]["strength"]


def test_catch_trials_alone_are_no_votes() -> None:
    votes = table({"after": 3})
    votes["kind"], votes["passed"], votes["flagged"] = "catch", True, [True, False, False]
    found = with_and_without_flagged(votes)
    assert found["votes"] == found["unflagged"]["votes"] == 0
    assert text_of(found) == "no votes"


def test_only_small_groups_go_without_an_interval() -> None:
    votes = table({"after": 4, "before": 2})
    votes["category"] = ["brick"] * 6
    found = results(votes)
    assert len(found["shares"]["after"]["wilson95"]) == 2
    assert set(found["by_category"]["brick"]["shares"]["after"]) == {"count", "share"}
    many = results(pd.concat([votes, votes.assign(participant="q", trial=votes["trial"] + "x")]))
    assert len(many["by_category"]["brick"]["shares"]["after"]["wilson95"]) == 2


def test_the_sign_test_leaves_ties_out() -> None:
    few = results(table({"after": 8, "before": 1, "similar": 91}))["sign_test"]
    assert few["votes"] == [8, 1]
    assert few["p_value"] == pytest.approx(20 / 512)  # two-sided: 2 (9 + 1) / 2^9
    assert results(table({"after": 50, "before": 50}))["sign_test"]["p_value"] == 1.0


def test_a_habit_of_choosing_left_shows() -> None:
    votes = table({"after": 50, "before": 50})
    votes["side"] = ["left"] * 80 + ["right"] * 20
    found = results(votes)["sides"]
    assert found["counts"] == {"left": 80, "right": 20}
    assert found["p_value"] < 1e-6
    votes["side"] = "left"
    assert results(votes)["sides"]["p_value"] < 1e-20
    votes["side"] = ["left"] * 34 + ["middle"] * 33 + ["right"] * 33
    assert results(votes)["sides"]["p_value"] > 0.9


def test_catch_trials_and_repeats_count_in_no_share_and_flagged_can_be_left_out() -> None:
    votes = table({"after": 30, "before": 10}, per_participant=10)
    votes["kind"], votes["passed"], votes["repeats"] = "plain", True, ""
    votes["flagged"] = votes["participant"] == "p3"
    first = votes.iloc[0]
    extra = pd.DataFrame(
        [
            {**first, "trial": "c1", "kind": "catch", "passed": True},
            {**first, "trial": "c2", "kind": "catch", "passed": False},
            {**first, "trial": "r1", "kind": "repeat", "repeats": first["trial"]},
        ]
    )
    found = with_and_without_flagged(pd.concat([votes, extra], ignore_index=True))
    assert found["votes"] == 40
    own = {"p0": {"votes": 2, "passed": 0.5}}
    assert found["catch"] == {"votes": 2, "passed": 0.5, "by_participant": own}
    assert found["repeat"] == {"votes": 1, "same": 1.0}
    assert found["unflagged"]["votes"] == 30
    assert found["unflagged"]["participants"] == 3
    assert "without flagged" in text_of(found)


def test_results_of_a_file_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "votes.csv"
    table({"after": 300, "before": 185, "similar": 156}).to_csv(file, index=False)
    assert main(["study", "results", "--votes", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["votes"] == 641
    assert set(found["shares"]["after"]) >= {"share", "ci95", "wilson95"}
    assert main(["study", "results", "--votes", str(file)]) == 0
    text = capsys.readouterr().out
    assert "46.8%" in text
    assert "[42.9, 50.7]" in text


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("study,participant,trial\ns,p,t\n", "has no column 'choice'"),
        ("study,participant,trial,choice\n", "has no votes"),
        ("study,participant,trial,choice\ns,p,,after\n", "row 1 has no trial"),
        ("study,participant,trial,choice\ns,p,t,after\ns,p,t,before\n", "voted twice"),
        ("study,participant,trial,choice\ns,p,t,after\nz,p,t,before\n", "holds 2 studies"),
        ("", "cannot be read"),
        ("study,participant,trial,choice\ns,p,t,after,1,2,3\n", "cannot be read"),
    ],
)
def test_a_table_that_holds_no_votes_is_refused(
    tmp_path: Path, content: str, sentence: str
) -> None:
    file = tmp_path / "votes.csv"
    file.write_text(content)
    with pytest.raises(UserError, match=sentence):
        read_votes(file)


def test_a_table_is_also_read_from_parquet(tmp_path: Path) -> None:
    table({"after": 3, "before": 1}).to_parquet(tmp_path / "votes.parquet")
    assert len(read_votes(tmp_path / "votes.parquet")) == 4
    with pytest.raises(UserError, match="does not exist"):
        read_votes(tmp_path / "none.csv")
    with pytest.raises(UserError, match="it holds one"):
        read_votes(tmp_path / "votes.parquet", "two")
