"""submitit's local executor: each trial is a process that writes ten lines; it keeps no
metrics itself. As many at a time as there are workers."""

import os
import threading
import time

import pool
import submitit


def trial(path):
    with open(path, "w") as out:
        for step in range(pool.POINTS):
            out.write(f'{{"step": {step}, "loss": {3.0 + 1.0 / (step + 1)}}}\n')
        out.flush()
        os.fsync(out.fileno())
    return 3.0


def main():
    options = pool.arguments()
    here = os.path.dirname(os.path.abspath(__file__))
    os.environ["PYTHONPATH"] = here
    share = max(1, options.trials // options.workers)
    failures = []

    def run(index):
        executor = submitit.LocalExecutor(folder=os.path.join(options.dir, "submitit"))
        executor.update_parameters(timeout_min=5)
        for number in range(share):
            handle = executor.submit(trial, os.path.join(options.dir, f"points-{index}-{number}"))
            if handle.result() != 3.0:
                failures.append(number)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(options.workers)]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - begin
    assert not failures
    pool.answer(share * options.workers, seconds)


if __name__ == "__main__":
    main()
