"""Read, override and check params.yaml; every mistake is one message that names the rule, the value and the way out."""

import io
import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

import ann
from ann.artifacts import replace_text
from ann.config.params import Params
from ann.config.section import Section
from ann.errors import ConfigError, did_you_mean

Settings = TypeVar("Settings", bound=Section)


def load_params(path: Path) -> Params:
    """Parse the params.yaml at `path`.

    Raises:
        ConfigError: the file is missing, is no YAML mapping, or holds an unknown name or a value out of range.
    """
    return parse_params(_parse(_read(path), path), path)


def parse_params(document: Any, path: Path) -> Params:
    """Check a parsed document; `path` is named in messages."""
    if not isinstance(document, dict):
        raise ConfigError(f"{path} must be a YAML mapping of sections, got {type(document).__name__}")
    try:
        params = Params.model_validate(document)
    except ValidationError as error:
        raise ConfigError(_explain(error, path)) from None
    if params.ann != ann.__version__:
        raise ConfigError(
            f"{path}: ann: {params.ann} is the version that this project is written for, but {ann.__version__} is "
            f"installed; install that version, or set ann: {ann.__version__} (every stage will run again)"
        )
    return params


def read_settings(kind: type[Settings], path: Path | None, overrides: list[str]) -> Settings:
    """Return a section of its own from a YAML file, or none, and `key=value` overrides.

    Raises:
        ConfigError: the file or an override is wrong.
    """
    if path is not None and not path.is_file():
        raise ConfigError(f"--params: there is no file {path}")
    document = (_parse(_read(path), path) if path else None) or {}
    if not isinstance(document, dict):
        raise ConfigError(f"{path} must be a YAML mapping of sections, got {type(document).__name__}")
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"-S {override}: an override is written key=value, such as compress.max_drop=0.01")
        _assign(document, key.strip(), _parse(value, Path(f"-S {override}")), override)
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise ConfigError(_explain(error, path or Path("-S"), kind)) from None


def override_params(path: Path, overrides: list[str]) -> None:
    """Write `key=value` overrides into params.yaml, atomically and keeping comments, as `dvc exp run -S` does.

    Raises:
        ConfigError: an override has no `=`, a parent that is no mapping, or gives an invalid params.yaml.
    """
    round_trip = _round_trip()
    text = _read(path)
    document = _parse(text, path, round_trip)
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"-S {override}: an override is written key=value, for instance -S train.epochs=5")
        _assign(document, key.strip(), _parse(value, Path(f"-S {override}")), override)
    parse_params(_parse(_dump(round_trip, document), path), path)
    written = _dump(round_trip, document)
    if written != text:
        replace_text(path, written)


def write_columns(path: Path, columns: dict[str, dict[str, str]]) -> None:
    """Write what was found of each column into `data.columns`, atomically; comments and what stands there stay.

    Raises:
        ConfigError: params.yaml is not valid, or would not be.
    """
    round_trip = _round_trip()
    text = _read(path)
    parse_params(_parse(text, path), path)
    document = _parse(text, path, round_trip)
    given = document["data"].setdefault("columns", {})
    for name, found in columns.items():
        if name not in given:
            given[name] = CommentedMap()
            given[name].fa.set_flow_style()
        entry = given[name]
        for field, value in found.items():
            entry.setdefault(field, value)
    written = _dump(round_trip, document)
    parse_params(_parse(written, path), path)
    replace_text(path, written)


def json_schema() -> str:
    """Return the JSON Schema of params.yaml, for editors."""
    schema = Params.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=2) + "\n"


def _round_trip() -> YAML:
    yaml = YAML()
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.preserve_quotes = True
    return yaml


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"{path} does not exist: a project is a folder with params.yaml; go there, or name it with -C DIR"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from None


def _parse(text: str, path: Path, yaml: YAML | None = None) -> Any:
    try:
        document = (yaml or YAML(typ="safe", pure=True)).load(text)
    except YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" line {where.line + 1}" if where else ""
        raise ConfigError(f"{path}{line} is not YAML: {getattr(error, 'problem', None) or error}") from None
    return document


def _assign(document: Any, key: str, value: Any, override: str) -> None:
    *parents, last = key.split(".")
    for depth, name in enumerate(parents):
        child = document.get(name)
        if child is None:
            child = document[name] = {}
        if not isinstance(child, dict):
            raise ConfigError(f"-S {override}: {'.'.join(parents[: depth + 1])} is a value, not a section")
        document = child
    document[last] = value


def _dump(yaml: YAML, document: Any) -> str:
    stream = io.StringIO()
    yaml.dump(document, stream)
    return stream.getvalue()


def _explain(error: ValidationError, path: Path, kind: type[Section] = Params) -> str:
    details = error.errors(include_url=False)
    # A list whose items are wrong is also reported as too short.
    told = [d for d in details if d["type"] != "too_short" or not any(_within(other, d) for other in details)]
    return "\n".join(f"{path}: {_one(detail, kind)}" for detail in told)


def _within(inner: ErrorDetails, outer: ErrorDetails) -> bool:
    return inner is not outer and inner["loc"][: len(outer["loc"])] == outer["loc"]


def _one(detail: ErrorDetails, kind: type[Section]) -> str:
    location = [str(part) for part in detail["loc"]]
    name = ".".join(part for part in location if part not in _tags())
    if detail["type"] == "missing":
        if len(location) == 1 and name not in ("ann", "seed"):
            return f"{name} is missing; a section may be empty ({name}: {{}}), but must stand there"
        return f"{name} is missing and has no default"
    if detail["type"] == "extra_forbidden":
        return f"{name} is not a parameter{did_you_mean(location[-1], _siblings(location, kind))}"
    message = detail["msg"].removeprefix("Value error, ")
    given = "" if isinstance(detail["input"], dict) or "got " in message else f", got {detail['input']!r}"
    return f"{name}: {message}{given}"


def _tags() -> set[str]:
    """Return the values of all discriminators, which pydantic puts into locations."""
    schema = Params.model_json_schema(by_alias=True)
    found, waiting = set(), [schema]
    while waiting:
        node: Any = waiting.pop()
        if isinstance(node, dict):
            found |= set(node.get("discriminator", {}).get("mapping", {})) if "discriminator" in node else set()
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
    return found


def _siblings(location: list[str], kind: type[Section]) -> list[str]:
    """Return the names that may stand where the unknown name `location` stands."""
    schema = kind.model_json_schema(by_alias=True)
    node: Any = schema
    for part in location[:-1]:
        node = _resolve(schema, node)
        if "discriminator" in node and part in node["discriminator"]["mapping"]:
            node = {"$ref": node["discriminator"]["mapping"][part]}
        elif part in node.get("properties", {}):
            node = node["properties"][part]
        else:
            node = node.get("items") or node.get("additionalProperties") or {}
    return sorted(_resolve(schema, node).get("properties", {}))


def _resolve(schema: dict[str, Any], node: Any) -> dict[str, Any]:
    for option in node.get("anyOf", []) if isinstance(node, dict) else []:
        if "$ref" in option or "items" in option:
            node = option
    while isinstance(node, dict) and "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
    return node if isinstance(node, dict) else {}
