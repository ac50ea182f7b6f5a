"""Ids that stay: OKS, greedy matching, flow propagation and the tracker. NumPy alone."""
