"""What a stage is made of: one file per kind of target, each with the verbs begin, stop and state."""
