"""T27: LibTorch brings a protobuf of its own, which must never share a process with ours."""

import re
import subprocess
import unittest

import harness

TORCH = re.compile(r"^lib(torch|c10)")
PROTOBUF = re.compile(r"^lib(protobuf|grpc|absl_)")


def libraries(program):
    """Names of all that the loader maps for it."""
    out = subprocess.run(["ldd", harness.BIN / program], capture_output=True, text=True, check=True).stdout
    assert "not found" not in out, out
    return [line.split()[0].rsplit("/", 1)[-1] for line in out.splitlines()]


class LibrariesTest(unittest.TestCase):
    def test_T27_control_plane_maps_no_torch(self):
        for program in ("loglog", "loglog-coordinator", "loglog-worker"):
            names = libraries(program)
            self.assertTrue(any(PROTOBUF.match(name) for name in names), names)
            self.assertEqual([name for name in names if TORCH.match(name)], [], program)

    def test_T27_trainer_maps_no_protobuf_of_ours(self):
        names = libraries("loglog-trainer")
        self.assertTrue(any(TORCH.match(name) for name in names), names)
        self.assertEqual([name for name in names if PROTOBUF.match(name)], [])


if __name__ == "__main__":
    unittest.main()
