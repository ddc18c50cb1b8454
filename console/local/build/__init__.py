"""The local CodeBuild's machine."""
