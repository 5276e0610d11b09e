"""Idealized runtime after Narayanan et al. 2023 (NeurIPS): a request with nobody else around."""
