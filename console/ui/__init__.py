"""``esteira ui``: a page on this machine that shows what the table tells, and says an operator's words."""
