"""The feedback service: labels and the learner.

The learner's linear algebra is small: BLAS threads that wait for it spin, which with ten models takes four
times the processor time. So one thread, unless the operator says otherwise. Numpy looks when it is imported.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
