"""A domain of Amazon OpenSearch Service: a search engine behind a check of signatures, by the code of AWS' own client."""

import datetime
import hashlib
import json
import re
import secrets

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from .faultproxy import FaultProxy

REGION = "eu-central-1"
HEAD = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})")


class AwsDomain(FaultProxy):
    def __init__(self, upstream):
        super().__init__(upstream)
        self.rotate()
        self.refused = []
        self.refuse = self._refuse

    def rotate(self, session=True):
        """Only requests with these credentials pass from now on."""
        self.credentials = Credentials("AKIA" + secrets.token_hex(8).upper(), secrets.token_urlsafe(30), secrets.token_urlsafe(200) if session else None)

    def secret(self):
        """The keys of a Secret."""
        frozen = self.credentials.get_frozen_credentials()
        values = {"accessKeyId": frozen.access_key, "secretAccessKey": frozen.secret_key, "sessionToken": frozen.token}
        return {key: value for key, value in values.items() if value}

    def _refuse(self, method, path, headers, body):
        fault = self._fault_of(method, path, headers, body)
        if not fault:
            return None
        self.refused.append((method, path, fault))
        return 403, json.dumps({"message": fault})

    def _fault_of(self, method, path, headers, body):
        found = HEAD.fullmatch(headers.get("Authorization", ""))
        if not found:
            return "Missing Authentication Token"
        key, day, region, service, names, signature = found.groups()
        if (key, region, service) != (self.credentials.access_key, REGION, "es"):
            return "The security token included in the request is invalid."
        now = datetime.datetime.now(datetime.timezone.utc)
        sent = datetime.datetime.strptime(headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
        if abs((now - sent).total_seconds()) > 300 or day != headers["X-Amz-Date"][:8]:
            return "Signature expired"
        if headers["X-Amz-Content-Sha256"] != hashlib.sha256(body).hexdigest():
            return "The body is not the one that was signed."
        request = AWSRequest(method=method, url=f"http://{headers['Host']}{path}", data=body)
        for name in names.split(";"):
            request.headers[name] = headers[name]
        request.context["timestamp"] = headers["X-Amz-Date"]
        signer = SigV4Auth(self.credentials, service, region)
        if self.credentials.token != headers.get("X-Amz-Security-Token") or not {"host", "x-amz-date"} <= set(names.split(";")):
            return "The security token included in the request is invalid."
        if signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request) != signature:
            return "The request signature we calculated does not match the signature you provided."
        return None
