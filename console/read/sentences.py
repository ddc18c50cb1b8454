"""Every kind of fact as one readable sentence. Pure."""

from __future__ import annotations

from console.read.sentences_image import of_birth, of_build, of_claim
from console.read.sentences_people import of_entry, of_operator
from console.read.sentences_record import of_the_record
from console.read.sentences_stage import of_alarm, of_deployment, of_stage
from esteira.fact import Fact


def sentence(fact: Fact) -> str:
    """What ``fact`` says, in one sentence; of a failure, its log lines follow it on lines of their own.

    Raises TypeError for a kind of fact that has no sentence yet.
    """
    for told in (
        of_birth,
        of_claim,
        of_build,
        of_deployment,
        of_stage,
        of_alarm,
        of_operator,
        of_entry,
        of_the_record,
    ):
        said = told(fact)
        if said is not None:
            return said
    raise TypeError(f"the fact {fact.name} has no sentence yet; add it to console/read/sentences.py")
