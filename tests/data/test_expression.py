from __future__ import annotations

import contextlib
from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tasks.base.errors import ParamsError
from tasks.data.expression import KEYWORDS, NAMES, parse

CLASSES = ["bus", "car", "O'Neill \"x\"", "null"]
# id, and what differs from a box of 10 x 20 of a car that is not difficult, in a picture of 100 x 50
LABELS = """
    CREATE TABLE label AS SELECT * REPLACE (x::DOUBLE AS x, score::FLOAT AS score) FROM (VALUES
        (1, 0, 1, 0, 10, 20, 200, false, true, 'human', 0.5, NULL, NULL, 0.0, 0, 'ann'),
        (2, 0, 0, 'nan'::DOUBLE, 10, 0, 0, false, false, 'import', NULL, NULL, NULL, NULL, 3, NULL),
        (3, 1, 2, -5, 30, 40, 900, true, false, 'import', 1.0, 0.1, 0.2, 0.5, NULL, NULL),
        (4, 2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
    ) t(id, image_id, class_id, x, w, h, area, iscrowd, difficult, source, score, uncertainty, difficulty, truncation,
        occlusion, reviewed_by);
    ALTER TABLE label ADD COLUMN y DOUBLE DEFAULT 1;
    CREATE TABLE picture AS FROM (VALUES
        (0, 'a/1.jpg', 'train', 100, 50, NULL, ['night', 'rain']), (1, 'a/%.jpg', NULL, 100, 50, 'g1', []),
        (2, 'b/3.jpg', 'test', 640, 480, 'g2', NULL)) t(image_id, file, split, width, height, "group", tags);
"""


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute(LABELS)
        connection.execute("CREATE TABLE name AS SELECT unnest($1) AS name, unnest(range(4)) AS class_id", [CLASSES])
        yield connection


def ids(database: duckdb.DuckDBPyConnection, text: str) -> list[int]:
    condition = parse(text, CLASSES)
    rows = database.sql("SELECT label.id FROM label JOIN picture USING (image_id) LEFT JOIN name USING (class_id) "
                        f"WHERE {condition.sql} ORDER BY 1", params=condition.values).fetchall()
    absent = database.sql("SELECT count(*) FROM label JOIN picture USING (image_id) LEFT JOIN name USING (class_id) "
                          f"WHERE ({condition.sql}) IS NULL", params=condition.values).fetchall()
    assert absent == [(0,)], "neither true nor false"
    return [row[0] for row in rows]


@pytest.mark.parametrize(("text", "wanted"), [
    ("true", [1, 2, 3, 4]), ("false", []), ("TRUE and not False", [1, 2, 3, 4]),
    ("class = 'car'", [1]), ('class == "car"', [1]), ("'car' = class", [1]), ("class != 'car'", [2, 3]),
    ("class <> 'car'", [2, 3]), ("not class = 'car'", [2, 3, 4]), ("class in ('car', 'bus')", [1, 2]),
    ("class not in ('car', 'bus')", [3]), ("not (class in ('car', 'bus'))", [3, 4]),
    ("class = 'O''Neill \"x\"'", [3]), ('class = "O\'Neill ""x"""', [3]), ("class like 'b%'", [2]),
    ("class not like 'b%'", [1, 3]), ("class is null", [4]), ("class is not null", [1, 2, 3]),
    ("class < 'car'", [2, 3]), ("class between 'bus' and 'car'", [1, 2]),
    ("area > 100", [1, 3]), ("area>=200 and area<=900", [1, 3]), ("area between 200 and 201", [1]),
    ("area not between 200 and 201", [2, 3]), ("not area between 200 and 201", [2, 3, 4]), ("area = 2e2", [1]),
    ("w * h = area", [1, 2]), ("w*h/2 = 100", [1]), ("1 + 2 * 3 = 7", [1, 2, 3, 4]), ("(1 + 2) * 3 = 9", [1, 2, 3, 4]),
    ("10 - 3 - 2 = 5", [1, 2, 3, 4]), ("8 / 4 / 2 = 1", [1, 2, 3, 4]), ("2 * 3 + 1 = 7", [1, 2, 3, 4]),
    ("- x = 5", [3]), ("x = -5", [3]), ("x in (-5, 1 - 1)", [1, 3]), ("--x = -5", [3]), (".5 = score", [1]),
    ("x > -1000", [1, 3]), ("x is null", [2, 4]), ("x < 0 or x >= 0", [1, 3]), ("x + 1 = x + 1", [1, 3]),
    ("x != 7", [1, 3]), ("aspect = 0.5", [1]), ("aspect > 100", [2]), ("relative_area = 0.04", [1]),
    ("score = 0.5", [1]), ("score is null", [2, 4]), ("uncertainty < difficulty", [3]), ("truncation >= 0", [1, 3]),
    ("occlusion = 3", [2]), ("difficult", [1]), ("not difficult", [2, 3, 4]), ("difficult = true", [1]),
    ("iscrowd != false", [3]), ("iscrowd is null", []), ("difficult in (false)", [2, 3, 4]),
    ("source = 'human'", [1]), ("reviewed_by is not null", [1]), ("reviewed_by = 'ann'", [1]),
    ("file like 'a/%'", [1, 2, 3]), ("file = 'a/%.jpg'", [3]), ("split = 'train'", [1, 2]), ("split != 'train'", [4]),
    ("split is null", [3]), ("group = 'g1'", [3]), ("group is null", [1, 2]), ("width = 640 and height = 480", [4]),
    ("tag = 'night'", [1, 2]), ("tag != 'night'", [3, 4]), ("tag in ('rain', 'snow')", [1, 2]),
    ("tag not in ('rain')", [3, 4]), ("tag like 'n%t'", [1, 2]), ("tag not like 'n%'", [3, 4]), ("tag is null", [3, 4]),
    ("tag is not null", [1, 2]), ("tag = 'night' and tag = 'rain'", [1, 2]),
    ("class = 'car' or class = 'bus' and area > 100", [1]), ("(class = 'car' or class = 'bus') and area = 0", [2]),
    ("not difficult and not iscrowd", [2, 4]), ("not not difficult", [1]), ("NOT (w = 10 OR w = 30)", [4]),
    ("class\n=\t'car'", [1]), ("area>100 and(w=10)", [1]), ("CLASS IN ('car') AND Area > 1", [1]),
])
def test_what_an_expression_finds(database: duckdb.DuckDBPyConnection, text: str, wanted: list[int]) -> None:
    assert ids(database, text) == wanted


