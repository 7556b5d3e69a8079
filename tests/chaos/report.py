"""What a chaos run did and what came of it, as text and as Markdown."""


def quantile(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def recovery_rows(stats):
    rows = []
    for kind in sorted(set(stats.faults) | set(stats.recovery)):
        seconds = stats.recovery.get(kind, [])
        times = [f"{quantile(seconds, 0.5):.2f}", f"{quantile(seconds, 0.99):.2f}"] if seconds else ["", ""]
        rows.append([kind, str(stats.faults.get(kind, 0)), *times])
    rows.append(["all", str(sum(stats.faults.values())), "", ""])
    return rows


def effects(stats):
    lost = stats.attempts["LOST"]
    return [
        ["sweeps, trials", f"{stats.sweeps}, {stats.trials}"],
        ["points that count", f"{stats.points:.0f}"],
        ["attempts", str(sum(stats.attempts.values()))],
        ["attempts by their end", ", ".join(f"{state.lower()} {n}" for state, n in stats.attempts.most_common())],
        ["attempts lost", str(lost)],
        ["tasks that lost or failed an attempt; all of them recovered", str(stats.tasks_hurt)],
        ["acknowledgements seen by workers; all of them in the store", str(stats.acknowledged)],
        ["starts refused while a disk was full or read-only", str(sum(stats.refusals.values()))],
        ["processes started with a wall clock an hour off", str(stats.wrong_clocks)],
        ["commands of users repeated until they were answered", str(stats.unanswered)],
        ["sweeps retried and workers released by the operator", f"{stats.retried}, {stats.released}"],
        ["trainers of one task seen beside each other while a daemon was stopped", str(stats.overlaps_excused)],
    ]


def table(header, rows):
    """Markdown that is readable as it is."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in [header, *rows]]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def text(stats, names):
    """`names`: the failpoints that had to be reached."""
    return "\n\n".join([
        table(["fault", "times", "median s", "p99 s"], recovery_rows(stats)),
        table(["effect", ""], effects(stats)),
        table(["failpoint", "killed there"], [[name, str(stats.failpoints[name])] for name in names]),
    ])
