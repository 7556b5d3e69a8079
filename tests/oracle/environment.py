"""The Python environments that deploy/setup.sh --test makes for these tests."""
import os
import pathlib
import sys


def enter(name, variable):
    """Goes on in the Python of the environment `name`, or in that which the environment variable
    says, where it is there; the caller's imports tell whether it has what they need."""
    home = pathlib.Path(os.environ.get("LOGLOG_CACHE", pathlib.Path.home() / ".cache/loglog"))
    python = os.environ.get(variable, str(home / name / "bin/python"))
    if sys.executable != python and os.path.exists(python) and "LOGLOG_ORACLE_RUNS" not in os.environ:
        os.environ["LOGLOG_ORACLE_RUNS"] = "1"
        os.execv(python, [python, *sys.argv])
