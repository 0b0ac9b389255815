"""The figure: a group of bars for each load, a bar for each server. SVG by hand, for light and dark pages."""

from html import escape
from statistics import median

import tables

# Of the page, of a row of groups, and of the bars in it.
LEFT, TOP, COLUMNS, ROW, BARS, BOTTOM = 44, 72, 4, 210, 160, 24
BAR, GAP, GROUP_GAP = 26, 3, 26

STYLE = """\
text{font:12px system-ui,sans-serif;fill:#444}.title{font-size:15px;font-weight:600;fill:#111}.small{font-size:10px}
.page{fill:#fff}.grid{stroke:#ddd}.one{stroke:#777;stroke-dasharray:4 3}.range{stroke:#111;stroke-opacity:.55}
.middle{text-anchor:middle}.end{text-anchor:end}
.s0{fill:#0b62c4}.s1{fill:#c2570c}.s2{fill:#e0a458}.s3{fill:#2e8b57}.s4{fill:#8a5fbf}.s5{fill:#8c96a0}
@media(prefers-color-scheme:dark){text{fill:#bbb}.title{fill:#eee}.page{fill:#15181c}.grid{stroke:#33383e}
.one{stroke:#999}.range{stroke:#fff}
.s0{fill:#4a9df8}.s1{fill:#e07a35}.s2{fill:#f0c27f}.s3{fill:#52b788}.s4{fill:#b08ae0}.s5{fill:#768390}}
"""


def draw(header, runs):
    found = tables.work(runs)
    loads, servers = tables.names(runs)
    group = len(servers) * (BAR + GAP) - GAP
    width = LEFT + COLUMNS * (group + GROUP_GAP) + GROUP_GAP
    rows = [loads[first : first + COLUMNS] for first in range(0, len(loads), COLUMNS)]
    height = TOP + ROW * len(rows) + BOTTOM
    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" aria-label="Work per CPU second of each server, relative to frameloop">',
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{width}" height="{height}"/>',
        f'<text class="title" x="{LEFT}" y="26">Work per CPU second, frameloop = 1 (more is better)</text>',
        *legend(servers),
    ]
    for number, row in enumerate(rows):
        svg += draw_row(TOP + ROW * number, row, servers, found, group)
    small = f"{tables.machine_and_date(header)}; median of {tables.plural(header['rounds'], 'round')}, least and most"
    svg.append(f'<text class="small" x="{LEFT}" y="{height - 12}">{escape(small)}</text>')
    return "\n".join([*svg, "</svg>"]) + "\n"


def draw_row(top, loads, servers, found, group):
    """Groups of bars beside each other, on a scale that fits all loads."""
    most = max((max(values) for values in found.values()), default=1)
    step = next(step for step in (0.5, 1, 2, 5, 10, 100, 1e9) if most / step <= 5)
    end = max(step * -(-most // step), 1)
    right = LEFT + len(loads) * (group + GROUP_GAP)
    bottom = top + BARS

    def y(ratio):
        return bottom - BARS * ratio / end

    for number in range(round(end / step) + 1):
        at = y(number * step)
        yield f'<path class="grid" d="M{LEFT} {at:.1f}H{right}"/>'
        yield f'<text class="end" x="{LEFT - 6}" y="{at + 4:.1f}">{number * step:g}</text>'
    yield f'<path class="one" d="M{LEFT} {y(1):.1f}H{right}"/>'
    for place, load in enumerate(loads):
        x = LEFT + GROUP_GAP / 2 + place * (group + GROUP_GAP)
        yield f'<text class="middle" x="{x + group / 2:.1f}" y="{bottom + 18}">{escape(load)}</text>'
        for number, server in enumerate(servers):
            name = f"{server}, {load}"
            yield from bar(x + number * (BAR + GAP), number, name, found.get((load, server)), y)


def legend(servers):
    x = LEFT
    for number, server in enumerate(servers):
        yield f'<rect class="s{number}" x="{x}" y="40" width="11" height="11" rx="2"/>'
        yield f'<text x="{x + 16}" y="50">{escape(server)}</text>'
        x += 44 + 6 * len(server)


def bar(x, number, name, values, y):
    """A bar, its figure above it, and a line from the least to the most; none where all runs failed."""
    if not values:
        return
    middle = x + BAR / 2
    ratio, least, most = median(values), min(values), max(values)
    yield f'<rect class="s{number}" x="{x}" y="{y(ratio):.1f}" width="{BAR}" height="{y(0) - y(ratio):.1f}">'
    yield f"<title>{escape(name)}: {ratio:.2f} ({least:.2f} - {most:.2f})</title></rect>"
    yield f'<path class="range" d="M{middle} {y(least):.1f}V{y(most):.1f}"/>'
    yield f'<text class="small middle" x="{middle}" y="{y(most) - 4:.1f}">{ratio:.2f}</text>'
