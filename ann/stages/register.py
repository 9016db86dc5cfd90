"""register: the shipped file into the model registry, and the alias if it earns it."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.entities.model_registry import ModelVersion

from ann.artifacts import fresh_folder, load_arrays, load_json, save_json
from ann.compression.shipped import example_columns, shipped_latency
from ann.config import Params
from ann.data.schema import Schema, class_ids
from ann.data.sources import read_table
from ann.errors import AnnError
from ann.evaluation.intervals import rounded
from ann.evaluation.metrics import gain_sign, primary_metric, score
from ann.predict import Model
from ann.project import Project
from ann.stages.process import stage_process
from ann.tracking.card import model_card
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
        example=example_columns(build),
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
    schema = Schema.from_json(load_json(project.build.schema))
    metric = primary_metric(len(schema.classes), params.register_.metric)
    table = read_table(params.data, project)
    test = table.iloc[load_arrays(project.build.folder("prepare") / "test")["rows"]]
    rule = f"{metric} on the {len(test)} test rows exceeds the champion's by more than {params.register_.min_gain:g}"
    ours = _score(model, test, schema, metric)
    try:
        with tempfile.TemporaryDirectory() as folder:
            theirs = _score(Model(download_model(store, champion, Path(folder))), test, schema, metric)
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


def _score(model: Model, test: pd.DataFrame, schema: Schema, metric: str) -> float:
    model.require_columns(list(test.columns))
    if model.classes != list(schema.classes):
        raise AnnError(f"it answers {', '.join(model.classes)}, the data holds {', '.join(schema.classes)}")
    columns = model.columns([{str(k): v for k, v in row.items()} for row in test[list(model.types)].to_dict("records")])
    _, probabilities = model.run(columns)
    return rounded(score(metric, probabilities.astype(np.float64), class_ids(test[schema.target], schema.classes)))


if __name__ == "__main__":
    stage_process(run)
