"""The AWS on your laptop: moto for storage and registries, and here what moto lacks. Nothing in it decides anything."""
