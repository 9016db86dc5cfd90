"""The `ann` command. Nothing heavy is imported before the command is known, so that `ann --help` is instant."""

import argparse
import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ann
from ann.errors import EXIT_INTERRUPTED, EXIT_USER_ERROR, AnnError, ConfigError

if TYPE_CHECKING:
    from ann.project import Project

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

EPILOG = "exit codes: 0 done, 1 a defect, 2 a mistake that you can mend, 130 interrupted"


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parsed = _parser().parse_args(arguments)
    _own_interpreter_first()
    try:
        command: Callable[[argparse.Namespace], None] = parsed.command
        command(parsed)
    except AnnError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "ann":
            raise
        print(f"error: this command needs {error.name}: pip install 'ann-pipeline[pipeline]'", file=sys.stderr)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on; say nothing at exit either
        return 0
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ann", description=ann.__doc__, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"ann {ann.__version__}")
    where: dict[str, Any] = {"dest": "project", "metavar": "DIR", "help": "the project (default: this folder)"}
    parser.add_argument("-C", default=".", **where)
    project = argparse.ArgumentParser(add_help=False)  # before the command or behind it
    project.add_argument("-C", default=argparse.SUPPRESS, **where)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    for add in (_add_run, _add_data, _add_looks, _add_studies):
        add(commands, project)
    return parser


def _add_run(commands: "Commands", project: argparse.ArgumentParser) -> None:
    """Add what makes and uses a model."""
    run = commands.add_parser("run", parents=[project], help="bring every stage up to date, as a Prefect flow")
    run.add_argument(
        "-S",
        dest="overrides",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="write a parameter into params.yaml first, such as -S train.epochs=5",
    )
    run.set_defaults(command=_run)

    predict = commands.add_parser("predict", parents=[project], help="score raw rows with an exported file")
    predict.add_argument("file", type=Path, help=".csv, or .parquet where pyarrow is installed")
    predict.add_argument("-o", dest="output", type=Path, required=True, help="where labels and probabilities go")
    predict.add_argument(
        "--model", type=Path, help="the exported file (default: build/export/model.onnx of the project)"
    )
    predict.add_argument("--provider", default="cpu", help="where it runs: cpu (default), cuda or tensorrt")
    predict.add_argument("--separator", default=",", help="column separator of .csv files (default: a comma)")
    predict.set_defaults(command=_predict)

    compress = commands.add_parser(
        "compress", parents=[project], help="make a network smaller that was not trained here, on rows of yours"
    )
    compress.add_argument(
        "--model", required=True, help="an .onnx file, models:/NAME@ALIAS, or package.module:function that builds it"
    )
    compress.add_argument("--weights", type=Path, help="the .safetensors file of a function's network")
    compress.add_argument(
        "--data", type=Path, required=True, help="rows: a .npz of arrays by input, or a .csv or .parquet table"
    )
    compress.add_argument("--target", default="target", help="the array or column of the truth (default: target)")
    compress.add_argument("--params", type=Path, help="a YAML file with the sections compress, train, evaluate, seed")
    compress.add_argument(
        "-S",
        dest="overrides",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="such as compress.max_drop=0.01",
    )
    compress.add_argument(
        "-o", dest="output", type=Path, default=Path("compressed"), help="the folder to write (default: compressed)"
    )
    compress.set_defaults(command=_compress)

    deploy = commands.add_parser(
        "deploy", parents=[project], help="send infra/prefect.yaml to the Prefect server of PREFECT_API_URL"
    )
    deploy.set_defaults(command=_deploy)


def _add_data(commands: "Commands", project: argparse.ArgumentParser) -> None:
    """Add what concerns the data."""
    data = commands.add_parser("data", help="the tracked data set").add_subparsers(metavar="COMMAND", required=True)
    add = data.add_parser(
        "add", parents=[project], help="copy files into data/ under a dated name and track them with DVC"
    )
    add.add_argument(
        "files",
        nargs="+",
        metavar="SOURCE",
        help="files, folders of images or sounds, sklearn:NAME, openml:NAME, or sql:URL with --query",
    )
    add.add_argument("--query", help="what sql:URL is asked; ${NAME} in the URL is taken from the environment")
    add.set_defaults(command=_data_add)
    columns = data.add_parser("schema", parents=[project], help="show what each column is taken for")
    columns.add_argument("--write", action="store_true", help="write it into params.yaml, where it can be corrected")
    columns.set_defaults(command=_data_schema)

    suite = commands.add_parser("suite", help="the expectations of the data").add_subparsers(
        metavar="COMMAND", required=True
    )
    propose = suite.add_parser("propose", parents=[project], help="profile the data and write a suite for review")
    propose.add_argument("--force", action="store_true", help="replace the suite that is there")
    propose.set_defaults(command=_suite_propose)


