"""The deployables of MESS+ serving and the pure core they share."""
