"""Principal components by scikit-learn, in float64, of seeded rows -> pca/ (scikit-learn besides).

    python pca.py

rows.f32 [300, 24]: decaying variances around a mean that is large beside them.  exact.f64 is PCA of all rows,
k5.f64 IncrementalPCA with 5 components in batches of 64 (the last one of 44), joined.f64 the same in batches of 74,
whose last 4 rows join the batch before them.  Each holds mean [24], var [24] (population), variance [k],
ratio [k], singular [k], noise [1], components [k, 24].  PCA has no var: it is NumPy's.
"""

import numpy as np
from sklearn.decomposition import PCA, IncrementalPCA

import gold

N, D, K = 300, 24, 5


def parts(p, x):
    v = np.asarray(p.components_)
    at = np.abs(v).argmax(axis=1)
    assert (v[np.arange(len(v)), at] > 0).all()
    var = getattr(p, "var_", x.var(axis=0))
    return np.concatenate([p.mean_, var, p.explained_variance_, p.explained_variance_ratio_, p.singular_values_,
                           [p.noise_variance_], v.ravel()])


def main():
    rng = np.random.default_rng(42)
    q, _ = np.linalg.qr(rng.standard_normal((D, D)))
    x = (rng.standard_normal((N, D)) * 0.8 ** np.arange(D)) @ q + 100 * rng.standard_normal(D)
    x = x.astype(np.float32)
    out = gold.out_dir("pca")
    gold.save(out / "rows.f32", x)
    x = x.astype(np.float64)
    gold.save(out / "exact.f64", parts(PCA(svd_solver="full").fit(x), x))
    gold.save(out / "exact7.f64", parts(PCA(7, svd_solver="full").fit(x), x))
    gold.save(out / "k5.f64", parts(IncrementalPCA(K, batch_size=64).fit(x), x))
    gold.save(out / "joined.f64", parts(IncrementalPCA(K, batch_size=74).fit(x), x))


if __name__ == "__main__":
    main()
