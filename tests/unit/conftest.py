from cli.threads import one_thread_for_scipy

one_thread_for_scipy()
