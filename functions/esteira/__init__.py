"""The controller. Pure: facts, events, phase, plan. With effects: store, cloud, advance."""
