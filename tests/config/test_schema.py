"""The JSON Schema of params.yaml, which editors complete and check with."""

import json

import jsonschema
import pytest
from ruamel.yaml import YAML

from ann.config import json_schema


@pytest.fixture
def schema():
    return json.loads(json_schema())


@pytest.fixture
def document(params_file):
    return YAML(typ="safe", pure=True).load(params_file.read_text(encoding="utf-8"))


def fields(schema):
    """Return every field of every section as (section, name, definition)."""
    sections = {"Params": schema, **schema["$defs"]}
    return [(title, name, field) for title, part in sections.items() for name, field in part["properties"].items()]


def test_the_schema_is_a_valid_one(schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_a_good_file_satisfies_the_schema(schema, document):
    jsonschema.Draft202012Validator(schema).validate(document)


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("train", {"epochs": 0}),
        ("train", {"epoch": 5}),
        ("train", {"optimizer": {"name": "adan"}}),
        ("prepare", {"numbers": "std"}),
        ("compress", {"recipes": [{"name": "x", "steps": []}]}),
        ("data", {}),
        ("seed", "seven"),
    ],
)
def test_a_bad_value_breaks_the_schema(schema, document, section, value):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate({**document, section: value})


def test_a_missing_section_breaks_the_schema(schema, document):
    del document["train"]
    with pytest.raises(jsonschema.ValidationError, match="'train' is a required property"):
        jsonschema.Draft202012Validator(schema).validate(document)


def test_every_section_and_every_field_has_a_description(schema):
    def described(field):
        target = schema["$defs"].get(field.get("$ref", "").rsplit("/", 1)[-1], {})
        return bool(field.get("description") or target.get("description"))

    assert [title for title, part in schema["$defs"].items() if not part.get("description")] == []
    assert [f"{title}.{name}" for title, name, field in fields(schema) if not described(field)] == []


def test_fields_of_a_stage_stand_under_the_name_that_people_write(schema):
    assert {"validate", "register", "train", "seed"} <= set(schema["properties"])
    assert not {"validate_", "register_"} & set(schema["properties"])
