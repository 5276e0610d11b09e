"""Inference-optimal mixture-of-experts models: laws, serving cost, choice (Yun et al. 2024, 2404.02852)."""
