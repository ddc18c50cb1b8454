"""The AWS on your laptop: moto, and what moto lacks, under the rules of template.yaml."""
