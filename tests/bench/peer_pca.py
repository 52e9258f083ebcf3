"""The same rows through scikit-learn's IncrementalPCA, for `make bench`: all components, batches of 32,768.

usage: peer_pca.py ROWS.f32 D BATCH         (needs scikit-learn)
Prints seconds of wall and of processor time, and the first explained variance.
"""
import sys
import time

import numpy as np
from sklearn.decomposition import IncrementalPCA

x = np.fromfile(sys.argv[1], np.float32).reshape(-1, int(sys.argv[2]))
t0, c0 = time.perf_counter(), time.process_time()
p = IncrementalPCA(batch_size=int(sys.argv[3])).fit(x)
print(f"{time.perf_counter() - t0:.2f} {time.process_time() - c0:.2f} {p.explained_variance_[0]:.9g}")
