"""`esteira prove`: what only a real account can tell, asked of one, with evidence, and cleaned up after."""
