"""Scoring a file with the shipped model: what comes out, and what is refused."""

import datetime
import io
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from ann.config.data import Column, DataParams
from ann.data.sources import read_file
from ann.errors import ConfigError, DataError
from ann.predict import CHUNK_ROWS, Model, predict_file
from ann.predict.files import CHUNK_FILES

SHOP = DataParams(target="bought", positive="yes", missing=("", "?"))
SMALL = {"family": "mlp", "hidden": [8]}
TRAIN = """\
age,income,colour,bought
20,100.5,red,no
30,,blue,yes
40,300.5,red,yes
50,400.5,?,no
60,500.5,blue,yes
70,600.5,?,no
"""
ROWS = """\
age,income,colour
25,150,red
,,
?,250.25,blue
61.5,?,?
1e2,-3,never seen
"""


@pytest.fixture(scope="module")
def shop(ship, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    (folder / "train.csv").write_text(TRAIN, encoding="utf-8")
    return ship(folder / "model.onnx", read_file(folder / "train.csv", SHOP), SHOP, SMALL)


@pytest.fixture(scope="module")
def model(shop):
    return Model(shop.path, threads=1)


@pytest.fixture
def expected(shop):
    """What the torch network says of ROWS when pandas reads them."""
    age, income = [25, np.nan, np.nan, 61.5, 100], [150, np.nan, 250.25, np.nan, -3]
    colour = ["red", None, "blue", None, "never seen"]
    return shop.probabilities(pd.DataFrame({"age": age, "income": income, "colour": colour}))


def score(model: Model, folder: Path, text: str, separator: str = ",") -> pd.DataFrame:
    (folder / "rows.csv").write_text(text, encoding="utf-8")
    predict_file(model, folder / "rows.csv", folder / "out.csv", separator)
    return pd.read_csv(folder / "out.csv")


def refusal(model: Model, folder: Path, text: str) -> str:
    """Return the message with which the rows are refused; nothing but the rows may be left."""
    with pytest.raises(DataError) as caught:
        score(model, folder, text)
    assert [path.name for path in folder.iterdir()] == ["rows.csv"]
    return str(caught.value)


def assert_answers(found: pd.DataFrame, expected: np.ndarray) -> None:
    assert list(found.columns) == ["label", "probability_no", "probability_yes"]
    np.testing.assert_allclose(found.iloc[:, 1:], expected, rtol=1e-5, atol=1e-5)
    assert found["label"].tolist() == [("no", "yes")[number] for number in expected.argmax(axis=1)]


def test_a_csv_file_is_answered_as_the_network_answers(model, tmp_path, expected):
    assert_answers(score(model, tmp_path, ROWS), expected)
    assert len(np.unique(expected.round(4), axis=0)) == 5


def test_a_parquet_file_is_answered_as_the_network_answers(model, tmp_path, expected):
    columns = {"colour": ["red", None, "blue", "?", "never seen"], "age": [25, None, None, 61.5, 100]}
    pd.DataFrame({**columns, "income": [150, None, 250.25, None, -3], "more": 1}).to_parquet(tmp_path / "rows.parquet")
    assert predict_file(model, tmp_path / "rows.parquet", tmp_path / "out.parquet") == 5
    found = pd.read_parquet(tmp_path / "out.parquet")
    assert_answers(found, expected)
    assert found["probability_yes"].dtype == np.float32


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(model, tmp_path, expected):
    assert_answers(score(model, tmp_path, "\ufeff" + ROWS.replace("\n", "\r\n")), expected)


def test_the_separator_may_be_a_semicolon(model, tmp_path, expected):
    assert_answers(score(model, tmp_path, ROWS.replace(",", ";"), ";"), expected)


def test_columns_may_stand_in_any_order_among_others(model, tmp_path, expected):
    rows = [line.split(",") for line in ROWS.splitlines()]
    text = "\n".join(f'{colour},"x, y",{income},{age}' for age, income, colour in rows)
    assert_answers(score(model, tmp_path, text), expected)


def test_more_rows_than_a_chunk_are_answered_as_in_one_batch(model, shop, tmp_path):
    random = np.random.default_rng(0)
    count = 2 * CHUNK_ROWS + 3
    ages, colours = random.integers(18, 80, count), random.choice(["red", "blue"], count)
    rows = pd.DataFrame({"age": ages, "income": random.normal(300, 99, count).round(2), "colour": colours})
    rows.to_csv(tmp_path / "rows.csv", index=False)
    assert predict_file(model, tmp_path / "rows.csv", tmp_path / "out.csv") == count
    np.testing.assert_allclose(
        pd.read_csv(tmp_path / "out.csv").iloc[:, 1:], shop.probabilities(rows), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("text", ["old", "1_000", "inf", "1e400", "12 years"])
def test_what_is_no_number_is_told_with_its_row_and_column(model, tmp_path, text):
    message = refusal(model, tmp_path, f"age,income,colour\n1,1,red\n{text},1,red\n")
    assert f"column 'age' must hold numbers, row 2 holds '{text}': mend it, or leave it empty" in message


def test_a_bad_number_after_the_first_chunk_is_told_with_its_row_and_the_earlier_answers_stay(model, tmp_path):
    (tmp_path / "out.csv").write_text("earlier answers")
    (tmp_path / "rows.csv").write_text("age,income,colour\n" + "1,1,red\n" * (CHUNK_ROWS + 4) + "1,much,red\n")
    with pytest.raises(DataError, match=f"column 'income' must hold numbers, row {CHUNK_ROWS + 5} holds 'much'"):
        predict_file(model, tmp_path / "rows.csv", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "earlier answers"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "rows.csv"]


def test_a_date_where_a_number_belongs_is_told_with_its_row_and_column(model, tmp_path):
    days = pd.DataFrame({"age": [datetime.date(2024, 1, 1)], "income": [1.0], "colour": ["red"]})
    days.to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(DataError, match="column 'age' must hold numbers, row 1 holds"):
        predict_file(model, tmp_path / "rows.parquet", tmp_path / "out.csv")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("age,incom,colour\n1,1,red\n", "column 'income' is missing (did you mean 'incom'?); the model reads age,"),
        ("age,income,colour\n1,1,red\n2,2\n", "row 2: it has another number of cells than the header"),
        ("age,income,colour\n1,1,red,3\n", "row 1: it has another number of cells than the header"),
        ("age,income,colour,age\n1,1,red,2\n", "age"),
        ("", "rows.csv is empty: it must have a header line and rows"),
        ("age,income,colour\n", "rows.csv has no rows"),
    ],
    ids=["renamed column", "shorter row", "longer row", "doubled column", "empty", "header only"],
)
def test_a_damaged_file_is_refused_and_leaves_no_answers(model, tmp_path, text, expected):
    assert expected in refusal(model, tmp_path, text)


