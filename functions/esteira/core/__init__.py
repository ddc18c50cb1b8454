"""The controller's core: pure values and functions. To be read in this order: facts, state, status, admission, plan."""
