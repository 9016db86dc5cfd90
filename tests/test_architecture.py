"""One name for one thing, imports that go down, files that say the same in two places."""

import ast
from pathlib import Path

import grimp
import pytest

from ann.artifacts import Build
from ann.config import Params
from ann.lineage import graph
from ann.template import FOLDER, NETWORKS, dvc_yaml

REPOSITORY = Path(__file__).resolve().parent.parent
STAGES = ("validate", "prepare", "train", "evaluate", "compress", "export", "register")
PACKAGES = {"ann", "ann.stages"}
WORDING = {
    "ann.artifacts",
    "ann.environment",
    "ann.errors",
    "ann.lineage",
    "ann.project",
    "ann.report",
    "ann.stages.process",
    "ann.template",
    "ann.tracking",
}
"""What a stage may use without running again when it changes: how things are worded, filed and shown."""


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("ann", cache_dir=None)


def test_stage_module_parameter_section_and_folder_have_one_name() -> None:
    modules = {path.stem for path in (REPOSITORY / "ann" / "stages").glob("*.py")} - {"__init__", "process"}
    sections = {field.alias or name for name, field in Params.model_fields.items()}
    assert set(graph()) == modules == set(STAGES)
    assert modules <= sections
    assert sections - modules == {"ann", "seed", "data", "model", "schedule"}
    for name, spec in graph().items():
        assert name in spec.params
        assert all(Path(out).is_relative_to(Path("build") / name) for out in spec.outs)
        assert Build(Path("build")).folder(name) == Path("build") / name


@pytest.mark.parametrize("stage", STAGES)
def test_deps_cover_every_module_that_a_stage_imports(stage: str, imports: grimp.ImportGraph) -> None:
    declared = {path.removesuffix(".py").replace("/", ".") for path in graph()[stage].code}
    used = _used_modules(f"ann.stages.{stage}", imports)
    assert {name for name in used if not any(name == path or name.startswith(f"{path}.") for path in declared)} == set()


def test_dvc_yaml_of_every_project_is_the_template() -> None:
    assert (REPOSITORY / "dvc.yaml").read_text() == dvc_yaml("")
    for example in (REPOSITORY / "examples").glob("*/"):
        networks = (example / NETWORKS).is_dir()
        assert (example / "dvc.yaml").read_text() == dvc_yaml("../../", networks=networks)


def test_flows_of_every_project_are_the_template() -> None:
    for folder in (REPOSITORY, *(REPOSITORY / "examples").glob("*/")):
        for path in (FOLDER / "flows").glob("*.py"):
            assert (folder / "flows" / path.name).read_text() == path.read_text()


def test_all_is_sorted() -> None:
    for path in (REPOSITORY / "ann").rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
                names = ast.literal_eval(node.value)
                assert names == sorted(names), path


def test_the_search_library_that_users_do_not_want_is_not_locked() -> None:
    assert "optuna" not in (REPOSITORY / "constraints.txt").read_text().lower()


def _used_modules(start: str, imports: grimp.ImportGraph) -> set[str]:
    """Return the modules that a stage reaches by imports, not through those that only word, file and show."""
    waiting, seen = [start], {start}
    while waiting:
        for name in imports.find_modules_directly_imported_by(waiting.pop()):
            if name not in seen and not _only_wording(name):
                seen.add(name)
                waiting.append(name)
    return seen


def _only_wording(name: str) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in WORDING) or name in PACKAGES
