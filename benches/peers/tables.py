"""The tables of the runs, in Markdown: ratios first."""

from statistics import median

REFERENCE = "frameloop"
PLAIN, COMPRESSED = SECTIONS = "peers", "peers, compressed"


class NoSection(Exception):
    """The README has no place for the tables."""


def ratios(runs, figure):
    """By load and server: the ratios to the reference within each round. More is better."""
    by_run = {(run["round"], run["load"], run["server"]): run for run in runs if not run["error"]}
    found = {}
    for (number, load, server), run in by_run.items():
        reference = by_run.get((number, load, REFERENCE))
        if reference:
            found.setdefault((load, server), []).append(figure(run) / figure(reference))
    return found


def work(runs):
    """Of work per CPU second."""
    return ratios(runs, lambda run: 1 / run["cpu_ns"])


def client_parts(runs):
    """By load and server: the CPU time of `frameloop bench` in relation to that of the server."""
    found = {}
    for run in runs:
        if not run["error"]:
            found.setdefault((run["load"], run["server"]), []).append(run["client_cpu_ns"] / run["cpu_ns"])
    return found


def names(runs):
    """The loads and the servers, in the order of the runs."""
    return list(dict.fromkeys(run["load"] for run in runs)), list(dict.fromkeys(run["server"] for run in runs))


def markdown(header, runs):
    loads, servers = names(runs)

    # In an open loop the rate is given.
    open_loops = {run["load"] for run in runs if run.get("offered_rate")}

    def table(found, unit, with_range, left_out=()):
        lines = [f"| | {' | '.join(servers)} |", "|---|" + "---|" * len(servers)]
        for load in loads:
            if load in left_out:
                continue
            cells = [cell(found.get((load, server)), unit(load, server), with_range) for server in servers]
            lines.append(f"| {load} | {' | '.join(cells)} |")
        return "\n".join(lines)

    def figures(load, server, name):
        return [run[name] for run in runs if (run["load"], run["server"]) == (load, server) and not run["error"]]

    def cpu_time(load, server):
        times = figures(load, server, "cpu_ns") if server == REFERENCE else []
        return duration(median(times)) if times else None

    def rate(load, server):
        rates = figures(load, server, "rate")
        return f"{quantity(median(rates))}/s" if rates else None

    def latency(load, server):
        latencies = figures(load, server, "p99_9_us") if server == REFERENCE else []
        return duration(median(latencies) * 1e3) if latencies else None

    def client_time(load, server):
        times = figures(load, server, "client_cpu_ns")
        return duration(median(times)) if times else None

    return f"""\
**Work per CPU second**, frameloop = 1.00 (in brackets its CPU time per message); more is better. The median of
{plural(header["rounds"], "round")}, with the least and the most:

{table(work(runs), cpu_time, True)}

**Messages per second**, in the same way, with a core for the server and one for the load: a ratio near 1 can also mean
that the load was the limit.

{table(ratios(runs, lambda run: run["rate"]), rate, False, open_loops)}

**Latency of one message in a thousand** (p99.9), in the same way: more is a shorter one. Here the machine counts most.
Where messages are due at a rate, the same for each server, it counts from when they were due.

{table(ratios(runs, lambda run: 1 / run["p99_9_us"]), latency, True)}

**CPU time of the load** per message, as a part of that of the server that it drives: above 1 the load is the slower one.

{table(client_parts(runs), client_time, False)}

Near 1 neither waits for the other. Where messages are due at a rate both do, and it costs most to wake the other. To connect
takes more than to accept: over loopback the system does the work of both sides in the time of the one who connects. There
the load limits the messages per second, but not the work per CPU second.

{machine_and_date(header)}; {plural(header["rounds"], "round")} of {header["seconds"]:g} s.
Repeat it with `benches/peers/run --readme`.
{"; ".join(f"{server} {version}" for server, version in header["versions"].items())}.
A message of a chat (128 B) is one delivery. Echoes run over 64 connections, of 16 KiB over 16, of 1 MiB over 4.
""" + "".join(f"{server} is left out: {reason}.\n" for server, reason in header["left_out"].items())


