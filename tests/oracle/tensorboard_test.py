"""Reads the event files of tensorboard_events with TensorBoard itself: scalars, hyperparameters
and how trials ended.

  tensorboard_test.py TENSORBOARD_EVENTS

Skips (77) where tensorboard is not installed; LOGLOG_TENSORBOARD_PYTHON says where it is, else the
folder that deploy/setup.sh --test makes.
"""
import math
import pathlib
import struct
import subprocess
import sys
import tempfile

import environment

environment.enter("tensorboard", "LOGLOG_TENSORBOARD_PYTHON")
try:
    from google.protobuf.unknown_fields import UnknownFieldSet
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2
except ImportError:
    print("skipped: no tensorboard; deploy/setup.sh --test installs it")
    sys.exit(77)


def as_float32(value):
    return struct.unpack("f", struct.pack("f", value))[0]


def check(folder, number):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    points = events.Scalars("loss/val")
    assert [point.step for point in points] == list(range(1001)), len(points)
    for point in points:
        if point.step == 500:
            assert math.isnan(point.value)
        else:
            assert point.value == as_float32(number + 1 / (1 + point.step)), point
    assert points[0].wall_time == 1.7e9 and points[-1].wall_time == 1.7e9 + 100
    plugin = events.summary_metadata
    read = {tag: plugin_data_pb2.HParamsPluginData.FromString(plugin[tag].plugin_data.content)
            for tag in ("_hparams_/session_start_info", "_hparams_/session_end_info")}
    start = read["_hparams_/session_start_info"].session_start_info
    assert start.hparams["init.gamma"].number_value == (0.5 if number == 17 else 1.0)
    assert start.hparams["train.schedule"].string_value == "wsd"
    assert start.hparams["seed"].number_value == number - 17
    assert start.group_name == f"cell{number}" and start.start_time_secs == 1.7e9
    assert len(UnknownFieldSet(start)) == 0
    end = read["_hparams_/session_end_info"].session_end_info
    assert end.status == 1 and end.end_time_secs == 1.7e9 + 100, end


def main():
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        subprocess.run([sys.argv[1], folder], check=True)
        for number in (17, 18):
            check(folder / f"trial-{number}", number)
            print(f"ok: trial {number}: 1001 scalars, hyperparameters, its end")
        # A flipped bit is noticed, so the checksums are looked at.
        file = next((folder / "trial-17").iterdir())
        contents = bytearray(file.read_bytes())
        contents[len(contents) // 2] ^= 1
        file.write_bytes(contents)
        try:
            damaged = EventAccumulator(str(folder / "trial-17"), size_guidance={"scalars": 0}).Reload()
            noticed = len(damaged.Scalars("loss/val")) < 1001
        except Exception:  # whatever the reader raises for it
            noticed = True
        print("ok: damage is noticed" if noticed else "FAILED: damage is not noticed")
        return 0 if noticed else 1


if __name__ == "__main__":
    sys.exit(main())
