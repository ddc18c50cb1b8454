"""A repository's own deployment bundle: read from the commit and judged before a deployment is made.

``bundle`` reads the commit; ``verdict`` judges its ``appspec.yml``, with one module for each section (``files``,
``hooks``, ``permissions``) and ``script`` for the scripts. ``psych`` reads YAML as the CodeDeploy agent does.
"""

from esteira.appspec.bundle import RELEASE, Bundle, Folder, Repository, default, of_commit
from esteira.appspec.problem import NAME, File
from esteira.appspec.verdict import problems

__all__ = ["NAME", "RELEASE", "Bundle", "File", "Folder", "Repository", "default", "of_commit", "problems"]
