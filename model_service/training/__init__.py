"""Makes the model. ``train.py`` beside this folder runs it; nothing here is in the served image."""
