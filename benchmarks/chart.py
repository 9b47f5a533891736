#!/usr/bin/env python3
"""Draws what compare.py measured: chart.py FIGURES.json CHART.svg

One group of bars a workload, one bar an implementation, as long as the time it
takes in units of ours.
"""
import html
import json
import pathlib
import sys

# Key of a row, name, colour. The first is the unit.
series = [("ours_ms", "ours", "#2f6f4f"), ("monarchrt_ms", "MonarchRT, Triton", "#c9803a"),
          ("cudnn_ms", "cuDNN, dense", "#7a8fb5"), ("flash_ms", "FlashAttention-2, dense", "#b9c4d9")]
label, scale, bar, gap, top = 230, 60, 16, 14, 40


def chart(rows):
    """The SVG text for rows of {"workload", "ours": {"median_ms"}, "..._ms"}."""
    out, y, widest = [], top, 1.0
    for row in rows:
        ms = {"ours_ms": row["ours"]["median_ms"], **row}
        for key, _, colour in series:
            if key not in ms:
                continue
            times = ms[key] / ms["ours_ms"]
            widest = max(widest, times)
            out.append(f'<rect x="{label}" y="{y}" width="{times * scale:.1f}" height="{bar - 2}" fill="{colour}"/>'
                       f'<text x="{label + times * scale + 6:.1f}" y="{y + bar - 5}">{ms[key]:.3g} ms, {times:.2f}</text>')
            if key == "ours_ms":
                out.append(f'<text x="{label - 8}" y="{y + bar - 5}" text-anchor="end">{html.escape(row["workload"])}</text>')
            y += bar
        y += gap
    legend, x = [], label
    for key, name, colour in series:
        if key == "ours_ms" or any(key in row for row in rows):
            legend.append(f'<rect x="{x}" y="12" width="10" height="10" fill="{colour}"/><text x="{x + 14}" y="21">{name}</text>')
            x += 34 + 7 * len(name)
    width = max(x, label + widest * scale + 120)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{y}" font-family="sans-serif" font-size="12">\n'
            + "\n".join(['<rect width="100%" height="100%" fill="white"/>'] + legend + out) + "\n</svg>\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip())
    figures = json.loads(pathlib.Path(sys.argv[1]).read_text())
    pathlib.Path(sys.argv[2]).write_text(chart(figures))