def test_bytes_that_are_no_text_are_refused(model, tmp_path):
    (tmp_path / "rows.csv").write_bytes(b"age,income,colour\n1,1,r\xf6t\n")
    with pytest.raises(DataError, match=r"rows\.csv cannot be read as UTF-8 CSV"):
        predict_file(model, tmp_path / "rows.csv", tmp_path / "out.csv")


@pytest.mark.parametrize(
    ("source", "target", "kind", "expected"),
    [
        ("none.csv", "out.csv", DataError, "none.csv does not exist"),
        ("junk.xlsx", "out.csv", DataError, r"junk.xlsx: cannot read \.xlsx; known: \.csv, \.parquet"),
        ("junk.parquet", "out.csv", DataError, "junk.parquet cannot be read"),
        ("rows.csv", "out.json", ConfigError, r"cannot write \.json; known: \.csv, \.parquet"),
        ("rows.csv", "none/out.csv", ConfigError, "the folder .*none does not exist"),
    ],
)
def test_a_file_that_cannot_be_read_or_written_is_refused_by_name(model, tmp_path, source, target, kind, expected):
    for name, text in (("junk.xlsx", "junk"), ("junk.parquet", "junk"), ("rows.csv", ROWS)):
        (tmp_path / name).write_text(text)
    with pytest.raises(kind, match=expected):
        predict_file(model, tmp_path / source, tmp_path / target)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        ("word", ["a", "b", "a", "b"]),
        ("zip", ["01067", "80331", "01067", "80331"]),
        ("flag", ["true", "false", "true", "false"]),
        ("whole", ["1.0", "2.0", "1.0", ""]),
        ("fraction", ["1.5", "2.0", "1.5", "2.0"]),
        ("padded", [" ?", "b", " ?", "b"]),
        ("plain", ["7", "8", "", "7"]),
    ],
)
def test_a_category_cell_is_read_in_scoring_as_it_was_in_training(ship, tmp_path, column, cells):
    data = SHOP.model_copy(update={"columns": {column: Column(type="category")}})
    labels = ["no", "yes", "yes", "no"]
    lines = [f"{i},{cell},{label}" for i, (cell, label) in enumerate(zip(cells, labels, strict=True))]
    (tmp_path / "train.csv").write_text("\n".join([f"age,{column},bought", *lines]) + "\n", encoding="utf-8")
    table = read_file(tmp_path / "train.csv", data)
    shipped = ship(tmp_path / "model.onnx", table, data, SMALL)
    scored = Model(shipped.path, threads=1).inputs([{"age": "1", column: cell} for cell in cells])
    assert scored[column].tolist() == shipped.inputs(table)[column].tolist()


