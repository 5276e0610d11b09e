"""`messplus demo`: checkable prompts, the run's summary, its figures and its report."""
