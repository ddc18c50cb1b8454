"""Secrets that are known by their own form, whatever stands around them.

A row is what it is called, a text that must be there before the pattern is tried (a search for a fixed text is far
cheaper than a pattern), and the pattern. The group ``secret`` is the secret where the pattern holds more than that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# A private key is its header and a body: documentation quotes the header alone. ``\\n`` is a line's end in JSON.
_KEY_BODY = r"(?:\s|\\[nr]|[A-Za-z-]+: [^\n]{0,80}\n)*[A-Za-z0-9+/=]{24}"
_KEY_END = r"[^-]{0,20000}(?:-----END [^-\n]{0,40}-----)?"

_ROWS = (
    ("a private key", "-----BEGIN ", rf"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----{_KEY_BODY}{_KEY_END}"),
    ("a PuTTY private key", "Private-Lines: ", r"Private-Lines: \d+\s+[A-Za-z0-9+/=\s]{24,8000}"),
    ("a private key in base64", "LS0tLS1CRUdJTi", r"LS0tLS1CRUdJTi[A-Za-z0-9+/]{0,40}(?:UFJJVkFURSBLRVk|BQUklWQVRFIEtFW|IFBSSVZBVEUgS0VZ)[A-Za-z0-9+/=]*"),
    ("an age secret key", "AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[A-Z0-9]{58}"),
    ("an AWS access key id", "AKIA", r"AKIA[A-Z0-9]{16}"),
    ("an AWS access key id", "ASIA", r"ASIA[A-Z0-9]{16}"),
    ("temporary access to AWS", "IQoJb3JpZ2lu", r"IQoJb3JpZ2lu[A-Za-z0-9+/=]{100,}"),
    ("an Amazon Bedrock API key", "ABSK", r"ABSK[A-Za-z0-9+/]{100,}={0,2}"),
    ("a GitHub token", "gh", r"gh[pousr]_[A-Za-z0-9]{36,255}"),
    ("a GitHub token", "github_pat_", r"github_pat_[A-Za-z0-9_]{60,255}"),
    ("a GitLab token", "gl", r"gl(?:pat|dt|rt|ptt|cbt|oas|soat|agent|imt|ft|ffct)-[\w-]{20,}"),
    ("a GitLab runner's registration token", "GR1348941", r"GR1348941[\w-]{20}"),
    ("a Bitbucket app password", "ATBB", r"ATBB[A-Za-z0-9]{32}"),
    ("an Atlassian API token", "ATATT3", r"ATATT3[\w=-]{100,}"),
    ("a Slack token", "xox", r"xox[abeoprs]-[A-Za-z0-9-]{20,250}"),
    ("a Slack app token", "xapp-", r"xapp-\d-[A-Z0-9]+-\d+-[a-f0-9]{32,}"),
    ("a Slack webhook", "hooks.slack.com", r"hooks\.slack\.com/(?:services|workflows|triggers)/(?P<secret>[A-Z0-9]{6,}/[A-Z0-9]{6,}/[A-Za-z0-9]{16,})"),
    ("a Teams webhook", "webhook.office.com", r"webhook\.office\.com/webhookb2/(?P<secret>[\w@-]{36,}/IncomingWebhook/[\w/-]{32,})"),
    ("a workflow's webhook", "logic.azure.com", r"logic\.azure\.com[^\s\"']{10,200}[?&]sig=(?P<secret>[\w-]{30,})"),
    ("a Discord webhook", "/api/webhooks/", r"discord(?:app)?\.com/api/webhooks/(?P<secret>\d{15,}/[\w-]{50,})"),
    ("a Telegram bot's token", ":AA", r"\d{8,10}:AA[\w-]{33}"),
    ("a Hugging Face token", "hf_", r"hf_[A-Za-z0-9]{34,}"),
    ("a Hugging Face token", "api_org_", r"api_org_[A-Za-z]{34}"),
    ("an OpenAI API key", "T3BlbkFJ", r"sk-[\w-]{20,200}T3BlbkFJ[\w-]{20,200}"),
    ("an OpenAI API key", "sk-", r"sk-(?:proj|svcacct|admin|None)-[\w-]{40,}"),
    ("an API key", "sk-", r"sk-(?:or-v1-|lf-)?[A-Za-z0-9]{32,64}"),
    ("an Anthropic API key", "sk-ant-", r"sk-ant-[a-z0-9]+-[\w-]{80,}"),
    ("a Groq API key", "gsk_", r"gsk_[A-Za-z0-9]{48,}"),
    ("an xAI API key", "xai-", r"xai-[A-Za-z0-9]{70,}"),
    ("a Perplexity API key", "pplx-", r"pplx-[A-Za-z0-9]{40,}"),
    ("an NVIDIA API key", "nvapi-", r"nvapi-[\w-]{60,}"),
    ("a Replicate token", "r8_", r"r8_[A-Za-z0-9]{37}"),
    ("a Pinecone API key", "pcsk_", r"pcsk_[\w]{50,}"),
    ("a LangSmith API key", "lsv2_", r"lsv2_(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10}"),
    ("a Stripe key", "k_live_", r"[sr]k_live_[A-Za-z0-9]{20,}"),
    ("a Stripe webhook secret", "whsec_", r"whsec_[A-Za-z0-9+/=]{32,}"),
    ("a SendGrid API key", "SG.", r"SG\.[\w-]{20,24}\.[\w-]{39,50}"),
    ("a Mailgun key", "key-", r"key-[a-f0-9]{32}"),
    ("a Mailchimp key", "-us", r"[a-f0-9]{32}-us\d{1,2}"),
    ("a Twilio API key", "SK", r"SK[a-f0-9]{32}"),
    ("a Databricks token", "dapi", r"dapi[a-f0-9]{32}(?:-\d)?"),
    ("an Azure client secret", "Q~", r"[\w.~-]{3}\dQ~[\w.~-]{31,34}"),
    ("a shared access signature", "sig=", r"[?&]sig=(?P<secret>[\w%+/-]{40,}={0,2})"),
    ("a Google API key", "AIza", r"AIza[\w-]{35}"),
    ("a Google OAuth client secret", "GOCSPX-", r"GOCSPX-[\w-]{28}"),
    ("a Google access token", "ya29.", r"ya29\.[\w-]{50,}"),
    ("a Google refresh token", "1//", r"1//[\w-]{60,}"),
    ("an npm token", "npm_", r"npm_[A-Za-z0-9]{36}"),
    ("a PyPI token", "pypi-", r"pypi-AgE[\w-]{50,}"),
    ("a Docker Hub token", "dckr_", r"dckr_(?:pat|oat)_[\w-]{27,}"),
    ("a RubyGems key", "rubygems_", r"rubygems_[a-f0-9]{48}"),
    ("a Terraform Cloud token", ".atlasv1.", r"[A-Za-z0-9]{14}\.atlasv1\.[\w-]{60,}"),
    ("a Vault token", "hv", r"hv[bs]\.[\w-]{24,}"),
    ("a Doppler token", "dp.", r"dp\.(?:pt|st|ct|sa|scim|audit)\.[\w.-]{40,}"),
    ("a Pulumi token", "pul-", r"pul-[a-f0-9]{40}"),
    ("a New Relic key", "NRAL", r"[a-f0-9]{36}NRAL"),
    ("a New Relic key", "NRAK-", r"NRAK-[A-Z0-9]{27}"),
    ("a Sentry token", "sntry", r"sntry[su]_[\w=/+-]{40,}"),
    ("a Grafana token", "glsa_", r"glsa_[A-Za-z0-9]{32}_[a-f0-9]{8}"),
    ("a Grafana token", "glc_", r"glc_[A-Za-z0-9+/]{32,}={0,2}"),
    ("a DigitalOcean token", "_v1_", r"do[opr]_v1_[a-f0-9]{64}"),
    ("a Shopify token", "shp", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    ("a Notion token", "secret_", r"secret_[A-Za-z0-9]{43}"),
    ("a Notion token", "ntn_", r"ntn_\d{11}[A-Za-z0-9]{35}"),
    ("a Linear API key", "lin_api_", r"lin_api_[A-Za-z0-9]{40}"),
    ("a Postman key", "PMAK-", r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}"),
    ("a JSON web token", "eyJ", r"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}"),
    ("a password's hash", "$argon2", r"\$argon2id?\$v=\d+\$[\w=,]+\$[\w+/$.]{40,}"),
)  # fmt: skip
# Elsewhere a longer word, or base64, is no secret; after an escaped line's end a new word begins.
_OPEN = ("-----BEGIN", "Private-Lines", "hooks", "webhook", "logic", "discord", "[?&]", r"\$argon2")
_BEGIN, _END = r"(?:(?<![\w+-])|(?<=\\n)|(?<=/bot))", r"(?![\w+/])"
_BACK, _AHEAD = 200, 600  # characters around a text that must be there, where it does not begin the secret

Format = tuple[str, str, int, "re.Pattern[str]"]
_compiled: list[Format] = []


def formats() -> list[Format]:
    """The rows with their patterns compiled, once: a function that looks through no push compiles none."""
    if not _compiled:
        for kind, hint, pattern in _ROWS:
            whole = pattern if pattern.startswith(_OPEN) else f"{_BEGIN}(?:{pattern}){_END}"
            back = 0 if pattern.replace("\\", "").startswith(hint) else _BACK
            _compiled.append((kind, hint, back, re.compile(whole)))
    return _compiled


def formatted(text: str) -> Iterator[tuple[int, int, str]]:
    """Where a secret of a known form begins and ends, and what it is called."""
    for kind, hint, back, pattern in formats():
        for match in _around(text, hint, back, pattern):
            group = "secret" if "secret" in pattern.groupindex else 0
            yield match.start(group), match.end(group), kind


def _around(text: str, hint: str, back: int, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
    """The matches of a pattern, tried only where the hint is."""
    at = text.find(hint)
    while at >= 0:
        after = at + len(hint)
        match = pattern.search(text, max(0, at - back), after + _AHEAD) if back else pattern.match(text, at)
        if match:
            yield match
            after = max(after, match.end())
        at = text.find(hint, after)