def test_scoring_imports_none_of_the_heavy_libraries(shop, tmp_path):
    (tmp_path / "rows.csv").write_text(ROWS)
    program = (
        "import sys; from pathlib import Path; from ann.predict import Model, predict_file\n"
        "predict_file(Model(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))\n"
        "heavy = {'torch', 'pandas', 'mlflow', 'onnx', 'sklearn', 'pydantic', 'ruamel', 'great_expectations', 'dvc',\n"
        "         'PIL', 'scipy', 'pyarrow', 'ann.media'}\n"
        "print(sorted(heavy & set(sys.modules)), 'onnxruntime' in sys.modules)"
    )
    names = [shop.path, tmp_path / "rows.csv", tmp_path / "out.csv"]
    done = subprocess.run([sys.executable, "-c", program, *names], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] True"
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 6


DAYS = pd.date_range("2026-01-01", periods=60, freq="37h")


@pytest.fixture(scope="module")
def dated(ship, tmp_path_factory):
    """A file that reads a date and a number, and predicts three quantiles of a number."""
    random = np.random.default_rng(0)
    table = pd.DataFrame({"when": DAYS, "x": random.normal(size=60), "t": random.normal(300, 20, 60)})
    path = tmp_path_factory.mktemp("dated") / "model.onnx"
    return ship(path, table, DataParams(target="t", quantiles=(0.1, 0.5, 0.9)), SMALL)


def test_quantiles_have_a_column_each_in_the_targets_unit(dated, tmp_path):
    rows = pd.DataFrame({"when": DAYS[:9], "x": np.arange(9.0)})
    rows.to_csv(tmp_path / "rows.csv", index=False)
    assert predict_file(Model(dated.path), tmp_path / "rows.csv", tmp_path / "out.csv") == 9
    found = pd.read_csv(tmp_path / "out.csv")
    assert list(found.columns) == ["prediction_q0.1", "prediction_q0.5", "prediction_q0.9"]
    np.testing.assert_allclose(found, dated.predictions(rows)[:, 0, 0], rtol=1e-5)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_dates_in_parquet_are_the_same_moments_in_every_unit(dated, tmp_path, unit):
    rows = pd.DataFrame({"when": pd.Series([*DAYS[:4], pd.NaT]).dt.as_unit(unit), "x": 0.5})
    rows.to_parquet(tmp_path / "rows.parquet")
    predict_file(Model(dated.path), tmp_path / "rows.parquet", tmp_path / "out.parquet")
    found = pd.read_parquet(tmp_path / "out.parquet")
    np.testing.assert_allclose(found, dated.predictions(rows)[:, 0, 0], rtol=1e-5)
    assert (found.dtypes == np.float32).all()


