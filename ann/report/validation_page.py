"""Data docs: one self-contained HTML page of what was expected and what was found; it needs no network to open."""

from html import escape
from pathlib import Path

from ann.artifacts import replace_text
from ann.data.validation import Verdict

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Data validation</title><style>
:root {{ color-scheme: light dark; --line: #8884; --good: #15803d; --bad: #dc2626; --warn: #b45309; }}
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ border-bottom: 1px solid var(--line); padding: .35rem .6rem; text-align: left; vertical-align: top; }}
td {{ overflow-wrap: anywhere; }} td:first-child {{ white-space: nowrap; }} th {{ font-weight: 600; }}
.good {{ color: var(--good); }} .error, .warning {{ font-weight: 600; }}
.error {{ color: var(--bad); }} .warning {{ color: var(--warn); }}
code {{ font-size: .9em; }} .scroll {{ overflow-x: auto; }} h2 {{ margin-top: 2rem; }}
</style></head><body><h1>Data validation</h1>
<p class="{mood}">{headline}</p><p>Data <code>{data_md5}</code>, {rows} rows, {columns} columns.</p>
{sections}
</body></html>
"""


def write_validation_page(verdicts: list[Verdict], *, data_md5: str, rows: int, columns: int, path: Path) -> None:
    """Write the page: failures first, then every column in the suite's order."""
    failures = [verdict for verdict in verdicts if not verdict.success]
    stops = any(verdict.level == "error" for verdict in failures)
    sections = [_section("Failures", failures)] if failures else []
    for column in dict.fromkeys(verdict.column for verdict in verdicts):
        title = f"Column {column}" if column else "Table"
        sections.append(_section(title, [verdict for verdict in verdicts if verdict.column == column]))
    page = PAGE.format(
        mood="error" if stops else "warning" if failures else "good",
        headline=f"{len(verdicts) - len(failures)} of {len(verdicts)} expectations met",
        data_md5=escape(data_md5),
        rows=f"{rows:,}",
        columns=columns,
        sections="\n".join(sections),
    )
    replace_text(path, page)


def _section(title: str, verdicts: list[Verdict]) -> str:
    rows = "\n".join(_row(verdict) for verdict in verdicts)
    head = "<tr><th></th><th>expectation</th><th>expected</th><th>observed</th></tr>"
    return f'<h2>{escape(title)}</h2><div class="scroll"><table>{head}\n{rows}</table></div>'


def _row(verdict: Verdict) -> str:
    mark = '<td class="good">met</td>' if verdict.success else f'<td class="{verdict.level}">{verdict.level}</td>'
    name = verdict.expectation.removeprefix("expect_").replace("_", " ")
    examples = "".join(
        "<br><code>" + escape(", ".join(f"{key}={value}" for key, value in row.items())) + "</code>"
        for row in verdict.rows
    )
    column = f"{escape(verdict.column)}: " if verdict.column else ""
    found = escape(verdict.observed) + examples
    return f"<tr>{mark}<td>{column}{escape(name)}</td><td>{escape(verdict.expected)}</td><td>{found}</td></tr>"
