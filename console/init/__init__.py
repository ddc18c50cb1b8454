"""``esteira init``: what a repository is, and the two files that esteira and Docker would like it to have."""
