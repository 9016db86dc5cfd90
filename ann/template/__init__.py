"""What a project starts from: the one dvc.yaml, and the flows."""

from pathlib import Path

FOLDER = Path(__file__).parent
CODE_LINE = "      - ann/"
MODELS_LINE = "      - ann/models\n"
NETWORKS = "networks"
"""Folder of a project's own networks."""
NETWORKS_LINE = f"      - {NETWORKS}\n"


def dvc_yaml(code: str | None, *, networks: bool = False) -> str:
    """Return the dvc.yaml of a project.

    `code` is the path from the project to the folder that holds ann's source, such as `../../`; the stages then depend
    on it file by file. None is for an installed ann: there the version in params.yaml stands for the code. With
    `networks` the stages that build a network depend on the project's own in that folder, too.
    """
    lines = (FOLDER / "dvc.yaml").read_text(encoding="utf-8").splitlines(keepends=True)
    if networks:
        lines = [part for line in lines for part in ([line, NETWORKS_LINE] if line == MODELS_LINE else [line])]
    if code is None:
        return "".join(line for line in lines if not line.startswith(CODE_LINE))
    return "".join(line.replace(CODE_LINE, f"      - {code}ann/", 1) for line in lines)
