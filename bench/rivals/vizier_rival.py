"""OSS Vizier: its gRPC server with an SQLite datastore in this process, clients in worker
processes: suggest, ten measurements, complete."""

import os

import pool
from vizier.service import clients, servers
from vizier.service import pyvizier as vz

os.environ.setdefault("JAX_PLATFORMS", "cpu")


def load(endpoint):
    clients.environment_variables.server_endpoint = endpoint
    config = vz.StudyConfig(algorithm="RANDOM_SEARCH")
    config.search_space.root.add_float_param("x", 0.0, 1.0)
    config.metric_information.append(vz.MetricInformation("loss", goal=vz.ObjectiveMetricGoal.MINIMIZE))
    return clients.Study.from_study_config(config, owner="bench", study_id="bench")


def prepare(options, index):
    study = load(options.endpoint)

    def trial():
        for one in study.suggest(count=1, client_id=f"worker-{index}"):
            for step in range(pool.POINTS):
                one.add_measurement(vz.Measurement(metrics={"loss": 3.0 + 1.0 / (step + 1)}, steps=step))
            one.complete(vz.Measurement(metrics={"loss": 3.0}, steps=pool.POINTS))

    return trial


def main():
    options = pool.arguments()
    server = servers.DefaultVizierServer(database_url=f"sqlite:///{options.dir}/vizier.db")
    options.endpoint = server.endpoint
    study = load(options.endpoint)
    trials, seconds = pool.time_workers(prepare, options)
    done = len(list(study.trials(vz.TrialFilter(status=[vz.TrialStatus.COMPLETED]))))
    assert done == trials, f"{done} of {trials} trials are complete"
    pool.answer(trials, seconds)


if __name__ == "__main__":
    main()
