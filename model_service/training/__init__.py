"""The training of the model, which ``train.py`` runs. It is not part of the image."""
