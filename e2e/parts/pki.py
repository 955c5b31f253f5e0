"""Certificates created with openssl: authorities, servers and clients."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


def _openssl(*arguments):
    done = subprocess.run(["openssl", *[str(a) for a in arguments]], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]} failed: {done.stderr}")


def _key(path: Path):
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)
    path.chmod(0o600)


def signing_key(path: Path):
    """An RSA pair for signing tokens: PATH and PATH.pub."""
    _openssl("genrsa", "-out", path, "2048")
    _openssl("rsa", "-in", path, "-pubout", "-out", f"{path}.pub")


@dataclass
class Certificate:
    cert: Path
    key: Path


class Authority:
    """A certificate authority with its files in one directory."""

    def __init__(self, directory: Path, name="pgsync e2e authority"):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.cert, self.key = self.directory / "ca.crt", self.directory / "ca.key"
        if self.cert.exists():
            return
        _key(self.key)
        _openssl("req", "-x509", "-new", "-key", self.key, "-subj", f"/CN={name}", "-days", "3650", "-out", self.cert,
                 "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def issue(self, name, subject, *, usage="serverAuth", sans="DNS:localhost,IP:127.0.0.1", expired=False) -> Certificate:
        """A certificate signed by this authority; expired=True: valid only on two days of the year 2020."""
        cert, key = self.directory / f"{name}.crt", self.directory / f"{name}.key"
        if cert.exists():
            return Certificate(cert, key)
        request, extensions = self.directory / f"{name}.csr", self.directory / f"{name}.ext"
        _key(key)
        _openssl("req", "-new", "-key", key, "-subj", subject, "-out", request)
        extensions.write_text(f"keyUsage=critical,digitalSignature\nextendedKeyUsage={usage}\n"
                              + (f"subjectAltName={sans}\n" if sans else ""))
        if expired:
            self._sign_expired(request, extensions, cert)
        else:
            _openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial",
                     "-days", "3650", "-extfile", extensions, "-out", cert)
        request.unlink()
        extensions.unlink()
        return Certificate(cert, key)

    def _sign_expired(self, request, extensions, cert):
        # Only `openssl ca` can set both dates; it needs its own small database.
        database = self.directory / "ca-database"
        database.mkdir(exist_ok=True)
        (database / "index.txt").write_text("")
        (database / "serial").write_text("01\n")
        config = database / "openssl.cnf"
        config.write_text(f"[ca]\ndefault_ca=it\n[it]\ndatabase={database}/index.txt\nserial={database}/serial\n"
                          f"new_certs_dir={database}\ndefault_md=sha256\npolicy=any\n[any]\ncommonName=supplied\n")
        _openssl("ca", "-batch", "-notext", "-config", config, "-cert", self.cert, "-keyfile", self.key, "-in", request,
                 "-startdate", "20200101000000Z", "-enddate", "20200102000000Z", "-extfile", extensions, "-out", cert)
