"""Real endpoints and worker processes, loaded and timed for the planner."""
