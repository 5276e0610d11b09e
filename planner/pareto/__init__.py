"""Pareto-optimal serving of small models after Recasens et al. 2024 (EuroMLSys): batch size and replicas."""
