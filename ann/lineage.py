"""The lineage key: what a result was made from, as 16 hex digits that are the same on every machine.

The key of a stage is the start of the sha256 of the data's md5, the parameters and the code that the stage and all
stages before it depend on. Which those are stands in dvc.yaml alone.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

import ann
from ann.artifacts import file_sha256
from ann.config import Params
from ann.errors import DataError
from ann.project import Project
from ann.template import NETWORKS, dvc_yaml

PACKAGE = Path(ann.__file__).parent
VERDICT = "build/validate/verdict.json"
"""The only file of validate that a later stage reads: it says yes, so it orders stages and adds nothing to the key."""


@dataclass(frozen=True)
class Spec:
    """One stage of dvc.yaml."""

    name: str
    params: tuple[str, ...]
    code: tuple[str, ...]
    files: tuple[str, ...]
    outs: tuple[str, ...]


@dataclass(frozen=True)
class Lineage:
    """Where a result comes from; every field is a hex digest."""

    key: str
    data_md5: str
    params_sha256: str
    code_sha256: str

    def tags(self) -> dict[str, str]:
        """Return the fields as they are written into runs, versions and files."""
        return {
            "ann.key": self.key,
            "ann.data_md5": self.data_md5,
            "ann.params_sha256": self.params_sha256,
            "ann.code_sha256": self.code_sha256,
        }


def lineage_of(stage: str, params: Params, project: Project) -> Lineage:
    """Compute the lineage of what `stage` makes from the present data, parameters and code."""
    specs = [graph()[name] for name in ancestors(stage)]
    sections = {name: params.section(name) for name in sorted({name for spec in specs for name in spec.params})}
    data = data_md5(project)
    params_hash = sha256(json.dumps(sections, sort_keys=True).encode()).hexdigest()
    code = code_sha256(sorted({path for spec in specs for path in spec.code}), project.root / NETWORKS)
    key = sha256(f"{data}/{params_hash}/{code}".encode()).hexdigest()[:16]
    return Lineage(key, data, params_hash, code)


@cache
def graph() -> dict[str, Spec]:
    """Return the stages of the packaged dvc.yaml by name."""
    document = YAML(typ="safe").load(dvc_yaml(""))
    return {name: _spec(name, stage) for name, stage in document["stages"].items()}


def ancestors(stage: str) -> list[str]:
    """Return `stage` and every stage whose output it depends on, sorted by name."""
    owners = {out: spec.name for spec in graph().values() for out in spec.outs}
    found, waiting = set(), [stage]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [owners[file] for file in graph()[name].files if file in owners and file != VERDICT]
    return sorted(found)


def data_md5(project: Project) -> str:
    """Return the md5 of the tracked data; a folder's ends in `.dir`.

    Raises:
        DataError: data.dvc is missing or damaged.
    """
    try:
        document = YAML(typ="safe").load(project.data_file.read_text(encoding="utf-8"))
        md5 = document["outs"][0]["md5"]
        if isinstance(md5, str):
            return md5
        raise TypeError
    except FileNotFoundError:
        raise DataError(
            f"{project.data_file} does not exist: the data is not tracked; add a file with `ann data add FILE`"
        ) from None
    except (YAMLError, UnicodeDecodeError, KeyError, IndexError, TypeError):
        raise DataError(
            f"{project.data_file} is damaged: restore it with `git checkout {project.data_file.name}`"
        ) from None


def code_sha256(paths: Iterable[str], networks: Path) -> str:
    """Hash the source files under each path of dvc.yaml, such as `ann/training`, by name and content.

    `networks` is the folder of the project's own networks, which need not be there.
    """
    digest = sha256()
    for path in paths:
        source = PACKAGE.parent / path
        for file in sorted(source.rglob("*.py")) if source.is_dir() else [source]:
            digest.update(f"{file.relative_to(PACKAGE.parent).as_posix()}:{file_sha256(file)}\n".encode())
    for file in sorted(networks.rglob("*.py")):
        digest.update(f"{file.relative_to(networks.parent).as_posix()}:{file_sha256(file)}\n".encode())
    return digest.hexdigest()


def _spec(name: str, stage: dict[str, Any]) -> Spec:
    deps = stage.get("deps", [])
    outs = [path for kind in ("outs", "metrics", "plots") for path in map(_path, stage.get(kind, []))]
    return Spec(
        name=name,
        params=tuple(stage.get("params", [])),
        code=tuple(path for path in deps if path.startswith("ann/")),
        files=tuple(path for path in deps if not path.startswith("ann/")),
        outs=tuple(outs),
    )


def _path(entry: str | dict[str, Any]) -> str:
    return entry if isinstance(entry, str) else next(iter(entry))
