"""TLS, certificates of clients, tokens and their replacement between real processes: who shows
what is asked for is served, who does not is told what to give; nothing is started anew."""

import os
import pathlib
import re
import stat
import subprocess
import tempfile
import unittest

import harness

MAKE_CERTS = harness.ROOT / "deploy/make-certs"


def make_certs(folder, *arguments):
    return subprocess.run([MAKE_CERTS, folder, *arguments], check=True, capture_output=True,
                          text=True).stdout


def live(cluster):
    return {row["name"].split("/")[1] for row in cluster.cli_json("worker", "list")["workers"]
            if row["state"] == "live"}


class MakeCerts(unittest.TestCase):
    def test_made_once_renewed_on_request_and_for_their_owner_only(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name) / "certs"
            arguments = ("--server", "first-host", "--server", "10.0.0.1", "--worker", "gpu-1",
                         "--client", "alice")
            self.assertEqual(make_certs(folder, *arguments).count("made "), 4)
            before = {path.name: path.read_bytes() for path in folder.iterdir()}
            self.assertEqual(sorted(before), [
                "ca.key", "ca.pem", "client-alice.key", "client-alice.pem", "server.key",
                "server.pem", "worker-gpu-1.key", "worker-gpu-1.pem"])
            self.assertEqual(stat.S_IMODE(folder.stat().st_mode), 0o700)
            for path in folder.iterdir():
                self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600, path)
            subprocess.run(["openssl", "verify", "-CAfile", folder / "ca.pem",
                            *sorted(folder.glob("*-*.pem")), folder / "server.pem"],
                           check=True, capture_output=True)
            text = subprocess.run(["openssl", "x509", "-in", folder / "server.pem", "-noout",
                                   "-ext", "subjectAltName"], check=True, capture_output=True,
                                  text=True).stdout
            for entry in ("DNS:first-host", "IP Address:10.0.0.1", "DNS:localhost"):
                self.assertIn(entry, text)
            self.assertNotIn("made ", make_certs(folder, *arguments))
            self.assertEqual(before, {path.name: path.read_bytes() for path in folder.iterdir()})
            make_certs(folder, "--renew", "--worker", "gpu-1")
            after = {path.name: path.read_bytes() for path in folder.iterdir()}
            changed = {name for name in before if before[name] != after[name]}
            self.assertEqual(changed, {"worker-gpu-1.key", "worker-gpu-1.pem"})
            for bad in (["--worker", "GPU"], ["--days", "0"], ["--no-such-flag"], ["--worker"]):
                refused = subprocess.run([MAKE_CERTS, folder, *bad], capture_output=True)
                self.assertNotEqual(refused.returncode, 0, bad)


