"""Multi-tool tasks over a small simulated company."""
