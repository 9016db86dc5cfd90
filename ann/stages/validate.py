"""validate: the data against the reviewed suite; an error stops the pipeline."""

from ann.artifacts import fresh_folder, save_json
from ann.config import Params
from ann.data.description import described
from ann.data.sources import read_table
from ann.data.validation import errors, explain, load_suite, validate_table
from ann.errors import DataError
from ann.lineage import data_md5
from ann.project import Project
from ann.report.validation_page import write_validation_page
from ann.stages.process import stage_process


def run(params: Params, project: Project) -> None:
    """Write report.json and the data docs, and verdict.json when no error-level expectation failed.

    Raises:
        DataError: an error-level expectation failed; the report stays.
    """
    table = described(read_table(params.data, project))
    suite = load_suite(project.root / params.validate_.suite)
    sensitive = tuple(name for name, column in params.data.columns.items() if column.sensitive)
    verdicts = validate_table(table, suite, examples=params.validate_.examples, sensitive=sensitive)
    failures = errors(verdicts)
    md5 = data_md5(project)
    with fresh_folder(project.build.folder("validate")) as folder:
        save_json(
            folder / "report.json",
            {
                "data_md5": md5,
                "rows": len(table),
                "columns": len(table.columns),
                "passed": not failures,
                "expectations": [verdict.to_json() for verdict in verdicts],
            },
        )
        page = folder / "docs" / "index.html"
        write_validation_page(verdicts, data_md5=md5, rows=len(table), columns=len(table.columns), path=page)
        if not failures:
            save_json(folder / "verdict.json", {"passed": True})
    if failures:
        raise DataError(
            f"the data breaks {len(failures)} of {len(verdicts)} expectations:\n{explain(failures)}\n"
            f"see {project.build.data_docs}; mend the data, or review {params.validate_.suite}"
        )


if __name__ == "__main__":
    stage_process(run)
