# SPDX-License-Identifier: Apache-2.0
"""Medians, ratios, and the table."""

import statistics


def show(value):
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


class Row:
    """One line of the table: its samples by monitor, and the goal.

    goal: ("ratio", ">=", x) against the yardstick, or ("value", "<=", x) by itself; None if there is none.
    """

    def __init__(self, name, title, unit, goal):
        self.name, self.title, self.unit, self.goal = name, title, unit, goal
        self.samples = {}
        self.note = ""

    def add(self, monitor, value):
        self.samples.setdefault(monitor, []).append(value)

    def median(self, monitor):
        values = [v for v in self.samples.get(monitor, []) if v is not None]
        return statistics.median(values) if values else None

    def ratios(self, monitor, yardstick):
        """Those of pairs that were measured one after the other, so that the machine's mood counts less."""
        pairs = zip(self.samples.get(monitor, []), self.samples.get(yardstick, []))
        return [a / b for a, b in pairs if a is not None and b]

    def ratio(self, monitor, yardstick):
        ratios = self.ratios(monitor, yardstick)
        return statistics.median(ratios) if ratios else None

    def spread(self, monitor, yardstick):
        ratios = self.ratios(monitor, yardstick)
        return f"{min(ratios):.2f} to {max(ratios):.2f}" if len(ratios) > 1 else ""

    def verdict(self, ours, yardstick):
        if not self.goal:
            return ""
        kind, relation, limit = self.goal
        value = self.median(ours) if kind == "value" else self.ratio(ours, yardstick)
        if value is None:
            return "?"
        return "met" if (value >= limit if relation == ">=" else value <= limit) else "MISSED"

    def to_json(self, monitors):
        ours, yardstick = monitors[0], monitors[1] if len(monitors) > 1 else None
        return {"name": self.name, "title": self.title, "unit": self.unit, "goal": self.goal, "note": self.note,
                "median": {m: self.median(m) for m in monitors}, "samples": self.samples,
                "ratio": {m: self.ratio(ours, m) for m in monitors[1:]}, "verdict": self.verdict(ours, yardstick)}


def table(rows, monitors, names, spread=False):
    """Text; the first monitor is ours, the second the yardstick, others come with a ratio of their own; SPREAD adds
    the least and the greatest ratio of a pair with the yardstick."""
    ours, others = monitors[0], monitors[1:]
    head = ["metric", "", *(names[m] for m in monitors), *(f"/ {names[m]}" for m in others),
            *(["least, greatest"] if spread else []), "goal", ""]
    lines = [head]
    for row in rows:
        goal = f"{row.goal[1]} {show(row.goal[2])}{'x' if row.goal[0] == 'ratio' else ''}" if row.goal else ""
        ratios = [row.ratio(ours, m) for m in others]
        lines.append([row.title, row.unit, *(show(row.median(m)) for m in monitors),
                      *(f"{r:.2f}x" if r is not None else "-" for r in ratios),
                      *([row.spread(ours, others[0])] if spread else []), goal,
                      row.note or row.verdict(ours, others[0] if others else None)])
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) if i < 2 or i >= len(head) - 1 else cell.rjust(width)
                               for i, (cell, width) in enumerate(zip(line, widths))).rstrip() for line in lines)
