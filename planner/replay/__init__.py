"""Offline replay: the production decision function and fold over recorded outcomes.

Read in this order: `outcomes` (what was recorded), `streams` (in which order requests come), `labels` (which
answers get judged, and when), `driver` (one run), `metrics` (what it gave), `hindsight` (what could have
been had with knowledge of the future), `study` (all runs of one question, as a JSON document).
"""
