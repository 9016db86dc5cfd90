"""register: the shipped file into the model registry, and the alias if it earns it."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.entities.model_registry import ModelVersion

from ann.artifacts import fresh_folder, load_arrays, load_inputs, load_json, save_json
from ann.compression.shipped import shipped_latency
from ann.config import Params
from ann.data.examples import Examples
from ann.data.schema import Schema
from ann.data.sources import read_table
from ann.data.windows import stored_truth
from ann.errors import AnnError
from ann.evaluation.intervals import rounded
from ann.evaluation.scoring import gain_sign, primary_metric, score
from ann.predict import Model
from ann.project import Project
from ann.stages.process import stage_process
from ann.tracking.card import model_card
from ann.tracking.champion import answers_of
from ann.tracking.projection import recorded_lineage, run_for_build
from ann.tracking.registry import (
    CHALLENGER,
    CHAMPION,
    Registered,
    champion_of,
    clear_alias,
    download_model,
    register_file,
    set_alias,
)
from ann.tracking.runs import set_tags
from ann.tracking.store import Store


def run(params: Params, project: Project) -> None:
    """Write decision.json; running again with the same file changes nothing."""
    build, name = project.build, params.register_.name
    store, run_id = run_for_build(project, params)
    model = Model(build.model)
    lineage = recorded_lineage(build)
    latency = shipped_latency(build, params.export.latency_batches)
    tags = {key: value for key, value in model.metadata.items() if key.startswith("ann.")}
    registered = register_file(
        store,
        run_id,
        name,
        build.model,
        tags=tags,
        description=model_card(build, params, lineage, latency),
        example=load_inputs(build.example_inputs),
    )
    champion = champion_of(store, name)
    if not _decided(build.decision, registered, champion):
        decision = _decide(store, params, project, model, registered, champion)
        with fresh_folder(build.folder("register")) as folder:
            save_json(folder / "decision.json", decision)
        store.client.log_artifact(run_id, str(build.decision), "register")
    set_tags(store, run_id, {"ann.stage.register": "finished", "ann.model_version": str(registered.version)})


def _decided(path: Path, registered: Registered, champion: ModelVersion | None) -> bool:
    """Return whether the decision on this very file was taken, and still stands in the registry."""
    if not path.exists() or champion is None:
        return False
    decision = load_json(path)
    stands = int(champion.version) == decision["alias_after"][CHAMPION]
    return bool(decision["sha256"] == registered.sha256 and decision["version"] == registered.version and stands)


def _decide(
    store: Store, params: Params, project: Project, model: Model, registered: Registered, champion: ModelVersion | None
) -> dict[str, Any]:
    """Compare with the champion, move the aliases, and return the decision."""
    name = params.register_.name
    before = int(champion.version) if champion else None
    if champion is None:
        rules = [{"rule": "there is no champion yet", "passed": True}]
    elif before == registered.version:
        rules = [{"rule": "this file is the champion already", "passed": True}]
    else:
        rules = [_compare(store, params, project, model, champion)]
    promoted = all(rule["passed"] for rule in rules)
    if promoted:
        set_alias(store, name, CHAMPION, registered.version)
        clear_alias(store, name, CHALLENGER, registered.version)
    else:
        set_alias(store, name, CHALLENGER, registered.version)
    return {
        "key": recorded_lineage(project.build).key,
        "name": name,
        "version": registered.version,
        "sha256": registered.sha256,
        "alias": CHAMPION if promoted else CHALLENGER,
        "alias_before": {CHAMPION: before},
        "alias_after": {CHAMPION: registered.version if promoted else before},
        "rules": rules,
    }


def _compare(store: Store, params: Params, project: Project, model: Model, champion: ModelVersion) -> dict[str, Any]:
    """Score both files on the same raw test rows; more than `min_gain` better wins."""
    content = load_json(project.build.schema)
    schema = Schema.from_json(content)
    metric = primary_metric(schema.target, params.register_.metric)
    examples = Examples(read_table(params.data, project), schema, **content["media"])
    test = project.build.folder("prepare") / "test"
    rows, truth = load_arrays(test)["rows"], stored_truth(test, schema)
    rule = f"{metric} on the {len(rows)} test rows exceeds the champion's by more than {params.register_.min_gain:g}"
    ours = _score(model, examples, rows, truth, metric)
    try:
        with tempfile.TemporaryDirectory() as folder:
            theirs = _score(Model(download_model(store, champion, Path(folder))), examples, rows, truth, metric)
    except AnnError as error:
        return {
            "rule": rule,
            "ours": ours,
            "theirs": None,
            "passed": False,
            "why": f"the champion cannot be scored: {error}",
        }
    gain = gain_sign(metric) * (ours - theirs)
    return {"rule": rule, "ours": ours, "theirs": theirs, "passed": gain > params.register_.min_gain}


def _score(model: Model, examples: Examples, rows: np.ndarray, truth: np.ndarray, metric: str) -> float:
    target = examples.schema.target
    return rounded(score(target, metric, answers_of(model, examples, rows), truth))


if __name__ == "__main__":
    stage_process(run)
