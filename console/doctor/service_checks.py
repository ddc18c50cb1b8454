"""What `esteira doctor` makes of one service: its code, its parts, its hosts and their agents, its page. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from console.doctor.finding import Finding, attend, many, ok, skip
from console.doctor.observed import Code, Instance, LastDeployment, Silence, Tended


def judge_service(service: Tended, stack: str) -> Iterator[Finding]:
    """A line for each thing of a service that was looked at; ``stack`` is the controller's."""
    yield _code(service)
    gone = [part for part, there in service.parts.items() if there is False]
    for part in gone:
        yield attend(
            service.name,
            f"its {part} is gone. Next: esteira add-service {service.name} --stack {stack}, or sam deploy",
        )
    for part, there in service.parts.items():
        if isinstance(there, Silence):
            yield skip(service.name, f"its {part}: {there.why}")
    if there_are := [part for part, there in service.parts.items() if there is True]:
        yield ok(service.name, f"there: {', '.join(there_are)}")
    if isinstance(service.hosts, Silence):
        yield skip(service.name, f"its hosts: {service.hosts.why}")
    elif not service.hosts:
        yield attend(
            service.name,
            f"no instance bears its tags, so nothing can go live. Next: esteira add-service {service.name}",
        )
    else:
        for host in service.hosts:
            yield from _host(service, host)
    yield from _rules(service)
    if not isinstance(service.warnings, Silence):
        for warning in service.warnings:
            yield attend(service.name, warning)
    yield from _pages(service)


def _code(service: Tended) -> Finding:
    match service.code:
        case Silence() as silence:
            return skip(service.name, f"its repository: {silence.why}")
        case None:
            return attend(service.name, "its repository is gone. Next: deploy its stack again, then push a clone to it")
        case Code(branches=0):
            return ok(
                service.name,
                f"its repository is empty. Next: git push {service.push} HEAD:{service.branch}",
            )
        case Code(watched=False, branches=count):
            others = many(count, "other branch", "other branches")
            return attend(
                service.name,
                f"its repository has {others} and no {service.branch}, which is the one that is released. "
                f"Next: git push {service.push} HEAD:{service.branch}",
            )
        case _:
            return ok(service.name, f"its repository has the branch {service.branch}")


def _rules(service: Tended) -> Iterator[Finding]:
    policy = service.policy
    if isinstance(policy, Silence):
        yield skip(service.name, f"its policy: {policy.why}")
        return
    if not policy.version:
        yield ok(service.name, "no policy is set: its rules are the registration's")
        return
    differs = f"; the registration differs in {', '.join(policy.differs)}, which decides nothing"
    yield ok(service.name, f"its rules are policy version {policy.version}{differs if policy.differs else ''}")
    for stage in policy.unnamed:
        yield attend(
            service.name,
            f"policy version {policy.version} does not name the stage {stage}, which has the registration's rules. "
            f"Next: esteira policy show > policy.yaml, add it there, then esteira policy apply FILE --reason …",
        )


def _host(service: Tended, host: Instance) -> Iterator[Finding]:
    name, on = service.name, f"host {host.id}"
    if host.state != "running":
        yield attend(name, f"{on} is {host.state}. Next: aws ec2 start-instances --instance-ids {host.id}")
        return
    match host.ping:
        case Silence() as silence:
            yield skip(name, f"{on} is running; whether Systems Manager hears it: {silence.why}")
        case "Online":
            yield ok(name, f"{on} is running and Systems Manager hears it")
        case "":
            yield attend(
                name,
                f"{on} is running, and Systems Manager never heard of it: has its subnet a way to the internet? "
                f"Next: aws ec2 get-console-output --latest --instance-id {host.id}",
            )
        case ping:
            yield attend(
                name,
                f"{on} is running, and Systems Manager says {ping}. "
                f"Next: aws ec2 reboot-instances --instance-ids {host.id}",
            )
    yield _agent(service, host)


def _agent(service: Tended, host: Instance) -> Finding:
    """Judge the CodeDeploy agent, of which no AWS API says whether it lives: by what systemd says where the host was
    asked, else by what it did in the last deployment."""
    name, what = service.name, f"the CodeDeploy agent of {host.id}"
    begin = f"aws ssm start-session --target {host.id}, then sudo systemctl restart codedeploy-agent"
    match host.agent:
        case Silence() as silence:
            return skip(name, f"{what}: {silence.why}")
        case "active":
            return ok(name, f"{what} is active")
        case str() as told:
            return attend(name, f"{what} is {told or 'not there'}. Next: {begin}")
    match service.last:
        case Silence() as silence:
            return skip(name, f"{what}: {silence.why}")
        case LastDeployment(id=id_, began=began) if began.get(host.id):
            return ok(
                name, f"{what} did its part in the last deployment, {id_}; --ask-hosts tells whether it lives now"
            )
        case LastDeployment(id=id_, status="Failed", began=began) if host.id in began:
            return attend(name, f"{what} took up nothing of the last deployment, {id_}. Next: {begin}")
        case _:
            return skip(
                name,
                f"{what}: no deployment has come to this host yet, and AWS says nowhere whether it lives. "
                f"Next: esteira doctor --ask-hosts",
            )


def _pages(service: Tended) -> Iterator[Finding]:
    name = service.name
    if isinstance(service.pages, Silence):
        yield skip(name, f"its page: {service.pages.why}")
        return
    for page in service.pages:
        if not service.live:
            yield skip(name, f"its page {page.url}: nothing is live yet")
        elif 0 < page.status < 500:  # a model may have nothing at /
            live = service.live if isinstance(service.live, str) else "a release"
            told = "answers" if page.status == 200 else f"answers {page.status}"
            yield ok(name, f"its page {page.url} {told}; {live} is live")
        elif page.status:
            yield attend(
                name,
                f"its page {page.url} answers {page.status}. Next: esteira why {_label(service.live)} --service {name}",
            )
        elif page.allowed and "0.0.0.0/0" not in page.allowed:
            who = ", ".join(page.allowed)
            yield skip(
                name, f"its page {page.url} does not answer this machine; {who} may reach it, which it may not be in"
            )
        else:
            yield attend(name, f"its page {page.url} does not answer. Next: esteira status --service {name}")


def _label(live: str | Silence) -> str:
    return live if isinstance(live, str) else "v1"
