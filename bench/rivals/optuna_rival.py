"""Optuna: ask, ten reports, tell, from worker processes that share one storage. No parameter
is suggested, which would be one more write."""

import os

import optuna
import pool


def open_storage(options):
    path = os.path.join(options.dir, "optuna")
    if options.storage == "journal":
        return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(path + ".log"))
    return optuna.storages.RDBStorage(f"sqlite:///{path}.db", engine_kwargs={"connect_args": {"timeout": 100}})


def prepare(options, index):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.load_study(study_name="bench", storage=open_storage(options),
                              sampler=optuna.samplers.RandomSampler(seed=index))

    def trial():
        one = study.ask()
        for step in range(pool.POINTS):
            one.report(3.0 + 1.0 / (step + 1), step)
        study.tell(one, 3.0)

    return trial


def main():
    options = pool.arguments()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(study_name="bench", storage=open_storage(options))
    trials, seconds = pool.time_workers(prepare, options)
    done = len(study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)))
    assert done == trials, f"{done} of {trials} trials are complete"
    pool.answer(trials, seconds)


if __name__ == "__main__":
    main()
