# SPDX-License-Identifier: Apache-2.0
"""The results of runs, as scopemon-performance(7) has them."""

import json
import re
import statistics

from bench.report import show
from bench.stage import TOP

PAGE = f"{TOP}/man/scopemon-performance.7"
BEGIN, END = '.\\" begin of what "tests/bench --manual" writes\n', '.\\" end of it\n'


def middle(values):
    known = [v for v in values if v is not None]
    return statistics.median(known) if known else None


def found(rows):
    """(median of ours, of the other's, of the ratios, their least and greatest) of a row in several runs."""
    both = [list(row["median"].values())[:2] for row in rows]
    ratios = [r for r in (next(iter(row["ratio"].values()), None) for row in rows) if r is not None]
    return middle(b[0] for b in both), middle(b[1] for b in both), ratios


def verdict(goal, value, ratio):
    if not goal:
        return ""
    kind, relation, limit = goal
    result = value if kind == "value" else ratio
    met = result is not None and (result >= limit if relation == ">=" else result <= limit)
    return f"; goal {show(limit)}{'' if met else ', missed'}"


def item(title, rows):
    ours, others, ratios = found(rows)
    if ours is None:
        return ""
    unit = rows[0]["unit"]
    text = f"scopemon {show(ours)}, conmon {show(others)}"
    if ratios and (rows[0]["goal"] or ["ratio"])[0] == "ratio":
        text += f"; ratio {statistics.median(ratios):.2f}"
        if len(ratios) > 1:
            text += f" ({min(ratios):.2f} to {max(ratios):.2f})"
    text += verdict(rows[0]["goal"], ours, statistics.median(ratios) if ratios else None)
    return f".It {title}{', ' + unit if unit else ''}\n{text}.\n"


def block(results):
    """mdoc of these runs; a row that a run has left out is that of the others."""
    rows, heading = {}, ""
    for result in results:
        for row in result["rows"]:
            rows.setdefault(row["name"], []).append(row)
    dates = sorted({r["date"].split()[0] for r in results})
    text = (f"Measured on {' and '.join(dates)} in {len(results)} runs, Linux {results[0]['kernel']}, "
            f"{results[0]['cpus']} CPUs.\nWhat is in parentheses is the range of the ratios of the runs.\n"
            ".Bl -tag -width Ds\n")
    for of in rows.values():
        title = of[0]["title"]
        heading = heading if title.startswith(" ") else title
        text += item(f"{heading.split(':')[0]}: {title.strip()}" if title.startswith(" ") else title, of)
    return text + ".El\n"


def write(paths):
    results = []
    for path in paths:
        with open(path, encoding="utf-8") as f:
            results.append(json.load(f))
    with open(PAGE, encoding="utf-8") as f:
        page = f.read()
    page, n = re.subn(f"{re.escape(BEGIN)}.*{re.escape(END)}", lambda _: BEGIN + block(results) + END, page, flags=re.DOTALL)
    if n != 1:
        raise ValueError(f"{PAGE} has no place for results")
    with open(PAGE, "w", encoding="utf-8") as f:
        f.write(page)
