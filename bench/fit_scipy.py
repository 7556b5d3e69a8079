"""The same 4,000 refits by SciPy's BFGS, for bench_fit: what a careful notebook does.

  fit_scipy.py REFERENCE_DATA [REPLICATES]

Huber loss (1e-3) of ln residuals in log-sum-exp form with its analytic gradient, objective
times 1e6, each resample from the whole sample's minimum. One thread. Prints seconds for
4,000 refits (scaled up from REPLICATES) and how far its objectives lie above the reference.
"""
import csv
import os
import sys
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
import numpy as np
import scipy
from scipy.optimize import minimize

DELTA = 1e-3
SCALE = 1e6


def objective(theta, un, ud, y):
    e, a, alpha, b, beta = theta
    z = np.stack([np.full_like(un, e), a - alpha * un, b - beta * ud])
    top = z.max(axis=0)
    share = np.exp(z - top)
    total = share.sum(axis=0)
    residual = top + np.log(total) - y
    share /= total
    size = np.abs(residual)
    value = np.where(size <= DELTA, 0.5 * residual**2, DELTA * (size - 0.5 * DELTA)).sum()
    psi = np.clip(residual, -DELTA, DELTA)
    gradient = np.array([
        psi @ share[0], psi @ share[1], -(psi * un) @ share[1],
        psi @ share[2], -(psi * ud) @ share[2]])
    return SCALE * value, SCALE * gradient


def main():
    folder = sys.argv[1] + "/epoch_chinchilla/"
    replicates = int(sys.argv[2]) if len(sys.argv) > 2 else 4000
    with open(folder + "svg_extracted_data.csv") as file:
        rows = list(csv.DictReader(file))
    n = np.array([float(row["Model Size"]) for row in rows])
    c = np.array([float(row["Training FLOP"]) for row in rows])
    y = np.log([float(row["loss"]) for row in rows])
    un, ud = np.log(n), np.log(c / (6 * n))
    un, ud = un - un.mean(), ud - ud.mean()
    indices = np.fromfile(folder + "bootstrap_indices_seed42_4000x240.u8", np.uint8)
    indices = indices.reshape(4000, 240)
    with open(folder + "bootstrap_reference_fits.csv") as file:
        reference = np.array([float(row["objective"]) for row in csv.DictReader(file)])
    kept = y < np.sort(y)[-5]  # all but the five highest losses
    start = minimize(objective, [0.6, -0.7, 0.35, -0.9, 0.37], (un[kept], ud[kept], y[kept]),
                     method="BFGS", jac=True, options={"gtol": 1e-6}).x
    excess = np.empty(replicates)
    cpu = time.process_time()
    for r in range(replicates):
        at = indices[r]
        end = minimize(objective, start, (un[at], ud[at], y[at]), method="BFGS", jac=True,
                       options={"gtol": 1e-6})
        excess[r] = end.fun / SCALE - reference[r]
    cpu = time.process_time() - cpu
    print(f"scipy {scipy.__version__} {cpu * 4000 / replicates:.2f} {excess.max():.3g} "
          f"{(excess > 1e-12).sum()} {replicates}")


main()
