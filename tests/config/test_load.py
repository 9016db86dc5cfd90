"""params.yaml: what is read, what is refused and in which words, and what an override writes."""

from pathlib import Path

import pytest
from pydantic import ValidationError

import ann
from ann.config import load_params, override_params, write_columns
from ann.errors import ConfigError

PARAMS = """\
ann: 0.1.0
seed: 1
data:
  target: bought
  positive: "yes"
  missing: ["?"]
  columns:
    town: {role: slice, sensitive: true}
validate: {}
prepare: {}
model: {family: mlp, hidden: [32, 16], dropout: 0.0}
train: {epochs: 6, batch_size: 64, optimizer: {lr: 0.01}}
evaluate: {resamples: 100}
compress:
  max_drop: 0.1
  recipes:
    - {name: int8-static, steps: [{step: quantize, mode: static}]}
    - {name: pruned, steps: [{step: prune, ratio: 0.5, epochs: 1}]}
export: {}
register: {name: shop}
schedule: {}
"""


@pytest.fixture
def params_file(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(PARAMS.replace("0.1.0", ann.__version__), encoding="utf-8")
    return path


def edit(path: Path, old: str, replacement: str) -> Path:
    """Exchange one place of the file, which must exist."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, replacement, 1), encoding="utf-8")
    return path


def refusal(path: Path) -> str:
    """Return the message with which the file is refused."""
    with pytest.raises(ConfigError) as caught:
        load_params(path)
    return str(caught.value)


def test_a_valid_file_gives_its_values_and_the_documented_defaults(params_file):
    params = load_params(params_file)
    assert (params.ann, params.seed) == (ann.__version__, 1)
    assert (params.data.target, params.data.missing) == ("bought", ("?",))
    assert (params.train.epochs, params.train.optimizer.lr, params.model.hidden) == (6, 0.01, (32, 16))
    assert (params.train.optimizer.name, params.train.clip_norm, params.prepare.split.test) == ("adamw", 1.0, 0.2)
    assert params.data.columns["town"].sensitive is True


def test_a_section_is_its_json_values_with_defaults_filled_in(params_file):
    params = load_params(params_file)
    assert params.section("validate") == {"suite": "suite.json", "examples": 5}
    assert params.section("seed") == 1
    assert params.section("train")["schedule"] == {"name": "cosine", "warmup": 0.05, "final": 0.0}


def test_a_parsed_section_cannot_be_changed(params_file):
    params = load_params(params_file)
    with pytest.raises(ValidationError, match="frozen"):
        params.train.epochs = 7


@pytest.mark.parametrize(
    ("old", "replacement", "expected"),
    [
        ("epochs: 6", "epoch: 6", "train.epoch is not a parameter (did you mean 'epochs'?)"),
        ("train: {", "trian: {}\ntrain: {", "trian is not a parameter (did you mean 'train'?)"),
        ("role: slice", "rol: slice", "data.columns.town.rol is not a parameter (did you mean 'role'?)"),
        ("lr: 0.01", "lrr: 0.01", "lrr is not a parameter (did you mean 'lr'?)"),
        ("epochs: 6", "early_stopping: {patiens: 1}", "patiens is not a parameter (did you mean 'patience'?)"),
        ("ratio: 0.5", "ration: 0.5", "ration is not a parameter (did you mean 'ratio'?)"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest_known_one(params_file, old, replacement, expected):
    assert expected in refusal(edit(params_file, old, replacement))


def test_an_unknown_name_that_resembles_none_is_told_with_all_known_ones(params_file):
    message = refusal(edit(params_file, "validate: {}", "validate: {qqqq: 1}"))
    assert "validate.qqqq is not a parameter (known: examples, suite)" in message


@pytest.mark.parametrize(
    ("old", "replacement", "expected"),
    [
        ("epochs: 6", "epochs: 0", "train.epochs: Input should be greater than or equal to 1, got 0"),
        ("seed: 1", "seed: -1", "seed: Input should be greater than or equal to 0, got -1"),
        ("dropout: 0.0", "dropout: 1", "model.dropout: Input should be less than 1, got 1"),
        ("ratio: 0.5", "ratio: 1.5", "ratio: must be a number above 0 and below 1, or most, got 1.5"),
        ("max_drop: 0.1", "max_drop: .nan", "compress.max_drop: Input should be less than 1, got nan"),
        ("export: {}", "export: {latency_batches: [0]}", "greater than or equal to 1, got 0"),
        ("seed: 1", "seed: 1.5", "seed: Input should be a valid integer"),
        ("schedule: {}", "schedule: {cron: 0 3}", "schedule.cron: a cron expression has five fields"),
        ("schedule: {}", "schedule: {timezone: Mars}", "schedule.timezone: not an IANA time zone"),
        ("name: pruned", "name: fp32", "'fp32' is the name of the uncompressed network; choose another"),
        ("name: pruned", "name: int8-static", "recipe names must differ; given twice: int8-static"),
        ("prepare: {}", "prepare: {split: {valid: 0.6, test: 0.4}}", "valid + test must be below 1 to leave rows"),
    ],
)
def test_a_value_out_of_range_is_told_with_the_rule_and_the_value(params_file, old, replacement, expected):
    assert expected in refusal(edit(params_file, old, replacement))


def test_quantization_may_only_end_a_recipe(params_file):
    edit(params_file, "steps: [{step: prune", "steps: [{step: quantize, mode: static}, {step: prune")
    assert "quantize must be the last step of a recipe" in refusal(params_file)


@pytest.mark.parametrize(
    ("old", "replacement", "name", "choices"),
    [
        ("lr: 0.01", "name: adan", "train.optimizer", ["'adam'", "'adamw'", "'sgd'"]),
        ("epochs: 6", "schedule: {name: linear}", "train.schedule", ["'cosine'", "'constant'"]),
        ("prepare: {}", "prepare: {numbers: std}", "prepare.numbers", ["'standard'", "'minmax'"]),
        ("role: slice", "role: slize", "data.columns.town.role", ["'feature'", "'drop'", "'slice'"]),
        ("step: prune", "step: shrink", "compress.recipes.1.steps.0", ["'prune'", "'quantize'"]),
    ],
)
def test_a_wrong_choice_lists_the_right_ones(params_file, old, replacement, name, choices):
    message = refusal(edit(params_file, old, replacement))
    assert f"{name}: " in message
    assert all(choice in message for choice in choices)


def test_every_mistake_is_told_at_once(params_file):
    edit(edit(params_file, "epochs: 6", "epochs: 0"), "seed: 1", "seed: -1")
    assert len(refusal(params_file).splitlines()) == 2


@pytest.mark.parametrize(("old", "line"), [("seed: 1", 2), ("export: {}", 19)])
def test_what_is_not_yaml_is_told_with_its_line(params_file, old, line):
    message = refusal(edit(params_file, old, f"\t{old}"))
    assert f"{params_file} line {line} is not YAML" in message


def test_a_name_written_twice_is_refused(params_file):
    assert 'found duplicate key "seed"' in refusal(edit(params_file, "seed: 1", "seed: 1\nseed: 2"))


@pytest.mark.parametrize(("text", "kind"), [("- a\n- b\n", "list"), ("", "NoneType"), ("7\n", "int")])
def test_what_is_not_a_mapping_is_refused(params_file, text, kind):
    params_file.write_text(text, encoding="utf-8")
    assert f"{params_file} must be a YAML mapping of sections, got {kind}" in refusal(params_file)


def test_a_missing_file_tells_what_a_project_is(tmp_path):
    assert "a project is a folder with params.yaml; go there, or name it with -C DIR" in refusal(tmp_path / "p.yaml")


def test_a_file_of_another_encoding_is_refused(params_file):
    params_file.write_bytes(b"ann: \xff\n")
    assert "is not UTF-8 text (byte 5): save it as UTF-8" in refusal(params_file)


def test_a_missing_section_is_told_with_what_to_write(params_file):
    message = refusal(edit(params_file, "export: {}\n", ""))
    assert "export is missing; a section may be empty (export: {}), but must stand there" in message


@pytest.mark.parametrize(
    ("removed", "name", "wrong_advice"),
    [("seed: 1\n", "seed", "seed: {}"), ("  target: bought\n", "data.target", "data: {}")],
)
def test_a_missing_value_is_not_told_to_be_an_empty_section(params_file, removed, name, wrong_advice):
    message = refusal(edit(params_file, removed, ""))
    assert f"{name} is missing" in message
    assert wrong_advice not in message


def test_a_project_of_another_version_is_told_both_ways_out(params_file):
    message = refusal(edit(params_file, f"ann: {ann.__version__}", "ann: 0.0.9"))
    assert f"0.0.9 is the version that this project is written for, but {ann.__version__} is installed" in message
    assert f"install that version, or set ann: {ann.__version__}" in message


def test_an_override_keeps_comments_order_and_quotes(params_file):
    edit(params_file, "seed: 1", "# chosen by dice\nseed: 1  # fair ones")
    override_params(params_file, ["seed=2"])
    text = params_file.read_text(encoding="utf-8")
    assert "# chosen by dice\nseed: 2  # fair ones\n" in text
    assert 'positive: "yes"' in text


def test_an_override_in_exponent_form_is_a_float(params_file):
    override_params(params_file, ["train.optimizer.lr=1e-3", "train.optimizer.weight_decay=2E-2"])
    optimizer = load_params(params_file).train.optimizer
    assert (optimizer.lr, optimizer.weight_decay) == (0.001, 0.02)


def test_an_override_makes_the_sections_on_its_way(params_file):
    override_params(params_file, ["data.columns.age.role=drop", "prepare.split.test=0.3"])
    params = load_params(params_file)
    assert (params.data.columns["age"].role, params.prepare.split.test) == ("drop", 0.3)


def test_an_override_may_hold_a_list_null_and_an_equals_sign(params_file):
    override_params(params_file, ["model.hidden=[8, 4]", "train.early_stopping=null", "data.target=a=b"])
    params = load_params(params_file)
    assert (params.model.hidden, params.train.early_stopping, params.data.target) == ((8, 4), None, "a=b")


def test_the_last_of_two_overrides_of_one_name_holds(params_file):
    override_params(params_file, ["train.epochs=3", "train.epochs=4"])
    assert load_params(params_file).train.epochs == 4


def test_an_overridden_text_may_end_like_the_name_of_the_file(params_file):
    override_params(params_file, ["data.path=tables/params.csv"])
    assert load_params(params_file).data.path == "tables/params.csv"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["train.epochs"], "-S train.epochs: an override is written key=value, for instance -S train.epochs=5"),
        (["=3"], "an override is written key=value"),
        (["seed.x=1"], "-S seed.x=1: seed is a value, not a section"),
        (["train.epochs=[1"], "is not YAML"),
        (["train.epochs=0"], "train.epochs: Input should be greater than or equal to 1, got 0"),
        (["train.epochs=7", "train.epoch=7"], "train.epoch is not a parameter (did you mean 'epochs'?)"),
    ],
)
def test_a_wrong_override_is_told_and_leaves_every_byte_and_no_other_file(params_file, overrides, expected):
    before = params_file.read_bytes()
    with pytest.raises(ConfigError) as caught:
        override_params(params_file, overrides)
    assert expected in str(caught.value)
    assert params_file.read_bytes() == before
    assert list(params_file.parent.iterdir()) == [params_file]


FOUND = {"age": {"role": "feature", "type": "number"}, "town": {"role": "feature", "type": "category"}}


def test_columns_are_written_beside_what_stands_there_which_stays(params_file):
    edit(params_file, "    town:", "    # where the shop is\n    town:")
    edit(params_file, "seed: 1", "seed: 1  # by dice")
    before = params_file.read_text(encoding="utf-8").splitlines()
    write_columns(params_file, FOUND)
    after = params_file.read_text(encoding="utf-8").splitlines()
    assert [line for line in before if line not in after] == ["    town: {role: slice, sensitive: true}"]
    assert [line for line in after if line not in before] == [
        "    town: {role: slice, sensitive: true, type: category}",
        "    age: {role: feature, type: number}",
    ]
    columns = load_params(params_file).data.columns
    assert (columns["town"].role, columns["town"].type, columns["town"].sensitive) == ("slice", "category", True)
    assert (columns["age"].role, columns["age"].type) == ("feature", "number")


def test_columns_written_twice_are_those_written_once(params_file):
    write_columns(params_file, FOUND)
    once = params_file.read_bytes()
    write_columns(params_file, {"age": {"role": "drop", "type": "text"}, **FOUND})
    assert params_file.read_bytes() == once


@pytest.mark.parametrize("columns", ["", "  columns: {}\n", "  columns:\n    town: {}\n"])
def test_the_section_of_columns_is_made_where_it_is_lacking(params_file, columns):
    edit(params_file, "  columns:\n    town: {role: slice, sensitive: true}\n", columns)
    write_columns(params_file, FOUND)
    assert "    age: {role: feature, type: number}\n" in params_file.read_text(encoding="utf-8")
    assert {name: column.type for name, column in load_params(params_file).data.columns.items()} == {
        "age": "number",
        "town": "category",
    }


@pytest.mark.parametrize("name", ["on", "1", "a: b", "# no comment", "größe [mm]", "null", "{x}", " led by a space"])
def test_any_name_of_a_column_can_be_written(params_file, name):
    write_columns(params_file, {name: {"role": "drop", "type": "number"}})
    assert load_params(params_file).data.columns[name].role == "drop"


@pytest.mark.parametrize(
    ("old", "replacement", "found", "expected"),
    [
        ("epochs: 6", "epochs: 0", FOUND, "train.epochs: Input should be greater than or equal to 1, got 0"),
        ("  columns:\n    town: {role: slice, sensitive: true}", "  columns:", FOUND, "data.columns: Input should be"),
        ("seed: 1", "seed: 1", {"age": {"type": "series"}}, "data.columns.age.type: Input should be 'auto', 'number'"),
        ("seed: 1", "\tseed: 1", FOUND, "line 2 is not YAML"),
    ],
)
def test_columns_are_not_written_into_what_is_or_would_be_wrong(params_file, old, replacement, found, expected):
    before = edit(params_file, old, replacement).read_bytes()
    with pytest.raises(ConfigError) as caught:
        write_columns(params_file, found)
    assert expected in str(caught.value)
    assert params_file.read_bytes() == before
    assert list(params_file.parent.iterdir()) == [params_file]