def test_days_and_moments_with_a_zone_in_parquet_are_read_too(dated, tmp_path):
    days = [datetime.date(2026, 1, 2), None, datetime.date(2026, 3, 4)]
    answers = []
    for kind in (pa.date32(), pa.timestamp("us", "Asia/Tokyo")):
        pyarrow.parquet.write_table(
            pa.table({"when": pa.array(days, pa.date32()).cast(kind), "x": [0.0, 1.0, 2.0]}), tmp_path / "rows.parquet"
        )
        predict_file(Model(dated.path), tmp_path / "rows.parquet", tmp_path / "out.csv")
        answers.append(pd.read_csv(tmp_path / "out.csv"))
    pd.testing.assert_frame_equal(*answers)
    expected = dated.predictions(pd.DataFrame({"when": pd.to_datetime(days), "x": [0.0, 1, 2]}))[:, 0, 0]
    np.testing.assert_allclose(answers[0], expected, rtol=1e-5)


def test_a_date_that_is_none_is_told_with_its_row_and_leaves_no_answers(dated, tmp_path):
    message = refusal(Model(dated.path), tmp_path, "when,x\n2026-01-01,1\n01.02.2026,1\n")
    assert "column 'when' must hold dates, row 2 holds '01.02.2026': write it as 2026-11-21" in message


def test_labels_have_a_column_each_and_their_probabilities(ship, tmp_path):
    random = np.random.default_rng(0)
    table = pd.DataFrame({"x": random.normal(size=40), "red": random.integers(0, 2, 40), "big": [0, 1] * 20})
    shipped = ship(tmp_path / "model.onnx", table, DataParams(target=("red", "big")), SMALL)
    found = score(Model(shipped.path), tmp_path, table[["x"]].to_csv(index=False))
    expected = shipped.probabilities(table)
    assert list(found.columns) == ["label_red", "label_big", "probability_red", "probability_big"]
    np.testing.assert_allclose(found.iloc[:, 2:], expected, atol=1e-5)
    np.testing.assert_array_equal(found.iloc[:, :2], (expected > 0.5).astype(int))


def test_several_numbers_have_a_column_each(ship, tmp_path):
    random = np.random.default_rng(0)
    table = pd.DataFrame({"x": random.normal(size=40), "a": random.normal(size=40), "b": random.normal(9, 9, 40)})
    shipped = ship(tmp_path / "model.onnx", table, DataParams(target=("a", "b")), SMALL)
    found = score(Model(shipped.path), tmp_path, table[["x"]].to_csv(index=False))
    assert list(found.columns) == ["a", "b"]
    np.testing.assert_allclose(found, shipped.predictions(table)[:, 0, :, 0], rtol=1e-4, atol=1e-4)


WINDOWS = {"length": 5, "horizon": 3}


@pytest.fixture(scope="module")
def series(ship, tmp_path_factory):
    random = np.random.default_rng(0)
    table = pd.DataFrame({"load": random.normal(300, 9, 40), "day": DAYS[:40], "heat": random.normal(size=40)})
    path = tmp_path_factory.mktemp("series") / "model.onnx"
    return ship(path, table, DataParams(target="load", windows=WINDOWS), {"family": "forecast"})


@pytest.mark.parametrize("rows", [5, 6, CHUNK_ROWS + 2])
def test_a_forecast_reads_the_last_rows_and_tells_every_step_ahead(series, tmp_path, rows):
    random = np.random.default_rng(1)
    table = pd.DataFrame({"heat": random.normal(size=rows), "load": random.normal(300, 9, rows).round(3)})
    table.loc[rows - 2, "heat"] = np.nan
    table.to_csv(tmp_path / "rows.csv", index=False)
    assert predict_file(Model(series.path), tmp_path / "rows.csv", tmp_path / "out.csv") == 3
    found = pd.read_csv(tmp_path / "out.csv")
    assert list(found.columns) == ["step", "load"]
    assert found["step"].tolist() == [1, 2, 3]
    expected = series.predictions(table.tail(5).reset_index(drop=True))[0, :, 0, 0]
    np.testing.assert_allclose(found["load"], expected, rtol=1e-5)


