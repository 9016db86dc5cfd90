"""params.yaml as frozen types: one module a section, or several small ones together."""

from ann.config.load import json_schema, load_params, override_params, parse_params, write_columns
from ann.config.params import Params

__all__ = ["Params", "json_schema", "load_params", "override_params", "parse_params", "write_columns"]
