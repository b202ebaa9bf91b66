"""Secrets are found in the forms people keep them in, and ordinary training code is left alone.

No token below is real, and none stands here in one piece: a host that scans pushed code would refuse this file.
"""

from __future__ import annotations

import base64
import random
import string
import time
import uuid

import pytest

from tracker.capture.secrets import find_secrets, is_secret_name, redact, redact_url, redact_value

_DICE = random.Random(20)  # our own generator: the global one is not drawn from


def _mixed(length: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    """Return a random string with at least a digit, a capital and a small letter."""
    while True:
        text = "".join(_DICE.choices(alphabet, k=length))
        if any(map(str.isdigit, text)) and any(map(str.isalpha, text)):
            return text


def _hex(length: int) -> str:
    return _mixed(length, "0123456789abcdef")


def _pem(kind: str) -> str:
    body = "\n".join(_mixed(64) for _ in range(6))
    return f"-----BEGIN {kind}PRIVATE" + f" KEY-----\n{body}\n-----END {kind}PRIVATE" + " KEY-----"


_UPPER = string.ascii_uppercase + string.digits

# (template, secret): the secret must be gone, the rest of the text must stay
SECRETS = [
    ("aws_access_key_id = {}", "AKIA" + _mixed(16, _UPPER)),
    ("{}", "ASIA" + _mixed(16, _UPPER)),
    ("aws_secret_access_key = {}", _mixed(40)),
    ("export AWS_SECRET_ACCESS_KEY={}", _mixed(40)),
    ("git clone https://{}@github.com/o/r", "ghp" + "_" + _mixed(36)),
    ("token {}", "gho" + "_" + _mixed(36)),
    ("x = '{}'", "github" + "_pat_" + _mixed(60)),
    ("{}", "glpat" + "-" + _mixed(20)),
    ("login(token='{}')", "hf" + "_" + _mixed(34)),
    ("client = OpenAI(api_key='{}')", "sk" + "-" + _mixed(48)),
    ("# {}", "sk" + "-proj-" + _mixed(60)),
    ("ANTHROPIC_API_KEY={}", "sk" + "-ant-api03-" + _mixed(80)),
    ("{}", "sk" + "-or-v1-" + _hex(64)),
    ("slack: {}", "xox" + "b-" + "1234567890-1234567890-" + _mixed(24)),
    ("https://hooks.slack.com/services/{}", "T" + _mixed(9, _UPPER) + "/B" + _mixed(9, _UPPER) + "/" + _mixed(24)),
    ("https://discord.com/api/webhooks/{}", "12345678901234567/" + _mixed(60)),
    ("key={}", "AI" + "za" + _mixed(35)),
    ("{}", "ya29" + "." + _mixed(60)),
    ("{}", "GOCS" + "PX-" + _mixed(28)),
    ("Cookie: session={}", "eyJ" + _mixed(30) + ".eyJ" + _mixed(60) + "." + _mixed(43)),
    ("stripe.api_key = '{}'", "sk" + "_live_" + _mixed(24)),
    ("//registry/:_authToken={}", "npm" + "_" + _mixed(36)),
    ("password = {}", "pypi" + "-AgEIcHlwaS5vcmc" + _mixed(80)),
    ("{}", "SG" + "." + _mixed(22) + "." + _mixed(43)),
    ("{}", "SK" + _hex(32)),
    ("DATABRICKS_TOKEN={}", "dapi" + _hex(32)),
    ("{}", "dckr" + "_pat_" + _mixed(27)),
    ("{}", "hvs" + "." + _mixed(40)),
    ("{}", "123456789" + ":AA" + _mixed(33)),
    ("{}", "gsk" + "_" + _mixed(52)),
    ("AccountName=x;AccountKey={};EndpointSuffix=y", _mixed(86) + "=="),
    ('{{"username":"ada","key":"{}"}}', _hex(32)),
    ("Authorization: Bearer {}", _mixed(40)),
    ("curl -H 'Authorization: Basic {}'", base64.b64encode(b"ada:lovelace1815").decode()),
    ("machine api.wandb.ai\n  login user\n  password {}", _hex(40)),
    ("postgresql://ada:{}@db.internal:5432/runs", "l0velace"),
    ("https://ada:{}@mlflow.internal/", "Engine-1843"),
    ("https://bucket/x?X-Amz-Signature={}&a=1", _hex(64)),
    ("password = '{}'", "hunter2"),
    ('"password": "{}",', "correct-horse"),
    ('{{\\"db_password\\": \\"{}\\"}}', "correct-horse"),
    ("DB_PASSWORD={}", "hunter2"),
    ("  password: {}", "hunter2"),
    ("--password {} --lr 0.1", "hunter2"),
    ("--api-key={}", _mixed(24)),
    ("wandb.login(key=K)\nWANDB_API_KEY={}", _hex(40)),
    ("SECRET_KEY = 'django-insecure-{}'", "z%3k!" + _mixed(30)),
    ("client_secret: str = '{}'", "Qx8-" + _mixed(20)),
    ("os.environ['COMET_API_KEY'] = '{}'", _mixed(25)),
    ("config.apiKey = \"{}\"", _mixed(32)),
    ("passphrase: '{}'", "open sesame".replace(" ", "-")),
    ("{}", _pem("RSA ")),
    ("key = '''{}'''", _pem("")),
    ("{}", _pem("OPENSSH ")),
]  # fmt: skip

INNOCENT = [
    "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
    f"run_id = '{uuid.UUID(int=0x12345678123456781234567812345678).hex}'",
    f"id: {uuid.UUID(int=0x12345678123456781234567812345678)}",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "data:image/png;base64," + base64.b64encode(bytes(range(256)) * 40).decode(),
    "<img src='data:image/png;base64," + base64.b64encode(_DICE.randbytes(30_000)).decode() + "'>",
    "lr=0.1, momentum=0.9, weight_decay=5e-4",
    "python train.py --lr 0.1 --max-tokens 2048 --tokenizer bert-base-uncased",
    "max_tokens = 4096",
    "num_tokens: 1000000",
    "pad_token = '[PAD]'",
    "eos_token='<|endoftext|>'",
    "tokenizer.add_special_tokens({'pad_token': '<pad>'})",
    "mask_token_id = 50264",
    "token = tokenizer.decode(ids[0])",
    "token = tokens[i]",
    "for token in tokens: print(token)",
    "next_token = logits.argmax(-1)",
    "def login(token: str | None = None) -> None:",
    "password: str",
    "password = os.environ['DB_PASSWORD']",
    "password = getpass.getpass('Password: ')",
    "api_key = os.getenv('OPENAI_API_KEY')",
    "api_key=args.api_key,",
    "password=password",
    "password: ${DB_PASSWORD}",
    "PASSWORD=<your password>",
    "token: YOUR_TOKEN_HERE",
    "api_key = 'xxxxxxxxxxxxxxxxxxxxxxxx'",
    "secret = None",
    "password = ''",
    "SECRET_KEY = ${{ secrets.SECRET_KEY }}",
    "postgresql://user:password@localhost/db",
    "https://github.com/pytorch/pytorch/issues/12345",
    "git@github.com:pytorch/pytorch.git",
    "sort_key = 'validation_accuracy'",
    "key = jax.random.PRNGKey(0)",
    "batch['image_key']",
    "label_key: str = 'labels'",
    "model.layers.0.self_attn.k_proj.weight",
    "key_padding_mask=key_padding_mask, need_weights=False",
    "class='sk-estimator-doc-link fitted sk-toggleable__label-arrow'",
    "hf_hub_download(repo_id='bert-base-uncased', filename='config.json')",
    "s3://bucket/checkpoints/epoch=12-step=3400.ckpt",
    "if '-----BEGIN RSA PRIVATE" + " KEY-----' in text: return True",
    "import secrets; token = secrets.token_hex(16)",
    "# rotate the secret every month, keep the token short",
    "attention = softmax(query @ key.T / math.sqrt(dim_key))",
    "PRIMARY_KEY = 'id'",
    "vocab = {'the': 1996, '##token': 19204}",
    "https://download.pytorch.org/models/resnet50-11ad3fa6.pth?download=true",
    "PWD=/home/ada/project",
    "token_type_ids: torch.Tensor",
    "forward_pass = model(x)",
]


def test_the_corpus_is_as_large_as_promised() -> None:
    assert len(SECRETS) >= 40
    assert len(INNOCENT) >= 40


@pytest.mark.parametrize(("template", "secret"), SECRETS, ids=lambda value: value[:30])
def test_a_secret_is_taken_out_and_the_rest_stays(template: str, secret: str) -> None:
    cleaned = redact(template.format(secret))

    assert secret not in cleaned
    assert not any(line in cleaned for line in secret.splitlines() if len(line) > 40)
    assert "[redacted" in cleaned
    assert cleaned.startswith(template.format("\0").split("\0")[0][:8])


@pytest.mark.parametrize("text", INNOCENT, ids=lambda text: text[:40])
def test_ordinary_text_of_a_training_is_left_alone(text: str) -> None:
    found = [text[s.start : s.end] for s in find_secrets(text)]

    assert found == []
    assert redact(text) == text


def test_secrets_are_found_amid_other_lines_in_order_and_apart() -> None:
    text = "lr = 0.1\npassword = 'hunter2'\nurl = 'https://ada:l0velace@host'\n"

    found = find_secrets(text)

    assert [text[s.start : s.end] for s in found] == ["hunter2", "l0velace"]
    assert redact(text) == (
        "lr = 0.1\npassword = '[redacted:assigned-secret]'\nurl = 'https://ada:[redacted:url-password]@host'\n"
    )


def test_redacting_twice_changes_nothing_more() -> None:
    for template, secret in SECRETS:
        once = redact(template.format(secret))

        assert redact(once) == once


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://ada:pw@host/o/r.git", "https://host/o/r.git"),
        ("https://oauth2token@host/o/r.git", "https://host/o/r.git"),
        ("git@host:o/r.git", "git@host:o/r.git"),
        ("ssh://git@host:22/o/r.git", "ssh://git@host:22/o/r.git"),
        ("ssh://ada:pw@host/o/r.git", "ssh://host/o/r.git"),
        ("https://host/o/r.git", "https://host/o/r.git"),
        ("../sibling", "../sibling"),
    ],
)
def test_a_remote_address_loses_its_credentials(url: str, clean: str) -> None:
    assert redact_url(url) == clean


