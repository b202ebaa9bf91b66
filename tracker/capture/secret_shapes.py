"""The published shapes of access tokens, keys and passwords, one line a provider.

Sources: the token formats that the providers document for secret scanning. `[A-Za-z0-9]{36,255}` instead of the exact
length where a provider has changed it before.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Shape(NamedTuple):
    """One form of a secret. A pattern starts with fixed letters where it can: its search is ten times faster then."""

    kind: str
    hints: tuple[str, ...]
    """One of these must occur, or the pattern is not tried."""
    pattern: re.Pattern[str]
    """Group 1, where there is one, is the secret; else the whole match."""
    alone: bool = False
    """Whether the match counts only where no letter, digit, `_`, `+`, `-` or `/` (base64, a path) touches its left."""


def _token(kind: str, hints: str | tuple[str, ...], body: str) -> Shape:
    pattern = re.compile(f"(?:{body})(?![A-Za-z0-9_+/-])")
    return Shape(kind, (hints,) if isinstance(hints, str) else hints, pattern, alone=True)


def _shape(kind: str, hints: str | tuple[str, ...], pattern: str) -> Shape:
    return Shape(kind, (hints,) if isinstance(hints, str) else hints, re.compile(pattern))


SHAPES = (
    _shape(
        "private-key",
        "PRIVATE KEY",
        r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
        r"(?:\s*(?:Proc-Type|DEK-Info|Version|Comment):[^\n]*\n)*"
        r"[A-Za-z0-9+/=\s\\\"',]{40,}(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?",
    ),
    _token("aws-key", ("AKIA", "ASIA", "ABIA", "ACCA"), r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}"),
    _token("github-token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"gh[pousr]_[A-Za-z0-9]{36,255}"),
    _token("github-token", "github_pat_", r"github_pat_[A-Za-z0-9_]{22,255}"),
    _token("gitlab-token", "gl", r"gl(?:pat|dt|rt|cbt|ptt|ft|soat)-[A-Za-z0-9_.-]{20,255}"),
    _token("huggingface-token", ("hf_", "api_org_"), r"(?:hf|api_org)_[A-Za-z0-9]{30,60}"),
    _token("anthropic-key", "sk-ant-", r"sk-ant-[A-Za-z0-9_-]{20,255}"),
    _token("openai-key", "sk-", r"sk-(?:(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20,255}|[A-Za-z0-9]{20,100})"),
    _token("openrouter-key", "sk-or-", r"sk-or-(?:v1-)?[A-Za-z0-9]{20,100}"),
    _token("groq-key", "gsk_", r"gsk_[A-Za-z0-9]{40,80}"),
    _token("replicate-token", "r8_", r"r8_[A-Za-z0-9]{30,60}"),
    _token("wandb-key", "wandb_v1_", r"wandb_v1_[A-Za-z0-9_]{30,120}"),
    _token("slack-token", "xox", r"xox[abeoprs]-[A-Za-z0-9-]{10,255}"),
    _token("slack-token", "xapp-", r"xapp-\d-[A-Za-z0-9-]{20,255}"),
    _shape("slack-webhook", "hooks.slack", r"hooks\.slack\.com/services/(T\w{6,}/B\w{6,}/\w{16,})"),
    _shape("discord-webhook", "/api/webhooks/", r"discord(?:app)?\.com/api/webhooks/(\d{10,}/[A-Za-z0-9_-]{20,})"),
    _token("google-key", "AIza", r"AIza[0-9A-Za-z_-]{35}"),
    _token("google-token", "ya29.", r"ya29\.[0-9A-Za-z_-]{20,255}"),
    _token("google-secret", "GOCSPX-", r"GOCSPX-[0-9A-Za-z_-]{20,60}"),
    _token("jwt", "eyJ", r"eyJ[A-Za-z0-9_-]{8,2000}\.eyJ[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{8,2000}"),
    _token("stripe-key", ("k_live_", "k_test_"), r"[srp]k_(?:live|test)_[0-9A-Za-z]{16,255}"),
    _token("npm-token", "npm_", r"npm_[A-Za-z0-9]{36}"),
    _token("pypi-token", "pypi-", r"pypi-AgE[A-Za-z0-9_-]{40,255}"),
    _token("sendgrid-key", "SG.", r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}"),
    _token("twilio-key", "SK", r"SK[0-9a-f]{32}"),
    _token("digitalocean-token", "_v1_", r"do[opr]_v1_[a-f0-9]{64}"),
    _token("databricks-token", "dapi", r"dapi[a-f0-9]{32}(?:-\d)?"),
    _token("docker-token", "dckr_pat_", r"dckr_pat_[A-Za-z0-9_-]{20,60}"),
    _token("vault-token", ("hvs.", "hvb."), r"hv[sb]\.[A-Za-z0-9_-]{24,255}"),
    _token("telegram-token", ":AA", r"\d{8,10}:AA[A-Za-z0-9_-]{33}"),
    _shape("azure-key", "AccountKey=", r"AccountKey=([A-Za-z0-9+/]{40,100}={0,2})"),
    _shape("kaggle-key", '"key"', r'"username"\s*:\s*"[^"\n]{1,100}"\s*,\s*"key"\s*:\s*"([0-9a-f]{32})"'),
    _shape("authorization", ("earer ", "EARER "), r"(?i:bearer)\s{1,3}([A-Za-z0-9._~+/=-]{20,2000})"),
    _shape(
        "authorization",
        ("asic ", "ASIC "),
        r"(?i:authorization)[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?i:basic) ([A-Za-z0-9+/=]{8,500})",
    ),
    _shape("netrc-password", "machine ", r"machine\s+\S{1,200}\s+login\s+\S{1,200}\s+password\s+(\S{1,200})"),
    _shape("url-password", "://", r"://[^\s/@:'\"<>]{0,200}:([^\s/@'\"<>]{1,200})@"),
    _shape("url-password", "://", r"://([A-Za-z0-9_-]{20,200})@"),
    _shape(
        "url-token",
        ("?", "&"),
        r"[?&](?i:access_token|auth_token|token|api_?key|key|sig|signature|x-amz-signature|x-amz-security-token|password)"
        r"=([^&\s'\"#<>]{8,2000})",
    ),
)  # fmt: skip