def test_a_forecast_of_too_few_rows_is_refused(series, tmp_path):
    message = refusal(Model(series.path), tmp_path, "load,heat\n" + "300,1\n" * 4)
    assert "rows.csv has 4 rows, but the model reads the last 5: give it more" in message


def test_a_bad_number_in_a_window_is_told_with_its_row_in_the_file(series, tmp_path):
    message = refusal(Model(series.path), tmp_path, "load,heat\n" + "300,1\n" * 8 + "300,hot\n")
    assert "column 'heat' must hold numbers, row 9 holds 'hot'" in message


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def clip(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, samples).astype(np.float32)


def column(cells) -> pd.Series:
    return pd.Series(list(cells), dtype=object)


@pytest.fixture(scope="module")
def pictures(ship, tmp_path_factory):
    table = pd.DataFrame({"picture": column(picture(8, 6, i) for i in range(20)), "t": ["no", "yes"] * 10})
    path = tmp_path_factory.mktemp("pictures") / "model.onnx"
    return ship(path, table, DataParams(target="t"), {"family": "cnn", "stages": [4]})


@pytest.fixture(scope="module")
def sounds(ship, tmp_path_factory):
    table = pd.DataFrame({"clip": column(clip(500 + i, i) for i in range(20)), "t": ["no", "yes"] * 10})
    path = tmp_path_factory.mktemp("sounds") / "model.onnx"
    model = {"family": "speech", "channels": [4], "cell": "none"}
    return ship(path, table, DataParams(target="t"), model, audio={"rate": 8000, "mels": 6})


def alone(shipped, name: str, cells) -> np.ndarray:
    """Return what torch says of each file by itself."""
    return np.concatenate([shipped.probabilities(pd.DataFrame({name: column([cell])})) for cell in cells])


SIZES = [(8, 6), (8, 6), (5, 9), (8, 6), (30, 40)]


def test_a_folder_of_images_of_several_sizes_is_answered_file_by_file(pictures, tmp_path):
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    names = ["a.png", "b.PNG", "c.bmp", "d.png", "more/e.png"]
    images = [picture(*size, seed) for seed, size in enumerate(SIZES, start=30)]
    for name, pixels in zip(names, images, strict=True):
        Image.fromarray(pixels).save(folder / name)
    (folder / "notes.txt").write_text("no image")
    assert predict_file(Model(pictures.path), folder, tmp_path / "out.csv") == 5
    found = pd.read_csv(tmp_path / "out.csv")
    assert list(found.columns) == ["file", "label", "probability_no", "probability_yes"]
    assert found["file"].tolist() == [str(folder / name) for name in names]
    np.testing.assert_allclose(found.iloc[:, 2:], alone(pictures, "picture", images), atol=1e-5)


def test_one_image_is_answered(pictures, tmp_path):
    Image.fromarray(picture(7, 7)).save(tmp_path / "one.png")
    assert predict_file(Model(pictures.path), tmp_path / "one.png", tmp_path / "out.csv") == 1
    found = pd.read_csv(tmp_path / "out.csv").iloc[:, 2:]
    np.testing.assert_allclose(found, alone(pictures, "picture", [picture(7, 7)]), atol=1e-5)


def test_a_table_names_its_images_relative_to_itself(pictures, tmp_path):
    (tmp_path / "data").mkdir()
    images = [picture(*SIZES[i % 5], i) for i in range(CHUNK_FILES + 3)]
    for i, pixels in enumerate(images):
        Image.fromarray(pixels).save(tmp_path / "data" / f"{i}.png")
    rows = pd.DataFrame({"picture": [f"{i}.png" for i in range(len(images))]})
    rows.to_csv(tmp_path / "data" / "rows.csv", index=False)
    assert predict_file(Model(pictures.path), tmp_path / "data" / "rows.csv", tmp_path / "out.csv") == len(images)
    found = pd.read_csv(tmp_path / "out.csv")
    assert list(found.columns) == ["label", "probability_no", "probability_yes"]
    np.testing.assert_allclose(found.iloc[:, 1:], alone(pictures, "picture", images), atol=1e-5)