@pytest.mark.parametrize(
    ("name", "value", "stored"),
    [
        ("OPENAI_API_KEY", "anything", "[redacted]"),
        ("MY_TOKEN", "abc-def", "[redacted]"),
        ("db-password", "12345", "[redacted]"),
        ("--api-key", "short", "[redacted]"),
        ("CLIENT_SECRET", "abc", "[redacted]"),
        ("SMTP_PASS", "abc-def", "[redacted]"),
        ("api_key", "None", "None"),
        ("MAX_TOKENS", "512", "512"),
        ("pad_token", "[PAD]", "[PAD]"),
        ("sort_key", "val_acc", "val_acc"),
        ("PWD", "/home/ada", "/home/ada"),
        ("PYTHONHASHSEED", "0", "0"),
        ("url", "https://ada:l0velace@host", "https://ada:[redacted:url-password]@host"),
    ],
)
def test_a_value_is_hidden_by_its_name(name: str, value: str, stored: str) -> None:
    assert redact_value(name, value) == stored


def test_a_name_alone_can_tell_a_secret() -> None:
    assert is_secret_name("WANDB_API_KEY")
    assert is_secret_name("dbPassword")
    assert not is_secret_name("learning_rate")
    assert not is_secret_name("pad_token")


def test_text_made_to_confuse_the_patterns_takes_no_time() -> None:
    hostile = [
        "password" * 20_000,
        "token " * 30_000,
        "eyJ" * 50_000,
        "a://" * 40_000,
        "-----BEGIN PRIVATE" + " KEY-----" + "A" * 150_000,
        "secret = '" * 15_000,
        "_key:" * 30_000,
        "machine a login " * 10_000,
        "x" * 200_000,
        "?token=" * 20_000,
    ]
    for text in hostile:
        start = time.process_time()
        find_secrets(text)

        assert time.process_time() - start < 2.0, text[:20]
