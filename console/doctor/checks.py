"""What `esteira doctor` finds: each thing is ok, needs attention, or could not be asked. Pure.

``look.py`` looks, this judges. A thing that nobody could see is neither praised nor blamed: its line says why.
"""

from __future__ import annotations

from console.doctor.account_checks import check_account, check_machine
from console.doctor.finding import Finding, skip
from console.doctor.observed import Observed, Silence
from console.doctor.stack_checks import check_stack


def judge(seen: Observed) -> tuple[Finding, ...]:
    """A line for each thing that was looked at: first the account and this machine, then the stack in it."""
    if isinstance(seen.identity, Silence):
        return (*check_machine(seen), skip("account and stack", "not asked, since AWS does not know who asks"))
    return (*check_machine(seen), *check_account(seen), *check_stack(seen))
