"""What a user of outbox writes: a configuration file and a folder of templates."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LEASE = 5.0  # seconds; short, so that a killed worker's mail is seen to come back

_CONFIGURATION = """\
[database]
url = {url}

[channels.email]
providers = ["smtp"]
max_attempts = 5
backoff = ["500ms", "1s", "2s"]

[providers.smtp]
host = "127.0.0.1"
port = {port}
tls = "none"
sender = "Example <hello@example.org>"
helo_name = "app.example.org"
connections = 20
timeout = "10s"
data_timeout = "10s"

[log]
format = "text"
[worker]
lease = "{lease:g}s"
concurrency = 50
grace = "10s"

[templates]
path = "templates"
"""

_WELCOME = {
    "subject.txt": "Welcome, {{ name }}\n",
    "body.txt": """\
Hello {{ name }},

you are our user number {{ user }}. Confirm your address: https://example.org/confirm/{{ user }}
""",
    "body.html": """\
<p>Hello {{ name }},</p>
<p>you are our user number {{ user }}. <a href="https://example.org/confirm/{{ user }}">Confirm your address</a>.</p>
""",
}


def write_site(folder: Path, url: str, port: int) -> Path:
    """Write the configuration and the templates into the folder; returns the configuration's path."""
    templates = folder / "templates" / "welcome"
    templates.mkdir(parents=True)
    for name, text in _WELCOME.items():
        (templates / name).write_text(text)
    configuration = folder / "outbox.toml"
    configuration.write_text(_CONFIGURATION.format(url=json.dumps(url), port=port, lease=LEASE))
    return configuration
