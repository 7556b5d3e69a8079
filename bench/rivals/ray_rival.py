"""Ray Tune: a function that reports ten times, as many at a time as there are workers, on a
Ray of this host that runs already. Actors are used again, the quickest it can do."""

import os
import time

os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import pool
import ray
from ray import tune


def trial(config):
    for step in range(pool.POINTS):
        tune.report({"loss": 3.0 + 1.0 / (step + 1)})


def main():
    options = pool.arguments()
    here = os.path.dirname(os.path.abspath(__file__))
    ray.init(num_cpus=options.workers, include_dashboard=False, log_to_driver=False, logging_level="error",
             address="local", runtime_env={"env_vars": {"PYTHONPATH": here}})

    def fit(samples):
        return tune.Tuner(
            tune.with_resources(trial, {"cpu": 1}),
            param_space={"seed": tune.grid_search(list(range(samples)))},
            tune_config=tune.TuneConfig(max_concurrent_trials=options.workers, reuse_actors=True),
            run_config=tune.RunConfig(storage_path=options.dir, name=f"bench-{samples}", verbose=0),
        ).fit()

    fit(options.workers)  # its worker processes start
    begin = time.monotonic()
    results = fit(options.trials)
    seconds = time.monotonic() - begin
    done = sum(1 for result in results if result.error is None and result.metrics.get("training_iteration") == pool.POINTS)
    assert done == options.trials, f"{done} of {options.trials} trials are complete"
    pool.answer(options.trials, seconds)
    ray.shutdown()


if __name__ == "__main__":
    main()
