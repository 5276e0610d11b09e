"""The whole system as processes of one machine, under a supervisor."""
