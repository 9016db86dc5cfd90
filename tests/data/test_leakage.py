"""The leakage report: it finds what was planted, and keeps quiet about honest data."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.metrics import roc_auc_score

from ann.config.split import AutoSplit, SplitParams
from ann.data.leakage import Finding, _explained, _mean_of_level, _quality, explain, find_leakage
from ann.data.sources import read_table
from ann.data.splits import split_kind, split_rows
from ann.data.target import Task
from ann.project import Project

REPOSITORY = Path(__file__).resolve().parent.parent.parent
ROWS = 3000


def types_of(table: pd.DataFrame, *left_out: str) -> tuple[tuple[str, str], ...]:
    """Return each column as a number or a category."""
    return tuple(
        (name, "number" if pd.api.types.is_numeric_dtype(table[name].dtype) else "category")
        for name in table.columns
        if name not in left_out
    )


def find(
    table: pd.DataFrame,
    target: np.ndarray,
    task: Task = "binary",
    *,
    split: SplitParams | None = None,
    features: tuple[tuple[str, str], ...] | None = None,
    **more: object,
) -> list[Finding]:
    split = split or AutoSplit()
    parts = split_rows(table, target, task=task, split=split, seed=7)
    features = types_of(table) if features is None else features
    return find_leakage(
        table, target, task=task, parts=parts, features=features, split_name=split_kind(split, task), **more
    )


def parse(fields: dict[str, str]) -> SplitParams:
    return TypeAdapter(SplitParams).validate_python(fields)


def rules(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.rule, finding.column) for finding in findings]


@pytest.fixture
def rows() -> pd.DataFrame:
    """Honest rows: two numbers, a category, a whole number; `target` makes a target that they predict a little."""
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "x": random.normal(size=ROWS),
            "y": random.normal(size=ROWS).round(2),
            "kind": random.choice(["a", "b", "c"], ROWS),
            "age": random.integers(17, 90, ROWS),
        }
    )


@pytest.fixture
def target(rows: pd.DataFrame) -> np.ndarray:
    random = np.random.default_rng(1)
    return (rows["x"] + (rows["kind"] == "a") + random.normal(size=ROWS) > 0.5).to_numpy().astype(np.int64)


@pytest.fixture(scope="module")
def adult() -> tuple[pd.DataFrame, np.ndarray]:
    project = Project.at(REPOSITORY)
    table = read_table(project.params().data, project)
    return table, (table["income"] == ">50K").to_numpy().astype(np.int64)


def test_honest_rows_of_every_task_raise_no_finding(rows, target):
    numbers = np.random.default_rng(2).normal(size=(ROWS, 2)) + rows[["x"]].to_numpy()
    assert find(rows, target) == []
    assert find(rows, target + (rows["y"] > 1).to_numpy(), "multiclass") == []
    assert find(rows, numbers, "regression") == []
    assert find(rows, (numbers > 1).astype(np.float32), "multilabel") == []


@pytest.mark.parametrize("load", [load_breast_cancer, load_wine, load_iris, load_digits])
def test_well_known_honest_data_raise_no_finding(load):
    data = load(as_frame=True)
    task = "binary" if len(data.target_names) == 2 else "multiclass"
    found = find(data.data, data.target.to_numpy().astype(np.int64), task)
    assert found == []


def test_the_diabetes_data_raise_no_finding():
    data = load_diabetes(as_frame=True)
    assert find(data.data, data.target.to_numpy()[:, None], "regression") == []


def test_the_census_has_alike_people_and_nothing_else(adult):
    table, target = adult
    dropped = ("income", "fnlwgt", "education", "race", "gender")
    found = find(table, target, features=types_of(table, *dropped))
    assert rules(found) == [("duplicates", "")]
    features = [name for name in table.columns if name not in dropped]
    parts = split_rows(table, target, task="binary", split=AutoSplit(), seed=7)
    keys = np.array(["|".join(map(str, row)) for row in table[features].to_numpy(dtype=object)])
    held = np.concatenate([parts["valid"], parts["test"]])
    copies = np.isin(keys[held], keys[parts["train"]]).sum()
    assert copies > 3000
    assert f"{copies:,} of {len(held):,} held-out rows" in found[0].observed


def test_held_out_copies_are_counted_and_those_whose_targets_differ(rows, target):
    twins = pd.concat([rows, rows.head(200), rows.tail(50)], ignore_index=True)
    answers = np.r_[target, target[:120], 1 - target[120:200], target[-50:]]
    parts = {"train": np.arange(2500), "valid": np.arange(2500, 3100), "test": np.arange(3100, 3250)}
    found = find_leakage(twins, answers, task="binary", parts=parts, features=types_of(rows), split_name="random")
    assert rules(found) == [("duplicates", "")]
    assert found[0].observed.startswith("200 of 750 held-out rows (26.7%) equal a training row in every feature")
    assert "of 80 such rows the equal rows have different targets" in found[0].observed


def test_equal_media_are_found_by_fingerprint_or_by_text_and_not_looked_for_without(rows, target):
    pictures = pd.DataFrame({"picture": [np.full((2, 2), number % 250) for number in range(500)]})
    prints = np.arange(500) % 250
    texts = pd.DataFrame({"picture": prints.astype(str)})
    parts = {"train": np.arange(300), "valid": np.arange(300, 400), "test": np.arange(400, 500)}
    given = {"task": "binary", "parts": parts, "features": (("picture", "image"),), "split_name": "random"}
    assert find_leakage(pictures, target[:500], **given) == []
    for found in (
        find_leakage(pictures, target[:500], fingerprints=prints, **given),
        find_leakage(texts, target[:500], **given),
    ):
        assert rules(found) == [("duplicates", "")]
        assert found[0].observed.startswith("200 of 200 held-out rows (100.0%)")


@pytest.mark.parametrize("name", ["number", "text"])
def test_a_name_of_a_thing_whose_rows_share_the_target_is_found_even_if_no_feature(rows, target, name):
    random = np.random.default_rng(3)
    who = random.permutation(1000)[random.integers(0, 300, ROWS)]
    answers = (np.random.default_rng(4).random(1000) < 0.3).astype(np.int64)[who]
    noise = random.random(ROWS) < 0.05
    answers[noise] = 1 - answers[noise]
    table = rows.assign(patient=who if name == "number" else [f"P{number:04d}" for number in who])
    found = find(table, answers, features=types_of(rows))
    assert rules(found) == [("group", "patient")]
    assert "write prepare.split: {name: group, column: patient}" in found[0].advice
    by_patient = {"name": "group", "column": "patient"}
    assert find(table, answers, features=types_of(rows), split=parse(by_patient)) == []
    assert find(table, answers, features=types_of(rows), split=parse({"name": "time"})) == []


def test_ordinary_categories_and_quantities_with_an_effect_are_no_names_of_things(rows):
    random = np.random.default_rng(5)
    town, stock = random.integers(0, 200, ROWS), random.integers(0, 400, ROWS)
    effect = random.normal(size=200)
    answers = (effect[town] + random.logistic(size=ROWS) > 0).astype(np.int64)
    steps = (np.sin(stock / 40) + 0.3 * random.normal(size=ROWS) > 0).astype(np.int64)
    assert find(rows.assign(town=[f"town {number}" for number in town]), answers) == []
    assert _explained(stock, steps) > 0.5
    assert find(rows.assign(stock=stock), steps) == []


def test_a_column_with_the_role_group_is_found_whatever_it_predicts_unless_the_split_is_by_it(rows, target):
    table = rows.assign(speaker=np.arange(ROWS) % 4)
    found = find(table, target, features=types_of(rows), group="speaker")
    assert rules(found) == [("group", "speaker")]
    assert "1,050 of 1,050 held-out rows (100.0%)" in found[0].observed
    many = table.assign(speaker=np.arange(ROWS) % 40)
    split = parse({"name": "group", "column": "speaker"})
    assert find(many, target, features=types_of(rows), group="speaker", split=split) == []


def test_the_targets_own_column_is_no_name_of_a_thing(rows):
    answers = np.random.default_rng(6).integers(0, 80, ROWS)
    table = rows.assign(answer=[f"class {number}" for number in answers])
    assert find(table, answers, "multiclass", features=types_of(rows)) == []
    numbers = rows.assign(price=answers)
    assert find(numbers, answers[:, None].astype(float), "regression", features=types_of(rows)) == []


PLANTED = {
    "a threshold": lambda answers, random: answers * 3.0 + random.random(ROWS),
    "turned round": lambda answers, random: -answers - random.random(ROWS) / 2,
    "an interval": lambda answers, random: np.where(answers == 1, random.random(ROWS) / 3, random.normal(5, 1, ROWS)),
    "a missing number": lambda answers, random: np.where(answers == 1, np.nan, 1.0),
    "a category": lambda answers, random: np.where(answers == 1, "paid", random.choice(["open", "late"], ROWS)),
    "a truth value": lambda answers, random: answers == 1,
    "a date": lambda answers, random: pd.Timestamp("2020-01-01") + pd.to_timedelta(answers * 9 + 1, unit="D"),
}


@pytest.mark.parametrize("how", PLANTED)
def test_a_feature_that_gives_the_class_away_is_found(rows, target, how):
    table = rows.assign(given=PLANTED[how](target, np.random.default_rng(7)))
    kind = {"a date": "date", "a category": "category", "a truth value": "category"}.get(how, "number")
    found = find(table, target, features=(*types_of(rows), ("given", kind)), split=AutoSplit())
    assert ("alone", "given") in rules(found)
    assert {column for rule, column in rules(found) if rule == "alone"} == {"given"}


def test_a_feature_that_is_nearly_but_not_quite_the_class_is_not_reported(rows, target):
    flipped = np.where(np.random.default_rng(8).random(ROWS) < 0.03, 1 - target, target)
    assert find(rows.assign(hint=flipped), target) == []


def test_a_rare_class_given_away_is_found_and_one_of_a_few_rows_is_not_judged(rows):
    for share, expected in ((0.02, [("alone", "code")]), (0.003, [])):
        answers = (np.arange(ROWS) % round(1 / share) == 0).astype(np.int64)
        assert rules(find(rows.assign(code=answers * 2.0), answers)) == expected


def test_features_that_give_one_of_many_classes_labels_or_numbers_away_are_found(rows, target):
    random = np.random.default_rng(9)
    classes = random.integers(0, 4, ROWS)
    labels = np.stack([random.integers(0, 2, ROWS), classes == 2], axis=1).astype(np.float32)
    numbers = np.stack([random.normal(size=ROWS), np.exp(3 * random.normal(size=ROWS))], axis=1)
    alone = [("alone", "given")]
    assert rules(find(rows.assign(given=classes + 0.5), classes, "multiclass")) == alone
    assert rules(find(rows.assign(given=labels[:, 1] + 0.5), labels, "multilabel")) == alone
    assert rules(find(rows.assign(given=numbers[:, 1] / 100), numbers, "regression")) == alone
    assert rules(find(rows.assign(given=-np.log(numbers[:, 1])), numbers, "regression")) == alone
    noisy = numbers[:, 0] + 0.3 * random.normal(size=ROWS)
    assert find(rows.assign(given=noisy), numbers, "regression") == []


@pytest.mark.parametrize("kind", ["text", "image", "audio"])
def test_texts_and_media_are_not_asked_whether_they_predict_alone(rows, target, kind):
    table = rows.assign(note=np.where(target == 1, "a good film", "a bad film"))
    assert find(table, target, features=(*types_of(rows), ("note", kind))) == []


@pytest.mark.parametrize("name", ["random", "stratified", "auto"])
def test_dates_and_times_under_a_random_split_are_told(rows, target, name):
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(ROWS), unit="h")
    table = rows.assign(seen=days, hour=np.arange(ROWS) * 1.5)
    split = parse({"name": name})
    assert rules(find(table, target, features=types_of(rows), split=split, time="hour")) == [
        ("time", "seen"),
        ("time", "hour"),
    ]
    text = rows.assign(seen=days.astype(str))
    assert rules(find(text, target, features=(("x", "number"), ("seen", "date")), split=split)) == [("time", "seen")]


def test_times_under_a_split_by_time_are_not_told(rows, target):
    table = rows.assign(hour=np.arange(ROWS) * 1.5)
    split = parse({"name": "time", "column": "hour"})
    assert find(table, target, features=types_of(rows), split=split, time="hour") == []


@pytest.mark.parametrize(
    ("column", "kind", "expected"),
    [
        (np.arange(ROWS) + 70_000, "number", True),
        (np.arange(ROWS) % (ROWS - 100), "number", True),
        (np.arange(ROWS) ** 2 * 7919, "number", True),
        ([f"K{number}" for number in range(ROWS)], "category", True),
        ([f"K{number}" for number in range(ROWS)], "text", True),
        ([f"film number {number}" for number in range(ROWS)], "text", False),
        (np.arange(ROWS) // 2, "number", False),
        (np.random.default_rng(0).integers(0, 40_000, ROWS), "number", False),
        (np.random.default_rng(0).random(ROWS), "number", False),
        ([None] * (ROWS - 20) + [f"K{number}" for number in range(20)], "category", False),
    ],
    ids=["numbered", "with repeats", "spread", "category", "word", "sentence", "pairs", "quantity", "fraction", "few"],
)
def test_a_feature_that_differs_in_every_row_is_an_identifier(rows, target, column, kind, expected):
    mixed = rows.assign(key=pd.Series(column).sample(frac=1, random_state=1).to_numpy())
    found = find(mixed, target, features=(*types_of(rows), ("key", kind)))
    assert rules(found) == ([("identifier", "key")] if expected else [])


def test_no_value_of_the_data_is_shown(rows, target):
    secret = ["Smith-" + str(number) for number in np.random.default_rng(1).integers(0, 300, ROWS)]
    answers = np.array([sum(map(ord, text)) % 2 for text in secret])
    table = rows.assign(name=secret, code=np.where(answers == 1, "Jones-guilty", "Jones-innocent"))
    found = find(table, answers, group="name")
    assert {finding.rule for finding in found} == {"group", "alone"}
    assert not any(word in explain(found) for word in ("Smith", "Jones"))


def test_a_forecast_is_not_looked_at(rows):
    parts = {"train": np.arange(10), "valid": np.arange(10, 20), "test": np.arange(20, 30)}
    series = rows[["x"]].to_numpy()
    given = {"task": "forecast", "parts": parts, "features": (("x", "series"),), "split_name": "time"}
    assert find_leakage(rows, series, **given) == []


def test_findings_are_lines_and_json(rows, target):
    found = find(rows.assign(given=target), target)
    assert [json.loads(json.dumps(finding.to_json()))["column"] for finding in found] == ["given"]
    assert explain(found).startswith("leakage (alone): column 'given': it predicts the target")
    assert explain([]) == "leakage: no sign of it"
    assert explain(found * 2).count("\n") == 1


def test_the_same_rows_give_the_same_findings(rows, target):
    table = rows.assign(given=target * 2.0)
    assert find(table, target) == find(table, target)


def test_the_area_agrees_with_scikit_learn_under_ties():
    random = np.random.default_rng(0)
    truth = np.eye(3)[random.integers(0, 3, 400)]
    scores = (truth + random.normal(size=(400, 3))).round(1)
    assert _quality(scores, truth, "multiclass") == pytest.approx(roc_auc_score(truth, scores, average="macro"))
    best = max(roc_auc_score(truth[:, k], scores[:, k]) for k in range(3))
    assert _quality(scores, truth, "multilabel") == pytest.approx(best)


@pytest.mark.parametrize("classes", [2, 5])
def test_the_explained_share_is_the_adjusted_r2_of_indicators(classes):
    random = np.random.default_rng(0)
    values, truth = random.integers(0, 40, 900), random.integers(0, classes, 900)
    truth[values < 10] = 0
    indicators = pd.get_dummies(pd.Series(truth)).astype(float)
    within = ((indicators - indicators.groupby(values).transform("mean")) ** 2).to_numpy().sum() / (900 - 40)
    total = indicators.var().sum()
    assert _explained(values, truth) == pytest.approx(1 - within / total)
    numbers = random.normal(size=(900, 1)) + values[:, None] / 20
    within = ((numbers[:, 0] - pd.Series(numbers[:, 0]).groupby(values).transform("mean")) ** 2).sum() / 860
    assert _explained(values, numbers) == pytest.approx(1 - within / numbers[:, 0].var(ddof=1))


def test_a_level_that_training_lacks_answers_with_the_mean_of_all():
    seen = np.array([[1.0], [0.0], [1.0], [1.0]])
    means = _mean_of_level(np.array([1, 2, 2, 3]), seen, np.array([0, 1, 2, 3, 9]))
    assert means[:, 0].tolist() == [0.75, 1, 0.5, 1, 0.75]