class Tls(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.scratch.name)
        self.certs = self.folder / "certs"
        make_certs(self.certs, "--server", "127.0.0.1", "--worker", "gpu-1", "--worker", "gpu-2",
                   "--client", "alice")
        self.server = ("--tls-cert", self.certs / "server.pem", "--tls-key",
                       self.certs / "server.key")

    def tearDown(self):
        self.scratch.cleanup()

    def cluster(self, *flags, **environment):
        env = {"LOGLOG_TLS_CA": str(self.certs / "ca.pem"), **environment}
        return harness.Cluster(self.folder / "cluster", client_env=env, lease="4s",
                               coordinator_flags=(*self.server, *flags))

    def certificate(self, name):
        return {"LOGLOG_TLS_CERT": str(self.certs / f"{name}.pem"),
                "LOGLOG_TLS_KEY": str(self.certs / f"{name}.key")}

    def admin_token(self, cluster):
        path = pathlib.Path(f"{cluster.store}.admin-token")
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        return path.read_text().strip()

    def test_only_those_who_trust_the_certificate_are_served(self):
        with self.cluster() as cluster:
            cluster.start_coordinator()
            cluster.start_worker("secure")
            harness.wait_until("the worker to be live over TLS", lambda: "secure" in live(cluster))
            del cluster.environment["LOGLOG_TLS_CA"]
            plain = cluster.cli("sweep", "list", "--rpc-timeout", "2s", check=5)
            self.assertIn("--tls-ca", plain.stderr)
            wrong = cluster.cli("sweep", "list", "--tls-ca", self.certs / "ca.key", check=2)
            self.assertIn("ca.key", wrong.stderr)

    def test_a_key_that_does_not_fit_is_named_at_the_start(self):
        self.server = ("--tls-cert", self.certs / "server.pem", "--tls-key",
                       self.certs / "client-alice.key")
        with self.cluster() as cluster:
            with self.assertRaises(AssertionError):
                cluster.start_coordinator()
            self.assertEqual(cluster.coordinator.wait(), 2)
            self.assertIn("client-alice.key is not the key of", cluster.log("coordinator"))

    def test_certificates_of_workers_bind_them_and_others_are_not_let_in(self):
        with self.cluster("--tls-client-ca", self.certs / "ca.pem", "--auth", "required") as cluster:
            cluster.start_coordinator()
            cluster.cli("sweep", "list", "--rpc-timeout", "2s", check=5)  # without a certificate
            cluster.environment.update(self.certificate("client-alice"))
            self.assertIn("LOGLOG_TOKEN", cluster.cli("sweep", "list", check=4).stderr)
            token = self.admin_token(cluster)
            cluster.environment["LOGLOG_TOKEN"] = token
            cluster.cli("sweep", "list")
            # Workers without a token: their certificates say who they are.
            people = dict(cluster.environment)
            del cluster.environment["LOGLOG_TOKEN"]
            cluster.environment.update(self.certificate("worker-gpu-1"))
            cluster.start_worker("gpu-1")
            cluster.environment.update(self.certificate("worker-gpu-2"))
            cluster.start_worker("gpu-3")
            self.assertEqual(cluster.workers["gpu-3"].wait(timeout=60), 1)
            self.assertIn("is for worker gpu-2, not for gpu-3", cluster.log("gpu-3"))
            self.assertIn("worker:gpu-2 has the role worker",
                          cluster.cli("sweep", "list", check=4).stderr)
            cluster.environment = people
            harness.wait_until("gpu-1 to be live", lambda: live(cluster) == {"gpu-1"})

    def test_renewed_certificates_are_taken_up_by_what_runs(self):
        with self.cluster("--tls-client-ca", self.certs / "ca.pem") as cluster:
            cluster.start_coordinator()
            cluster.environment.update(self.certificate("worker-gpu-1"))
            cluster.start_worker("gpu-1")
            cluster.environment.update(self.certificate("client-alice"))
            harness.wait_until("gpu-1 to be live", lambda: "gpu-1" in live(cluster))
            old_ca = (self.certs / "ca.pem").read_text()
            # Another authority altogether: whoever still used anything old would be refused.
            for path in self.certs.iterdir():
                path.unlink()
            make_certs(self.certs, "--server", "127.0.0.1", "--worker", "gpu-1", "--client", "alice")
            self.assertNotEqual(old_ca, (self.certs / "ca.pem").read_text())
            harness.wait_until(
                "the coordinator to serve the new certificate",
                lambda: cluster.cli("sweep", "list", "--rpc-timeout", "2s", check=None).returncode == 0)
            # The connection of the worker is as old as itself; a new one comes up as well.
            pid = cluster.coordinator.pid
            cluster.workers["gpu-1"].terminate()
            cluster.workers["gpu-1"].wait(timeout=60)
            cluster.environment.update(self.certificate("worker-gpu-1"))
            cluster.start_worker("gpu-1")
            cluster.environment.update(self.certificate("client-alice"))
            harness.wait_until("gpu-1 to be back", lambda: "gpu-1" in live(cluster))
            self.assertIsNone(cluster.coordinator.poll())
            self.assertEqual(pid, cluster.coordinator.pid)

    def test_tokens_let_in_are_replaced_and_let_nobody_in_any_more(self):
        with self.cluster("--auth", "required") as cluster:
            cluster.start_coordinator()
            self.assertEqual(cluster.cli("sweep", "list", check=4).stdout, "")
            cluster.environment["LOGLOG_TOKEN"] = token = self.admin_token(cluster)
            viewer = cluster.cli("token", "create", "vera").stdout.strip()
            self.assertRegex(viewer, r"^llg_[0-9a-f]{64}$")
            file = self.folder / "gpu-1.token"
            cluster.cli("token", "create", "gpu-1", "--role", "worker", "--worker", "gpu-1",
                        "--out", file)
            self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o600)
            admin = dict(cluster.environment)

            cluster.environment["LOGLOG_TOKEN"] = viewer
            cluster.cli("sweep", "list")
            refused = cluster.cli("worker", "drain", "gpu-1", check=4)
            self.assertIn("vera has the role viewer", refused.stderr)
            self.assertIn("you are vera, viewer", cluster.cli("doctor", check=None).stdout)

            del cluster.environment["LOGLOG_TOKEN"]
            cluster.environment["LOGLOG_TOKEN_FILE"] = str(file)
            cluster.start_worker("gpu-1")
            cluster.start_worker("gpu-2")
            self.assertEqual(cluster.workers["gpu-2"].wait(timeout=60), 1)
            self.assertIn("is for worker gpu-1, not for gpu-2", cluster.log("gpu-2"))
            cluster.environment = admin
            harness.wait_until("gpu-1 to be live", lambda: live(cluster) == {"gpu-1"})

            # A new token in place of the old one, while the worker runs.
            worker_token = file.read_text().strip()
            cluster.cli("token", "create", "gpu-1", "--role", "worker", "--worker", "gpu-1",
                        "--out", file)
            listed = cluster.cli_json("token", "list")["tokens"]
            old = next(row["name"] for row in listed if row["caller"] == "gpu-1")
            cluster.cli("token", "revoke", old)
            seen = cluster.cli_json("worker", "list")["workers"][0]["last_sync"]
            harness.wait_until(
                "gpu-1 to go on with its new token",
                lambda: cluster.cli_json("worker", "list")["workers"][0]["last_sync"] > seen)
            self.assertIsNone(cluster.workers["gpu-1"].poll())
            cluster.environment["LOGLOG_TOKEN"] = worker_token
            self.assertIn("was revoked", cluster.cli("sweep", "list", check=4).stderr)

            # No token in any log, argument list or file but those asked for.
            for secret in (token, viewer, worker_token, file.read_text().strip()):
                for path in cluster.folder.rglob("*"):
                    if path.is_file() and not path.name.endswith(".admin-token"):
                        self.assertNotIn(secret.encode(), path.read_bytes(), path)
            for process in (cluster.coordinator, cluster.workers["gpu-1"]):
                arguments = pathlib.Path(f"/proc/{process.pid}/cmdline").read_bytes()
                self.assertIsNone(re.search(rb"llg_", arguments))

    def test_a_token_does_not_travel_in_plain_text(self):
        with self.cluster(LOGLOG_TOKEN="llg_" + "0" * 64) as cluster:
            del cluster.environment["LOGLOG_TLS_CA"]
            refused = cluster.cli("sweep", "list", "--coordinator", "203.0.113.7:7070", check=2)
            self.assertIn("in plain text", refused.stderr)
            named = cluster.cli("sweep", "list", "--coordinator", "127.example.org:7070", check=2)
            self.assertIn("in plain text", named.stderr)


if __name__ == "__main__":
    os.umask(0o022)
    unittest.main()
