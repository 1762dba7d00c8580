"""`dlc check --fix`, `--format sarif`, and `dlc show` of a model with errors."""

from __future__ import annotations

from typing import Any

from cli_shell import Shell

MISTAKEN = """\
model Net(n = 4):
    input X : (n, m)
    parm W : (3, n) he
    Z = W @ X**2
    if n<3
        k = .5
    else
        k = 2X
    loss sum(Z, over = all
    output Z
"""
MENDED = """\
model Net(n = 4):
    input X : (n, m)
    param W : (3, n) ~ he
    Z = W @ X^2
    if n < 3:
        k = 0.5
    else:
        k = 2 * X
    loss sum(Z, over = all
    output Z
"""
PRODUCT = """\
model Net(n = [4, 3]):
    input X : (n[0], m)
    param W[1] : (n[0], n[1]) ~ he
    Z[1] = W[1] @ X
    output Z[1]
"""


def test_sure_fixes_are_applied(dlc: Shell) -> None:
    path = dlc.write("net.dl", MISTAKEN)
    done = dlc("check", "--fix", "net.dl")
    assert done.code == 1  # a bracket is still open: where it closes is not sure
    assert path.read_text() == MENDED
    assert done.out.count("fixed S") == 8
    assert "fixed S019 at net.dl:3:5: `parm` is not a statement word (did you mean param?)" in done.out
    assert "error[S003]" in done.out
    assert "1 error" in done.out


def test_a_product_is_mended(dlc: Shell) -> None:
    path = dlc.write("net.dl", PRODUCT)
    assert dlc("check", "net.dl").code == 1
    assert dlc("check", "--fix", "net.dl").code == 0
    assert "param W[1] : (n[1], n[0]) ~ he" in path.read_text()


RECURRENCE = """\
model Net(n_a = 4):
    dim T
    input x : (2, m, T)
    param W_aa : (n_a, 1) ~ he
    param W_ax : (n_a, 2) ~ he
    a<0> : (n_a, m) = 0
    scan t in 1..T:
        a<t> = tanh(W_aa @ a<t-1> + W_ax @ x<t>)
    output a
"""


def test_a_recurrence_is_mended_without_broadcasting(dlc: Shell) -> None:
    path = dlc.write("net.dl", RECURRENCE)
    assert dlc("check", "--fix", "net.dl").code == 0
    assert path.read_text() == RECURRENCE.replace("W_aa : (n_a, 1)", "W_aa : (n_a, n_a)")


def test_a_written_one_is_not_swapped_where_it_would_broadcast(dlc: Shell) -> None:
    """Beside W_ax @ x<t> of 4 rows a single row would be proved, and mean another network."""
    once = RECURRENCE.replace("W_aa @ a<t-1>", "W_aa @ (2 * a<t-1>)")
    path = dlc.write("net.dl", once)
    done = dlc("check", "--fix", "net.dl")
    assert (done.code, path.read_text()) == (1, once)
    assert "for one row write (1, n_a) at 4:18" in done.out


def test_a_single_row_is_not_widened_in_a_recurrence(dlc: Shell) -> None:
    once = RECURRENCE.replace("W_aa : (n_a, 1)", "W_aa : (1, 1)")
    path = dlc.write("net.dl", once)
    assert dlc("check", "--fix", "net.dl").code == 1
    assert path.read_text() == once


def test_what_is_swapped_in_a_recurrence_is_turned(dlc: Shell) -> None:
    """Two products in the line of a step: the first has sizes of its own, and neither is 1."""
    once = RECURRENCE.replace("param W_aa : (n_a, 1) ~ he", "param V : (n_a, 3) ~ he\n    param W_aa : (n_a, 3) ~ he")
    path = dlc.write("net.dl", once.replace("W_aa @ a<t-1>", "V @ (W_aa @ a<t-1>)"))
    assert dlc("check", "--fix", "net.dl").code == 0
    assert "param W_aa : (3, n_a) ~ he" in path.read_text()


