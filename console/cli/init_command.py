"""``esteira init``: look at the repository in this folder, and write the files that it lacks."""

from __future__ import annotations

from pathlib import Path

import click

from console.read.printable import document
from console.read.where import REFUSED


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=".")
@click.option("--yes", is_flag=True, help="Write the files without asking.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON, and write nothing without --yes.")
def init(folder: Path, yes: bool, as_json: bool) -> None:
    """Look at the repository in FOLDER and write esteira.yaml and, where it is missing, a Dockerfile.

    Knows Flask, FastAPI, Streamlit, Gradio, R Shiny, plumber and MLflow's model directories. Shows what it found and
    the files before it writes them; a file that exists is never changed.
    """
    from console.init.recognized import UnknownKindError
    from console.init.repository import propose, write

    try:
        proposal = propose(folder)
    except UnknownKindError as error:
        click.echo(str(error), err=True)
        raise SystemExit(REFUSED) from None
    found, files = proposal.found, proposal.files
    if as_json:
        click.echo(document({"kind": found.kind, "seen": found.seen, "port": found.port, "files": files}, 2))
    else:
        click.echo(f"found: a {found.kind} ({found.seen})")
        for name, text in files.items():
            click.echo(f"\n{name}\n" + "\n".join(f"  {line}".rstrip() for line in text.splitlines()))
    if not files:
        click.echo("nothing to write: esteira.yaml and Dockerfile are there. Next: esteira local up", err=True)
        return
    if as_json and not yes:
        return
    names = " and ".join(files)
    if not yes and not click.confirm(f"\nWrite {names}?", default=True, err=True):
        click.echo("nothing was written", err=True)
        raise SystemExit(REFUSED)
    write(folder, proposal)
    click.echo(f"wrote {names}. Next: git add {' '.join(files)}, git commit, and esteira local up", err=True)