def compressed(header, runs):
    """The loads with compressed messages: for each its figures, with a dash for who cannot."""
    loads, able = names(runs)
    servers = list(header["versions"])

    def middle(load, server, figure):
        values = [figure(run) for run in runs if (run["load"], run["server"]) == (load, server) and not run["error"]]
        return median(values) if values else None

    def row(name, found, unit):
        cells = [cell(found(server), unit(server), True) if server in able else "-" for server in servers]
        return f"| {name} | {' | '.join(cells)} |"

    lines = [f"| | {' | '.join(servers)} |", "|---|" + "---|" * len(servers)]
    for load in loads:
        for name, figure, unit in (
            ("work per CPU second", lambda run: 1 / run["cpu_ns"], lambda ratio: duration(1 / ratio)),
            ("messages per second", lambda run: run["rate"], lambda rate: f"{quantity(rate)}/s"),
        ):
            found = ratios(runs, figure)

            def in_full(server):
                value = middle(load, server, figure) if server == REFERENCE else None
                return unit(value) if value else None

            lines.append(row(f"{load}: {name}", lambda server: found.get((load, server)), in_full))
        parts = [middle(load, server, lambda run: run["reply_bytes"] / run["size"]) for server in servers]
        cells = ["-" if part is None else f"{part:.0%}" for part in parts]
        lines.append(f"| {load}: payload of a reply | {' | '.join(cells)} |")
    table = "\n".join(lines)
    return f"""\
**Compressed messages** (permessage-deflate, each message by itself in both directions), in the same way; and what is left of
the payload of a reply. A dash is who does not compress; frameloop and ws send what is shorter than 1 KiB as it is:

{table}

frameloop is built with the feature and runs `frameloop echo --compress shared`; ws compresses with the levels that its README shows,
on further threads of the same core; bun with `perMessageDeflate: true`. The load compresses its messages once, with the same
bytes for all, and decompresses a reply unless it is byte for byte one that it has checked.
512 B and 4 KiB over 64 connections with 4 in flight, 64 KiB over 16 with 1.

{machine_and_date(header)}; {plural(header["rounds"], "round")} of {header["seconds"]:g} s.
Repeat it with `benches/peers/run --compressed --readme`.
"""


def machine_and_date(header):
    return f"{header['machine']}; {header['date']}"


def cell(found, unit, with_range):
    """A ratio; of the reference what it stands for."""
    if not found:
        return "failed"
    text = f"**{median(found):.2f}**"
    if unit:
        return f"{text} ({unit})"
    return f"{text} ({min(found):.2f} - {max(found):.2f})" if with_range else text


def plural(number, noun):
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def duration(ns):
    """With three digits."""
    for unit, length in (("ms", 1e6), ("µs", 1e3)):
        if ns >= length:
            return f"{digits(ns / length)} {unit}"
    return f"{digits(ns)} ns"


def quantity(number):
    """With three digits."""
    for unit, size in ((" M", 1e6), (" k", 1e3)):
        if number >= size:
            return digits(number / size) + unit
    return digits(number)


def digits(number):
    return f"{number:.0f}" if number >= 100 else f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def replace_section(path, section, text):
    """Writes the text between the two marks of a section; with `None` only looks whether they are there."""
    first, last = f"<!-- {section}: begin -->", f"<!-- {section}: end -->"
    before, begin, rest = path.read_text().partition(f"{first}\n")
    _, end, after = rest.partition(f"{last}\n")
    if not begin or not end:
        raise NoSection(f"{path.name}: the lines {first} and {last} are missing")
    if text is not None:
        path.write_text(f"{before}{begin}\n{text}\n{end}{after}")
