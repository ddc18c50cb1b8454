"""What a release says about itself in ``esteira.yaml``. Pure: bytes, settings and registrations in, values out."""
