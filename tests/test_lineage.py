"""The lineage key: what changes it, and what does not."""

from hashlib import sha256
from pathlib import Path

import pytest
from ruamel.yaml import YAML

import ann
from ann.config import override_params
from ann.errors import DataError
from ann.lineage import Lineage, ancestors, code_sha256, data_md5, graph, lineage_of
from ann.project import Project
from ann.template import NETWORKS, dvc_yaml

PACKAGE = Path(ann.__file__).parent
NONE = PACKAGE / "no networks here"
DATA = "outs:\n- md5: {md5}.dir\n  size: 1\n  hash: md5\n  path: data\n"


@pytest.fixture
def project(params_file):
    project = Project.at(params_file.parent)
    project.data_file.write_text(DATA.format(md5="a" * 32), encoding="utf-8")
    return project


def key_after(project: Project, stage: str, override: str) -> str:
    """Return the key of `stage` with one parameter changed."""
    override_params(project.params_file, [override])
    return lineage_of(stage, project.params(), project).key


def test_equal_inputs_give_equal_keys_of_sixteen_hex_digits(project):
    first, second = (lineage_of("train", project.params(), project) for _ in range(2))
    assert first == second
    assert len(first.key) == 16
    assert int(first.key, 16) >= 0


def test_the_key_is_the_start_of_the_hash_of_data_parameters_and_code(project):
    lineage = lineage_of("train", project.params(), project)
    text = f"{lineage.data_md5}/{lineage.params_sha256}/{lineage.code_sha256}"
    assert lineage.key == sha256(text.encode()).hexdigest()[:16]
    assert lineage.data_md5 == "a" * 32 + ".dir"


def test_other_data_gives_another_key(project):
    before = lineage_of("train", project.params(), project).key
    project.data_file.write_text(DATA.format(md5="b" * 32), encoding="utf-8")
    assert lineage_of("train", project.params(), project).key != before


@pytest.mark.parametrize(
    ("stage", "override"),
    [
        ("train", "train.epochs=7"),
        ("train", "prepare.min_count=5"),
        ("export", "prepare.min_count=5"),
        ("register", "compress.max_drop=0.2"),
        ("prepare", "seed=2"),
    ],
)
def test_a_parameter_of_the_stage_or_of_one_before_it_changes_the_key(project, stage, override):
    before = lineage_of(stage, project.params(), project).key
    assert key_after(project, stage, override) != before


@pytest.mark.parametrize(
    ("stage", "override"),
    [
        ("train", "compress.max_drop=0.2"),
        ("train", "evaluate.resamples=200"),
        ("prepare", "train.epochs=7"),
        ("register", "schedule.timezone=Europe/Berlin"),
        ("train", "validate.examples=9"),
    ],
)
def test_a_parameter_that_the_result_does_not_depend_on_leaves_the_key(project, stage, override):
    before = lineage_of(stage, project.params(), project).key
    assert key_after(project, stage, override) == before


def test_a_default_written_out_leaves_the_key(project):
    before = lineage_of("train", project.params(), project).key
    assert key_after(project, "train", "prepare={min_count: 2, numbers: standard}") == before


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("validate", ["validate"]),
        ("prepare", ["prepare"]),
        ("train", ["prepare", "train"]),
        ("compress", ["compress", "prepare", "train"]),
        ("export", ["compress", "export", "prepare", "train"]),
        ("register", ["compress", "evaluate", "export", "prepare", "register", "train"]),
    ],
)
def test_ancestors_are_the_stages_whose_results_are_read(stage, expected):
    assert ancestors(stage) == expected


def test_an_unknown_stage_has_no_ancestors():
    with pytest.raises(KeyError, match="deploy"):
        ancestors("deploy")


def test_the_graph_holds_the_seven_stages_in_order():
    assert list(graph()) == ["validate", "prepare", "train", "evaluate", "compress", "export", "register"]


def test_no_two_stages_own_one_output():
    outs = [out for spec in graph().values() for out in spec.outs]
    assert len(outs) == len(set(outs)) > 7


def test_the_code_hash_is_over_names_and_contents():
    content = sha256((PACKAGE / "errors.py").read_bytes()).hexdigest()
    assert code_sha256(["ann/errors.py"], NONE) == sha256(f"ann/errors.py:{content}\n".encode()).hexdigest()
    assert code_sha256(["ann/errors.py"], NONE) != code_sha256(["ann/errors.py", "ann/seeding.py"], NONE)


def write_network(project: Project, text: str, name: str = "mixer.py") -> None:
    path = project.root / NETWORKS / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_networks_of_the_project_count_by_name_and_content(project):
    keys = [lineage_of("train", project.params(), project).key]
    for text, name in (("a = 1\n", "mixer.py"), ("a = 2\n", "mixer.py"), ("b = 1\n", "deep/other.py")):
        write_network(project, text, name)
        keys.append(lineage_of("train", project.params(), project).key)
    (project.root / NETWORKS / "mixer.py").rename(project.root / NETWORKS / "mixer2.py")
    keys.append(lineage_of("train", project.params(), project).key)
    assert len(set(keys)) == 5


def test_what_is_no_source_of_a_network_leaves_the_key(project):
    write_network(project, "a = 1\n")
    before = lineage_of("train", project.params(), project).key
    write_network(project, "compiled", "__pycache__/mixer.cpython-311.pyc")
    (project.root / "other").mkdir()
    (project.root / "other" / "mixer.py").write_text("a = 1\n", encoding="utf-8")
    assert lineage_of("train", project.params(), project).key == before


@pytest.mark.parametrize("folder", [None, "networks"])
def test_without_networks_the_code_hash_is_that_of_ann_alone(project, folder):
    if folder:
        (project.root / folder).mkdir()
    paths = sorted({path for name in ancestors("train") for path in graph()[name].code})
    assert lineage_of("train", project.params(), project).code_sha256 == code_sha256(paths, NONE)


@pytest.mark.parametrize("code", ["", "../../", None])
def test_a_template_with_networks_has_one_more_line_in_each_stage_that_builds_one(code):
    plain, more = (YAML(typ="safe").load(dvc_yaml(code, networks=with_them))["stages"] for with_them in (False, True))
    added = {name: set(more[name].get("deps", [])) - set(plain[name].get("deps", [])) for name in plain}
    assert {name for name, lines in added.items() if lines} == {"train", "evaluate", "compress", "export"}
    assert set.union(*added.values()) == {NETWORKS}


def test_a_folder_counts_with_every_source_file_in_it():
    files = sorted(f"ann/config/{file.name}" for file in (PACKAGE / "config").glob("*.py"))
    assert len(files) > 5
    assert code_sha256(["ann/config"], NONE) == code_sha256(files, NONE)


def test_tags_carry_every_field():
    tags = Lineage("k", "d", "p", "c").tags()
    assert tags == {"ann.key": "k", "ann.data_md5": "d", "ann.params_sha256": "p", "ann.code_sha256": "c"}


def test_missing_tracking_names_the_command_that_tracks(project):
    project.data_file.unlink()
    with pytest.raises(DataError, match=r"data\.dvc does not exist: .* `ann data add FILE`"):
        data_md5(project)


@pytest.mark.parametrize(
    "content",
    [b"", b"outs: []\n", b"outs:\n- path: data\n", b"outs:\n- md5:\n", b"just text", b"outs: [", b"\xff\xfe\x00\x81"],
)
def test_a_damaged_file_names_the_command_that_restores_it(project, content):
    project.data_file.write_bytes(content)
    with pytest.raises(DataError, match=r"data\.dvc is damaged: restore it with `git checkout data\.dvc`"):
        data_md5(project)
