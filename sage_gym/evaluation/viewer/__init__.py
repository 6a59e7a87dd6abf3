"""`python -m sage_gym.view`: a local page on which runs, rounds, groups and trajectories are read.

In the order data meets them: `files` finds what a run recorded, `reading` (journals) and `tables` (Parquet) turn each
file into rows of `summaries`, `cache` keeps these between sessions, `library` does so for all runs and watches them,
`index` holds all rows in memory, `query` filters and sorts them. `pages` says what is shown, `rendering` in what HTML,
`server` to whom.
"""
