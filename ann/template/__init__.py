"""What a project starts from: the one dvc.yaml, and the flows."""

from pathlib import Path

FOLDER = Path(__file__).parent
CODE_LINE = "      - ann/"


def dvc_yaml(code: str | None) -> str:
    """Return the dvc.yaml of a project.

    `code` is the path from the project to the folder that holds ann's source, such as `../../`; the stages then depend
    on it file by file. None is for an installed ann: there the version in params.yaml stands for the code.
    """
    lines = (FOLDER / "dvc.yaml").read_text(encoding="utf-8").splitlines(keepends=True)
    if code is None:
        return "".join(line for line in lines if not line.startswith(CODE_LINE))
    return "".join(line.replace(CODE_LINE, f"      - {code}ann/", 1) for line in lines)