def test_images_inside_parquet_are_read(pictures, tmp_path):
    cells = []
    for size in SIZES:
        file = io.BytesIO()
        Image.fromarray(picture(*size)).save(file, "png")
        cells.append(file.getvalue())
    for values in (cells, [{"bytes": cell, "path": None} for cell in cells]):
        pyarrow.parquet.write_table(pa.table({"picture": values}), tmp_path / "rows.parquet")
        predict_file(Model(pictures.path), tmp_path / "rows.parquet", tmp_path / "out.csv")
        expected = alone(pictures, "picture", [picture(*size) for size in SIZES])
        np.testing.assert_allclose(pd.read_csv(tmp_path / "out.csv").iloc[:, 1:], expected, atol=1e-5)


def write_wav(path: Path, samples: np.ndarray) -> None:
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, 8000, 0, "NONE", ""))
        out.writeframes((samples * 32768).astype("<i2").tobytes())


def heard(samples: np.ndarray) -> np.ndarray:
    """Return samples as 16 bits keep them."""
    return (samples * 32768).astype("<i2").astype(np.float32) / np.float32(32768)


def test_one_sound_is_answered(sounds, tmp_path):
    write_wav(tmp_path / "one.wav", clip(700, 50))
    assert predict_file(Model(sounds.path), tmp_path / "one.wav", tmp_path / "out.csv") == 1
    found = pd.read_csv(tmp_path / "out.csv")
    assert found["file"].tolist() == [str(tmp_path / "one.wav")]
    np.testing.assert_allclose(found.iloc[:, 2:], alone(sounds, "clip", [heard(clip(700, 50))]), atol=1e-4)


def test_sounds_that_a_table_names_are_decoded_a_few_at_a_time(sounds, tmp_path, monkeypatch):
    clips = [clip(100 + 17 * i, i) for i in range(2 * CHUNK_FILES + 1)]
    for i, samples in enumerate(clips):
        write_wav(tmp_path / f"{i}.wav", samples)
    rows = pd.DataFrame({"clip": [f"{i}.wav" for i in range(len(clips))]})
    rows.to_csv(tmp_path / "rows.csv", index=False)
    sizes, run = [], Model.run
    monkeypatch.setattr(Model, "run", lambda self, inputs: sizes.append(len(inputs["clip"])) or run(self, inputs))
    assert predict_file(Model(sounds.path), tmp_path / "rows.csv", tmp_path / "out.csv") == len(clips)
    assert sizes == [CHUNK_FILES, CHUNK_FILES, 1]
    found = pd.read_csv(tmp_path / "out.csv").iloc[:, 1:]
    np.testing.assert_allclose(found, alone(sounds, "clip", map(heard, clips)), atol=1e-4)


def test_a_folder_or_file_without_what_the_model_reads_is_refused_and_leaves_no_answers(pictures, sounds, tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    target = tmp_path / "out.csv"
    with pytest.raises(DataError, match=r"holds no image: the model reads \.bmp, \.gif, \.jpeg, \.jpg, \.png, \.webp"):
        predict_file(Model(pictures.path), tmp_path, target)
    with pytest.raises(DataError, match=r"notes\.txt holds no audio: the model reads \.wav"):
        predict_file(Model(sounds.path), tmp_path / "notes.txt", target)
    with pytest.raises(DataError, match=r"none does not exist"):
        predict_file(Model(pictures.path), tmp_path / "none", target)
    (tmp_path / "torn.png").write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match=r"torn\.png cannot be read as an image"):
        predict_file(Model(pictures.path), tmp_path, target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "torn.png"]


def test_a_folder_for_a_model_of_columns_is_refused(model, tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        predict_file(model, tmp_path / "none.csv", tmp_path / "out.csv")
    with pytest.raises(DataError, match=r"is a folder: name a file in it, \.csv or \.parquet"):
        predict_file(model, tmp_path, tmp_path / "out.csv")
