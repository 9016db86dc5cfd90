"""The type that every section of params.yaml is made of."""

from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


class Section(BaseModel):
    """A frozen group of parameters; an unknown name is an error, and attribute docstrings document the JSON Schema."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def default_tag(field: str, value: str) -> BeforeValidator:
    """Let a choice be written short: a mapping that lacks `field` means `value`, a bare name means that choice."""

    def fill(document: Any) -> Any:
        if isinstance(document, str):
            return {field: document}
        return {field: value, **document} if isinstance(document, dict) else document

    return BeforeValidator(fill)
