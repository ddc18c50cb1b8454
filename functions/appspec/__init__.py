"""The judge of a repository's own deployment bundle, before a deployment is made. Pure: bytes in, problems out.

``verdict`` judges the ``appspec.yml``, with one module for each section (``files``, ``hooks``, ``permissions``) and
``script`` for the scripts. ``psych`` reads YAML as the CodeDeploy agent does; the agent of the local mode uses the same
reader. The package knows nothing of the controller, which loads ``verdict`` only where it has a bundle to judge.
"""
