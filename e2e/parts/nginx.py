"""An nginx in front of a search engine: TLS, and only requests with the right credentials pass."""

import base64
import os
import secrets
from pathlib import Path

import requests

from . import ports
from .process import Process

REFUSAL = '{"error":{"type":"security_exception","reason":"unable to authenticate"},"status":401}'


class Nginx:
    """https://localhost:PORT -> upstream. Accepts Basic, ApiKey and Bearer credentials, all random."""

    def __init__(self, state: Path, upstream, certificate, authority):
        self.state, self.upstream, self.certificate, self.authority = Path(state), upstream, certificate, authority
        self.port = ports.free_port()
        self.url = f"https://localhost:{self.port}"
        self.username, self.password = "pgsync", secrets.token_urlsafe(16)
        self.api_key = base64.b64encode(f"id:{secrets.token_urlsafe(16)}".encode()).decode()
        self.token = secrets.token_urlsafe(24)
        self.process = None

    def _write(self):
        self.state.mkdir(parents=True, exist_ok=True)
        basic = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        accepted = "\n".join(f'        "{v}" 1;' for v in (f"Basic {basic}", f"ApiKey {self.api_key}", f"Bearer {self.token}"))
        user = "user root;" if os.geteuid() == 0 else ""
        config = self.state / "nginx.conf"
        config.write_text(f"""{user}
daemon off;
pid {self.state}/nginx.pid;
error_log {self.state}/error.log;
worker_processes 1;
events {{ worker_connections 256; }}
http {{
    access_log {self.state}/access.log;
    client_max_body_size 64m;
    client_body_temp_path {self.state}/body;
    proxy_temp_path {self.state}/proxy;
    fastcgi_temp_path {self.state}/fastcgi;
    uwsgi_temp_path {self.state}/uwsgi;
    scgi_temp_path {self.state}/scgi;
    map_hash_bucket_size 256;
    map $http_authorization $accepted {{
        default 0;
{accepted}
    }}
    server {{
        listen 127.0.0.1:{self.port} ssl;
        ssl_certificate {self.certificate.cert};
        ssl_certificate_key {self.certificate.key};
        location / {{
            if ($accepted = 0) {{ return 401 '{REFUSAL}'; }}
            proxy_pass {self.upstream};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Authorization "";
        }}
    }}
}}
""")
        config.chmod(0o600)
        return config

    def start(self):
        config = self._write()
        self.process = Process("nginx", ["nginx", "-e", self.state / "error.log", "-c", config], self.state / "nginx.log")
        self.process.wait_until(self._answers, 10)
        return self

    def _answers(self):
        session = requests.Session()
        session.trust_env = False
        try:
            return session.get(self.url, timeout=3, verify=False).status_code == 401
        except requests.RequestException:
            return False

    def use_certificate(self, certificate):
        """Shows another certificate."""
        self.stop()
        self.certificate = certificate
        self.start()

    def stop(self):
        if self.process:
            self.process.stop(timeout=5)

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()
