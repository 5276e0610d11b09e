"""The feedback service: labels and the learner."""
