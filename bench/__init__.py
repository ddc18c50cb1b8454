"""The figures in the README come from here: ``python -m bench`` writes them to results.json and results.md."""