def _add_looks(commands: "Commands", project: argparse.ArgumentParser) -> None:
    """Add what only shows."""
    profile = commands.add_parser("profile", parents=[project], help="train a few steps and tell where their time goes")
    profile.add_argument("--steps", type=int, default=60, help="steps that are measured (default: 60)")
    profile.set_defaults(command=_profile)

    diagnose = commands.add_parser(
        "diagnose", parents=[project], help="gradients, weights and dead units of the last training, by layer"
    )
    diagnose.set_defaults(command=_diagnose)

    schema = commands.add_parser("schema", parents=[project], help="print the JSON Schema of params.yaml")
    schema.set_defaults(command=_schema)


def _add_studies(commands: "Commands", project: argparse.ArgumentParser) -> None:
    """Add the studies."""
    study = commands.add_parser("study", help="rules of thumb, measured here").add_subparsers(
        metavar="COMMAND", required=True
    )
    initialisation = study.add_parser(
        "initialisation", parents=[project], help="first weights: zeros, small random, Xavier, He on the prepared rows"
    )
    initialisation.add_argument("--epochs", type=int, default=40, help="epochs of each training (default: 40)")
    initialisation.add_argument("--seeds", type=int, default=3, help="trainings of each strategy (default: 3)")
    initialisation.add_argument("--lr", type=float, default=0.1, help="learning rate of plain SGD (default: 0.1)")
    initialisation.add_argument(
        "--data", type=Path, metavar="FOLDER", help="what `prepare` wrote (default: build/prepare of the project)"
    )
    initialisation.set_defaults(command=_study_initialisation)
    activations = study.add_parser("activations", help="draw value and gradient of every activation")
    activations.add_argument("-o", dest="output", type=Path, required=True, help="the .png file")
    activations.set_defaults(command=_study_activations)


def _run(parsed: argparse.Namespace) -> None:
    gc.disable()  # imports make millions of objects and no garbage; looking for it takes a third of their time
    from ann.run import run_project

    run_project(_project(parsed), parsed.overrides)


def _predict(parsed: argparse.Namespace) -> None:
    from ann.predict import Model, predict_file

    path = parsed.model or Path(parsed.project) / "build" / "export" / "model.onnx"
    if len(parsed.separator) != 1:
        raise ConfigError(f"--separator must be one character, got {parsed.separator!r}")
    rows = predict_file(Model(path, provider=parsed.provider), parsed.file, parsed.output, parsed.separator)
    print(f"{rows} rows scored into {parsed.output}")


def _compress(parsed: argparse.Namespace) -> None:
    from ann.environment import set_switches

    project = _project(parsed) if (Path(parsed.project) / "params.yaml").is_file() else None
    set_switches()
    from ann.config.load import read_settings
    from ann.foreign import ForeignParams, compress
    from ann.report.terminal import console
    from ann.report.variants import variants_table

    settings = read_settings(ForeignParams, parsed.params, parsed.overrides)
    table = compress(
        parsed.model,
        parsed.data,
        parsed.output,
        settings,
        target=parsed.target,
        weights=parsed.weights,
        registry=project.tracking_uri if project else None,
    )
    console().print(variants_table(table))
    print(f"\nthe chosen variant: {parsed.output / 'model.onnx'}")


def _data_add(parsed: argparse.Namespace) -> None:
    from tempfile import TemporaryDirectory

    from ann.data.fetch import fetch, is_name
    from ann.pipeline import add_data

    with TemporaryDirectory() as folder:
        files = [
            fetch(source, Path(folder), parsed.query) if is_name(source) else Path(source) for source in parsed.files
        ]
        for path in add_data(_project(parsed), files):
            print(f"added {path}")


