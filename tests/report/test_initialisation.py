"""Table and picture of the initialisation study."""

import numpy as np

from ann.report.initialisation import draw_initialisation, print_initialisation

PUBLISHED = {"zeros": 0.85, "he_normal": 0.97}


def curves(last):
    return {"zeros": np.full((2, 20), 0.1), "he_normal": np.linspace([0.4, 0.5], [0.9, last], 20).T}


def test_the_table_shows_mean_and_range_beside_what_is_published(capsys):
    print_initialisation({"zeros": np.array([0.1, 0.1]), "he_normal": np.array([0.9, 0.96])}, PUBLISHED, 0.1125)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["he_normal", "0.9300", "0.9000", "0.9600", "0.97"] in lines
    assert ["zeros", "0.1000", "0.1000", "0.1000", "0.85"] in lines
    assert lines[-1][-1] == "0.1125"


def test_the_same_numbers_give_the_same_picture_and_others_another(tmp_path):
    drawn = []
    for last in (0.96, 0.96, 0.5):
        draw_initialisation(curves(last), tmp_path / "new" / "study.png")
        drawn.append((tmp_path / "new" / "study.png").read_bytes())
    assert drawn[0] == drawn[1] != drawn[2]
