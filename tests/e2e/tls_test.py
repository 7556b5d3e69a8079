"""TLS between real processes: the CLI and a worker that trust the coordinator's certificate
are served, those that do not are told what to give."""

import pathlib
import subprocess
import tempfile
import unittest

import harness


class Tls(unittest.TestCase):
    def test_only_those_who_trust_the_certificate_are_served(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            cert, key = folder / "cert.pem", folder / "key.pem"
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days",
                            "2", "-subj", "/CN=127.0.0.1", "-addext",
                            "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
                           check=True, capture_output=True)
            with harness.Cluster(folder, client_env={"LOGLOG_TLS_CA": cert},
                                 coordinator_flags=("--tls-cert", cert, "--tls-key", key)) as cluster:
                cluster.start_coordinator()
                cluster.start_worker("secure")
                harness.wait_until(
                    "the worker to be live over TLS",
                    lambda: any(row["state"] == "live"
                                for row in cluster.cli_json("worker", "list")["workers"]))
                del cluster.environment["LOGLOG_TLS_CA"]
                plain = cluster.cli("sweep", "list", "--rpc-timeout", "2s", check=5)
                self.assertIn("--tls-ca", plain.stderr)
                wrong = cluster.cli("sweep", "list", "--tls-ca", key, check=2)
                self.assertIn(str(key), wrong.stderr)


if __name__ == "__main__":
    unittest.main()