@pytest.mark.parametrize("text", [
    "'; DROP TABLE label; --' = file", "file = ''' OR 1=1 --'", 'file = "$v0"', "file = '$v1' or file = '?'",
    "file like '%' and file = '\\'", "group = 'ß 😀 \t\n'", "file = '/* */'"])
def test_texts_are_only_texts(database: duckdb.DuckDBPyConnection, text: str) -> None:
    assert ids(database, text) == []
    assert database.sql("SELECT count(*) FROM label").fetchall() == [(4,)]


@pytest.mark.parametrize(("text", "message"), [
    ("", "expected a name, a number or a quoted text, got 'the end', at character 1"),
    ("   ", "got 'the end'"), ("area", "expected a condition, got the number 'area', at character 1"),
    ("'car'", "expected a condition, got the text"), ("tag", "expected a condition, got the tag"),
    ("clas = 'car'", "unknown name 'clas' .*at character 1\n[\\s\\S]*did you mean 'class'"),
    ("area > 1 and sdfgkjh > 1", "unknown name 'sdfgkjh'.*at character 14\n"),
    ("class = 'caar'", "no class is called 'caar'.*at character 9\n[\\s\\S]*did you mean 'car'"),
    ("'caar' = class", "no class is called 'caar'"), ("class in ('car', 'Bus')", "no class is called 'Bus'"),
    ("class = 'zzzz'", "there are: bus, car"), ("split = 'trian'", "[\\s\\S]*did you mean 'train'"),
    ("class = car", "unknown name 'car' \\(texts are quoted"), ("class = 5", "expected a text, got the number '5'"),
    ("area = 'x'", "expected a number, got the text"), ("area + 'x' > 1", "expected a number"),
    ("area and w > 1", "expected a condition, got the number 'area'"), ("not area", "expected a condition"),
    ("1 < area < 5", "unexpected '<', at character 10"), ("area > 1 area > 2", "unexpected 'area'"),
    ("area >", "got 'the end', at character 7"), ("(area > 1", "expected '\\)', got 'the end'"),
    ("area > 1)", "unexpected"),
    ("class in 'car'", "expected '\\('"), ("class in ()", "expected a name"), ("class in ('car',)", "expected a name"),
    ("class in ('car'", "expected '\\)'"), ("class in (1)", "expected a text"), ("area like '1%'", "expected a text"),
    ("class like 5", "expected a text, got the number"), ("area between 'a' and 2", "expected a number"),
    ("class not", "expected 'in', 'like' or 'between' after 'not'"), ("area is 5", "expected 'null'"),
    ("area between 1", "expected 'and'"), ("tag > 'a'", "'tag' is a tag and has no order"),
    ("difficult > true", "has no order"), ("tag = 5", "expected a text"),
    ("tag between 'a' and 'b'", "expected a number, got the tag"), ("and", "got 'and'"), ("null", "got 'null'"),
    ("class = 'car", "this text does not end, at character 9"), ("area ; 1", "';' is not expected, at character 6"),
    ("area > 1 # x", "'#' is not expected"), ("area > 5x", "'5' is not expected, at character 8"),
    ("area > 1.2.3", "is not expected"), ("area > 1e999", "1e999 is too large"), ("area > ０", "is not expected"),
    ("file = 'a\0b'", "NUL"), ("file = '\ud800'", "half a character"), ("area > 1 " + " " * 100_000 + "x", "100,0"),
    ("(" * 41 + "true" + ")" * 41, "more than 40 parts within each other"), ("not " * 41 + "true", "more than 40"),
    ("-" * 41 + "1 = 1", "more than 40"), ("area in (" + "1, " * 500 + "1)", "1,00[0-9] words and signs; the limit"),
])
def test_what_is_no_expression_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        parse(text, CLASSES)


@pytest.mark.parametrize("text", [
    "(" * 40 + "true" + ")" * 40, "not " * 40 + "true", "-" * 40 + "1 = 1", " and ".join(["true"] * 500),
    " + ".join(["1"] * 499) + " > 0", "area in (" + "1, " * 490 + "200)", " or ".join(["area = 200"] * 250),
])
def test_long_ones_work(database: duckdb.DuckDBPyConnection, text: str) -> None:
    assert 1 in ids(database, text)


def test_where_it_is_wrong_is_shown() -> None:
    with pytest.raises(ParamsError, match="area > 1 and >>> clas = 'car' or true"):
        parse("area > 1 and clas = 'car' or true", CLASSES)


WORDS = st.sampled_from([*sorted(NAMES), *sorted(KEYWORDS), "'car'", '"bus"', "1", "2.5", "(", ")", ",", "=", "<=",
                         "!=", "+", "-", "*", "/", "'x", "é", ";", "--"])


@settings(deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(WORDS, max_size=14).map(" ".join)))
@example("class in ('car'" + "\x1c")
def test_any_text_is_compiled_or_refused(database: duckdb.DuckDBPyConnection, text: str) -> None:
    with contextlib.suppress(ParamsError):
        ids(database, text)
