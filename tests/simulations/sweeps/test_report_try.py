import shutil

from simulations.report import report

EPS = [0.5, 1.0, 2.0, 4.0, 8.0]


def test_a(make_sweep):
    p = make_sweep(
        {"privacy.placement": ["distributed", "local", "central"], "privacy.epsilon": EPS, "seed": [0, 1, 2]}
    )
    report(p)
    shutil.copytree(p, "/tmp/sw/fig/a", dirs_exist_ok=True)


def test_b(make_sweep):
    pts = [
        {"federation.split": "iid", "privacy.placement": pl, "seed": s}
        for s in (0, 1, 2)
        for pl in ("distributed", "local")
    ]
    pts += [
        {"federation.split": "dirichlet", "federation.alpha": a, "privacy.placement": pl, "seed": s}
        for s in (0, 1, 2)
        for a in (0.1, 1.0, 10.0)
        for pl in ("distributed", "local")
    ]
    pts += [
        {"federation.split": "column", "federation.split_column": "PAY_0", "privacy.placement": pl, "seed": s}
        for s in (0, 1, 2)
        for pl in ("distributed", "local")
    ]
    p = make_sweep(pts)
    report(p)
    shutil.copytree(p, "/tmp/sw/fig/b", dirs_exist_ok=True)


def test_c(make_sweep):
    pts = [
        {"federation.banks": b, "federation.hospitals": b, "privacy.placement": pl, "seed": s}
        for s in (0, 1, 2)
        for b in (2, 5, 10, 25)
        for pl in ("distributed", "local")
    ]
    p = make_sweep(pts)
    report(p)
    shutil.copytree(p, "/tmp/sw/fig/c", dirs_exist_ok=True)
