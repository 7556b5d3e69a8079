"""What a store says of its trials, in a form in which two stores can be compared to the
last bit: keyed by the content of a trial, without times, attempts and workers."""

import hashlib
import pathlib
import struct

from harness import select


def bits(value):
    """A float as its bits; anything else as it is."""
    return struct.pack("<d", value).hex() if isinstance(value, float) else value


def curves(store):
    """Every point that counts."""
    rows = select(store, "SELECT trial_sha256, metric, step, tokens, value FROM v_points "
                         "ORDER BY trial_sha256, metric, step")
    keys = [row[:3] for row in rows]
    assert len(keys) == len(set(keys)), "a point is stored twice"
    return {row[:3]: (row[3], bits(row[4])) for row in rows}


def finals(store):
    return {row[0]: tuple(map(bits, row[1:])) for row in select(
        store, "SELECT DISTINCT trial_sha256, state, final_loss, diverged_step, summary_json, config_json, seed, "
               "data_sha256 FROM v_trials")}


def sweeps(store):
    """What the sweeps hold and how they stand."""
    rows = select(store, "SELECT sweep, state, total, done, diverged, failed, cancelled, reused FROM v_sweeps "
                         "ORDER BY sweep")
    trials = select(store, "SELECT sweep, number, trial_sha256, arm, axes_json FROM v_trials "
                           "ORDER BY sweep, number")
    return {**{row[0]: row[1:] for row in rows}, **{row[:2]: row[2:] for row in trials}}


def newest_fits(store):
    """Of each fit of each sweep the one made last."""
    return {row[:5]: tuple(map(bits, row[5:])) for row in select(
        store, "SELECT sweep, kind, axis, arm, arm_b, verdict, parameter, estimate, low, high, p_value, n_trials, "
               "inputs_sha256 FROM v_fits ORDER BY fit_id")}


def final_checkpoints(store):
    """Digest of the last checkpoint of each trial: its files' names and bytes."""
    digests = {}
    rows = select(store, "SELECT trial_sha256, step, path FROM v_checkpoints "
                         "ORDER BY trial_sha256, step, checkpoint_id")
    for sha, step, path in rows:
        folder = pathlib.Path(path)
        if not folder.is_dir():
            continue
        digest = hashlib.sha256()
        for file in sorted(folder.iterdir()):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
        digests[sha] = (step, digest.hexdigest())
    return digests


def differences(actual, expected, limit=5):
    """Lines that name what differs between two dictionaries."""
    lines = []
    for key in sorted(set(actual) | set(expected), key=str):
        if actual.get(key) != expected.get(key):
            lines.append(f"{key}: {actual.get(key)} instead of {expected.get(key)}")
    return lines[:limit] + ([f"... and {len(lines) - limit} more"] if len(lines) > limit else [])
