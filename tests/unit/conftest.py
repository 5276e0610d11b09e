from cli.threads import one_thread_for_blas

one_thread_for_blas()
