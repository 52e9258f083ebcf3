"""The same matrix and start as bench_nmf's through torchnmf and scikit-learn, for `make bench`.

usage: peer_nmf.py FILE ITERATIONS BETA...      (needs scikit-learn; torch and torchnmf for the second line)
Prints for each: library, beta, seconds of wall, of all cores, loss sqrt(2 D).
"""
import sys
import time

import numpy as np
import scipy.sparse as sp

K = 3
file, iterations = sys.argv[1], int(sys.argv[2])
at = np.fromfile(file + ".at", np.uint64).astype(np.int64)
col = np.fromfile(file + ".col", np.uint32).astype(np.int64)
value = np.fromfile(file + ".value", np.float32)
w0 = np.fromfile(file + ".w0", np.float32).reshape(-1, K)
h0 = np.fromfile(file + ".h0", np.float32).reshape(-1, K)
v = sp.csr_matrix((value, col, at), shape=(len(at) - 1, len(w0)))
v.sort_indices()


def clock(f, runs=3):
    best = [1e300, 1e300]
    for _ in range(runs):
        t0, c0 = time.perf_counter(), time.process_time()
        out = f()
        best = [min(best[0], time.perf_counter() - t0), min(best[1], time.process_time() - c0)]
    return out, best


def loss(w, h, beta):
    w, h = w.astype(np.float64), h.astype(np.float64)
    rows = np.repeat(np.arange(v.shape[0]), np.diff(v.indptr))
    x = v.data.astype(np.float64)
    u = np.einsum("ij,ij->i", h[rows], w[v.indices])
    if beta == 2:
        d = 0.5 * (x @ x) + 0.5 * np.sum((h.T @ h) * (w.T @ w)) - x @ u
    else:
        d = np.sum(x * np.log(x) - x) + h.sum(0) @ w.sum(0) - x @ np.log(u + 2.0**-23)
    return np.sqrt(2 * d)


def sklearn_fit(beta):
    from sklearn.decomposition import non_negative_factorization as nmf
    return nmf(v, W=h0.copy(), H=w0.T.copy(), n_components=K, init="custom", solver="mu", beta_loss=beta, tol=0,
               max_iter=iterations)


def torch_fit(beta):
    import torch
    from torchnmf.nmf import NMF
    x = torch.sparse_coo_tensor(np.stack(v.nonzero()), v.data, v.shape).coalesce()
    net = NMF(W=torch.tensor(w0), H=torch.tensor(h0))
    net.fit(x, beta=beta, max_iter=iterations, tol=0)
    return net.H.detach().numpy(), net.W.detach().numpy().T


for beta in map(float, sys.argv[3:]):
    for name, fit in (("scikit-learn", sklearn_fit), ("torchnmf", torch_fit)):
        try:
            out, (wall, cpu) = clock(lambda: fit(beta))
        except ImportError:
            continue
        print(name, f"{beta:g} {wall:.3f} {cpu:.3f} {loss(out[1].T, out[0], beta):.6f}")
