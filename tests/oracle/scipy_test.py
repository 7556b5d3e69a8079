"""Holds fit/ against SciPy: quantiles, least-squares fits with their covariance, and Huber
fits, from whose minimum SciPy's own optimizers must find no lower point.

  scipy_test.py FIT_ANSWERS

Skips (77) where numpy and scipy are not installed; `deploy/setup.sh --test` installs them and
LOGLOG_ORACLE_PYTHON, or the folder it makes, says where.
"""
import json
import subprocess
import sys

import environment

environment.enter("oracle", "LOGLOG_ORACLE_PYTHON")
try:
    import numpy as np
    from scipy import optimize, stats
except ImportError:
    print("skipped: no SciPy; deploy/setup.sh --test installs it")
    sys.exit(77)

SEED = 20260101
DELTA = 1e-3
failures = []


def check(ok, what):
    if not ok:
        failures.append(what)
        print("FAILED:", what)


def near(ours, theirs, tolerance, what):
    check(abs(ours - theirs) <= tolerance * max(abs(theirs), 1e-300), f"{what}: {ours!r} against {theirs!r}")


def quantiles(rows):
    for row in rows:
        p, df = row["p"], row["df"]
        where = f"at p={p}, df={df}"
        near(row["t"], stats.t.ppf(p, df), 1e-9, "t " + where) if p != 0.5 else check(abs(row["t"]) < 1e-12, "t")
        near(row["chi2"], stats.chi2.ppf(p, df), 1e-9, "chi2 " + where)
        near(row["f"], stats.f.ppf(p, 1, df), 1e-8, "F " + where)
        near(row["f_tail"], stats.f.sf(1 + df / 7, 3, df), 1e-9, "F tail " + where)
        near(row["nct"], stats.nct.cdf(2.2, df, 1.5), 1e-7, "noncentral t " + where)
        if p != 0.5:
            near(row["normal"], stats.norm.ppf(p), 1e-9, "normal " + where)


def problems():
    rng = np.random.default_rng(SEED)
    for k in range(40):
        sd = float(rng.choice([5e-4, 2e-3, 5e-3]))
        if k % 2:
            n, d = np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(2e8, 2e10, 6))
            n, d = n.ravel(), d.ravel()
            loss = 1.8 + rng.uniform(200, 700) * n**-0.35 + rng.uniform(900, 3000) * d**-0.37
            law = "joint"
        else:
            d = np.geomspace(1e8, 1e8 * rng.uniform(30, 100), 24)
            n = np.full_like(d, 1e8)
            loss = rng.uniform(1.5, 3) + rng.uniform(0.5, 2) * (d / 8e8) ** -rng.uniform(0.25, 0.5)
            law = "saturating"
        yield law, n, d, loss * np.exp(sd * rng.standard_t(3, d.size) / np.sqrt(3))


def prediction(theta, u):
    z = [np.full(u.shape[1], theta[0])]
    z += [theta[1 + 2 * k] - theta[2 + 2 * k] * u[k] for k in range(u.shape[0])]
    return np.logaddexp.reduce(np.stack(z), axis=0)


def huber(theta, u, y):
    r = np.abs(prediction(theta, u) - y)
    return np.where(r <= DELTA, 0.5 * r**2, DELTA * (r - 0.5 * DELTA)).sum()


def one(answer, law, n, d, loss):
    u = np.log(np.stack([n, d]) if law == "joint" else d[None])
    u -= np.array(answer["centres"])[:, None]
    y = np.log(loss)
    theta = np.array(answer["theta"])
    residual = lambda at: prediction(at, u) - y
    fit = optimize.least_squares(residual, theta * (1 + 1e-3), method="lm", xtol=1e-15, ftol=1e-15, gtol=1e-15)
    value = 2 * fit.cost
    near(answer["value"], value, 1e-9, law + " least squares")
    for ours, theirs in zip(theta, fit.x):
        near(ours, theirs, 1e-5, law + " estimate")
    covariance = np.linalg.inv(fit.jac.T @ fit.jac)
    ours = np.array(answer["covariance"]).reshape(covariance.shape)
    check(np.allclose(ours, covariance, rtol=2e-3), f"{law} covariance: {ours} against {covariance}")
    near(answer["variance"], value / (y.size - theta.size), 1e-9, law + " variance")
    at = np.array(answer["huber"])
    near(answer["huber_value"], huber(at, u, y), 1e-10, law + " Huber value")
    for method in ("BFGS", "Nelder-Mead", "Powell"):
        end = optimize.minimize(lambda p: 1e6 * huber(p, u, y), at, method=method)
        check(end.fun / 1e6 >= answer["huber_value"] * (1 - 1e-9),
              f"{law}: {method} found {end.fun / 1e6!r} under {answer['huber_value']!r}")


def main():
    all_problems = list(problems())
    text = "".join(f"{law} {DELTA} {y.size}\n" + "".join(f"{a!r} {b!r} {c!r}\n" for a, b, c in
                                                         zip(n.tolist(), d.tolist(), y.tolist()))
                   for law, n, d, y in all_problems)
    out = subprocess.run([sys.argv[1]], input=text, capture_output=True, text=True, check=True).stdout
    lines = [json.loads(line) for line in out.splitlines()]
    quantiles(lines[0]["quantiles"])
    check(len(lines) == 1 + len(all_problems), "an answer for each problem")
    for answer, problem in zip(lines[1:], all_problems):
        one(answer, *problem)
    print(f"{len(lines[0]['quantiles'])} rows of quantiles and {len(all_problems)} fits against SciPy "
          f"(seed {SEED}): {len(failures)} failures")
    return 1 if failures else 0


sys.exit(main())