def _data_schema(parsed: argparse.Namespace) -> None:
    from ann.config import write_columns
    from ann.data.schema import infer_schema
    from ann.data.sources import read_table
    from ann.report.columns import column_facts, corrections, print_schema

    project = _project(parsed)
    params = project.params()
    table = read_table(params.data, project)
    schema = infer_schema(table, params.data)
    facts = column_facts(table, schema, params.data)
    print_schema(facts, schema, len(table))
    if parsed.write:
        write_columns(project.params_file, corrections(facts))
        print(f"written to {project.params_file}")


def _suite_propose(parsed: argparse.Namespace) -> None:
    from ann.data.description import described
    from ann.data.expectations import propose_suite
    from ann.data.schema import infer_schema
    from ann.data.sources import read_table
    from ann.data.validation import save_suite

    project = _project(parsed)
    params = project.params()
    path = project.root / params.validate_.suite
    if path.exists() and not parsed.force:
        raise ConfigError(f"{path} exists and may have been reviewed: replace it with --force")
    table = read_table(params.data, project)
    entries = propose_suite(described(table), infer_schema(table, params.data))
    save_suite(path, entries)
    print(f"{len(entries)} expectations of {len(table)} rows written to {path}: review them")


def _deploy(parsed: argparse.Namespace) -> None:
    from ann.deploy import deploy

    project = _project(parsed)
    deploy(project)
    schedule = project.params().schedule
    print(f"deployed: pipeline/nightly at '{schedule.cron}' {schedule.timezone}, work pool ann")
    print("a worker runs it: prefect worker start --pool ann")


def _profile(parsed: argparse.Namespace) -> None:
    from ann.report.training import print_profile
    from ann.stages.train import prepared_training
    from ann.training.profiling import profile

    if parsed.steps < 1:
        raise ConfigError(f"--steps must be at least 1, got {parsed.steps}")
    project = _project(parsed)
    params = project.params()
    prepared = prepared_training(params, project)
    rows = prepared.train
    found = profile(prepared.network, rows, params.train, target=prepared.target, steps=parsed.steps)
    batch = min(params.train.batch_size, len(rows))
    device = rows.target.device.type
    print_profile(found, f"{prepared.model.family}, batch {batch}, {len(rows):,} training rows, {device}")


def _diagnose(parsed: argparse.Namespace) -> None:
    from ann.report.training import print_diagnosis

    print_diagnosis(_project(parsed))


def _study_initialisation(parsed: argparse.Namespace) -> None:
    from ann.studies.initialisation import study_project

    for name, least in (("epochs", 1), ("seeds", 1)):
        if getattr(parsed, name) < least:
            raise ConfigError(f"--{name} must be at least {least}, got {getattr(parsed, name)}")
    if not 0 < parsed.lr <= 100:
        raise ConfigError(f"--lr must be above 0 and at most 100, got {parsed.lr:g}")
    folder = study_project(
        _project(parsed), epochs=parsed.epochs, seeds=parsed.seeds, lr=parsed.lr, data=parsed.data, told=print
    )
    print(f"picture and numbers: {folder}")


def _study_activations(parsed: argparse.Namespace) -> None:
    from ann.report.activation_pictures import draw_activations

    if parsed.output.suffix != ".png":
        raise ConfigError(f"-o must name a .png file, got {parsed.output}")
    draw_activations(parsed.output)
    print(f"drawn to {parsed.output}")


def _schema(parsed: argparse.Namespace) -> None:  # noqa: ARG001 - every command takes the arguments
    from ann.config import json_schema

    print(json_schema(), end="")


def _project(parsed: argparse.Namespace) -> "Project":
    from ann.environment import prepare_environment
    from ann.project import Project

    project = Project.at(parsed.project)
    prepare_environment(project.state)
    return project


def _own_interpreter_first() -> None:
    """Let `python` in dvc.yaml be the interpreter that runs `ann`."""
    folder = str(Path(sys.executable).parent)
    paths = os.environ.get("PATH", "").split(os.pathsep)
    if paths[0] != folder:
        os.environ["PATH"] = os.pathsep.join([folder, *paths])