def test_a_fix_that_makes_more_errors_is_taken_back(dlc: Shell) -> None:
    """Behind the syntax error stand two lines that use what it defines, and do so wrongly."""
    text = "model Net:\n    input X : (4, m)\n    Z = X**1\n    output A = Z @ Z\n"
    hidden = "model Net:\n    input X : (4, m)\n    Z = 2X\n    V = Z Z\n    output A = V\n"
    path = dlc.write("net.dl", text)
    dlc("check", "--fix", "net.dl")
    assert "X^1" in path.read_text()  # one error went, the other was there before
    path = dlc.write("net.dl", hidden)
    dlc("check", "--fix", "net.dl")
    assert "2 * X" in path.read_text()
    more = "model Net:\n    input X : (4, m)\n    parm W : (4, 5) ~ he\n    A = W @ X\n    B = W @ W\n    output X\n"
    path = dlc.write("net.dl", more)
    before = dlc("check", "--format", "json", "net.dl").json
    done = dlc("check", "--fix", "net.dl")
    after = dlc("check", "--format", "json", "net.dl").json
    assert len([d for d in after if d["severity"] == "error"]) <= len([d for d in before if d["severity"] == "error"])
    assert path.read_text() == more
    assert "the text was put back" in done.out


def test_without_fixes_the_file_is_not_touched(dlc: Shell) -> None:
    path = dlc.write("net.dl", "model Net:\n    input X : (4, m)\n    output Z = X @ X\n")
    stamp = path.stat().st_mtime_ns
    assert dlc("check", "--fix", "net.dl").code == 1
    assert path.stat().st_mtime_ns == stamp


def test_sarif(dlc: Shell) -> None:
    dlc.write("net.dl", PRODUCT)
    done = dlc("check", "--format", "sarif", "net.dl")
    assert done.code == 1
    log = done.json
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "dlc"
    assert {rule["id"] for rule in driver["rules"]} == {result["ruleId"] for result in run["results"]}
    for rule in driver["rules"]:
        assert rule["shortDescription"]["text"]
        assert "The repair:" in rule["help"]["text"]
        assert rule["defaultConfiguration"]["level"] in ("error", "warning", "note")
    for result in run["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        assert result["message"]["text"]
        for location in [*result["locations"], *result.get("relatedLocations", [])]:
            regions(location["physicalLocation"]["region"])
            assert location["physicalLocation"]["artifactLocation"]["uri"] == "net.dl"
    (product,) = (result for result in run["results"] if result["ruleId"] == "D101")
    assert product["locations"][0]["physicalLocation"]["region"] == {
        "startLine": 4, "startColumn": 12, "endLine": 4, "endColumn": 20,
    }  # fmt: skip
    (change,) = product["fixes"][0]["artifactChanges"]
    assert change["artifactLocation"] == {"uri": "net.dl"}
    assert change["replacements"][0]["insertedContent"] == {"text": "(n[1], n[0])"}
    regions(change["replacements"][0]["deletedRegion"])


def regions(region: dict[str, Any]) -> None:
    assert set(region) == {"startLine", "startColumn", "endLine", "endColumn"}
    assert 1 <= region["startLine"] <= region["endLine"]
    assert region["startColumn"] >= 1
    assert (region["startLine"], region["startColumn"]) <= (region["endLine"], region["endColumn"])


def test_sarif_of_a_sound_file_has_no_results(dlc: Shell) -> None:
    dlc.write("net.dl", "model Net:\n    input  X : (4, m)\n    output Y = X * 2\n")
    done = dlc("check", "--format", "sarif", "net.dl")
    assert done.code == 0
    assert done.json["runs"][0]["results"] == []


def test_show_prints_the_table_up_to_the_failure(dlc: Shell) -> None:
    dlc.write("net.dl", "model Net:\n    input X : (4, m)\n    H = X -> Dense(3)\n    Z = H @ H\n    output Z\n")
    done = dlc("show", "net.dl")
    assert done.code == 1
    assert "dense[1].W" in done.out
    assert "(3, m)" in done.out
    assert "the rest is not known" in done.out
    assert "error[D101]" in done.err
