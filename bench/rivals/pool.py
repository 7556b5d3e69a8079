"""Worker processes that begin together: what is timed is the work, not the start of Python."""

import argparse
import json
import multiprocessing
import time

POINTS = 10  # that each trial reports


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", required=True, help="where the rival keeps its files; empty, and removed by the caller")
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--storage", default="")
    return parser.parse_args()


def answer(trials, seconds):
    print(json.dumps({"trials": trials, "seconds": seconds, "per_second": trials / seconds}), flush=True)


def _worker(prepare, options, index, trials, barrier):
    work = prepare(options, index)
    barrier.wait()
    for _ in range(trials):
        work()
    barrier.wait()


def time_workers(prepare, options):
    """Runs prepare(options, index) in each worker process, then the function it returned once
    for each trial of its share. Returns (trials, seconds of the slowest)."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(options.workers + 1)
    share = max(1, options.trials // options.workers)
    workers = [context.Process(target=_worker, args=(prepare, options, i, share, barrier), daemon=True)
               for i in range(options.workers)]
    for worker in workers:
        worker.start()
    barrier.wait(timeout=120)
    begin = time.monotonic()
    barrier.wait(timeout=600)
    seconds = time.monotonic() - begin
    for worker in workers:
        worker.join(timeout=30)
    return share * options.workers, seconds
