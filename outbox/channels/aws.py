"""What Amazon's services have in common: regions, credentials, signatures, and the errors that they all give.

botocore, of the extra `aws`, finds the credentials and signs (Signature Version 4); the requests are sent by our own
client. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from typing import TYPE_CHECKING, ClassVar, Self

from botocore import exceptions
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials, RefreshableCredentials
from botocore.session import Session
from pydantic import Field, model_validator

from outbox.channels.http import Answer, Client, error
from outbox.channels.settings import HttpSettings, Secret
from outbox.errors import Ambiguous, DeliveryError, Misconfigured, NotSent, Rejected, Temporary, Throttled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from botocore.credentials import Credentials

logging.getLogger("botocore").setLevel(logging.WARNING)  # it would log what it signs, with the session token in it

# https://docs.aws.amazon.com/sns/latest/api/CommonErrors.html, and the names that services with JSON give the same
CODES: Mapping[str, type[DeliveryError]] = {
    "AccessDeniedException": Misconfigured,  # IAM does not allow it
    "AccessDenied": Misconfigured,  # the same
    "NotAuthorized": Misconfigured,  # the same
    "OptInRequired": Misconfigured,  # the account has not subscribed to the service
    "InvalidClientTokenId": Misconfigured,  # there is no such access key
    "UnrecognizedClientException": Misconfigured,  # the same, or a wrong session token
    "SignatureDoesNotMatch": Misconfigured,  # the wrong secret key, a wrong clock, or something between that alters it
    "InvalidSignatureException": Misconfigured,  # the same
    "IncompleteSignature": Misconfigured,  # as above
    "MissingAuthenticationToken": Misconfigured,  # not signed: something between takes headers away
    "MissingAuthenticationTokenException": Misconfigured,  # the same
    "ExpiredToken": Misconfigured,  # the session token is too old
    "ExpiredTokenException": Misconfigured,  # the same
    "RequestExpired": Misconfigured,  # more than 15 minutes between this clock and Amazon's
    "UnknownOperationException": Misconfigured,  # `url` is that of another service
    "ValidationError": Rejected,
    "ValidationException": Rejected,
    "Throttling": Throttled,
    "ThrottlingException": Throttled,
    "InternalFailure": Ambiguous,
    "ServiceUnavailable": Temporary,
}

_REGION = r"^[a-z]{2,4}(-[a-z]+)+-\d+$"
_SUFFIXES = {"cn": "amazonaws.com.cn", "eusc": "amazonaws.eu"}  # China, and the European Sovereign Cloud
_CLOCK = re.compile(r"Signature (?:expired|not yet current)")
RENEWAL_PAUSE = 10.0
"""Seconds until the next try to renew credentials that are still good."""
_NOT_GOOD_FOR_LONG = 600  # seconds before their end from which on nobody signs with credentials that can be renewed
_UNREACHED = (exceptions.ConnectionError, exceptions.HTTPClientError)
# The words of other errors may quote what a program or a service said, which could be anything.
_PLAIN_SPOKEN = (
    exceptions.ConfigParseError,
    exceptions.PartialCredentialsError,
    exceptions.ProfileNotFound,
    exceptions.SSOError,
)


class AwsSettings(HttpSettings):
    """The base for the settings of Amazon's services.

    - `region` is the region's code; `url` is the service's there, if it is not given.
    - `access_key_id` and `secret_access_key`, with `session_token` where there is one, are used as they are. Without
      them botocore looks where it always does: in the environment, in the files of the AWS CLI (`profile` names one
      of theirs), a web identity, SSO, a process, or the metadata of the container or the machine.
    """

    host: ClassVar[str]
    """The first label of the service's host names."""

    region: str = Field(pattern=_REGION, description="a region's code, such as eu-west-1")
    access_key_id: Secret | None = None
    secret_access_key: Secret | None = None
    session_token: Secret | None = None
    profile: str | None = Field(default=None, min_length=1, description="a profile of the AWS CLI's configuration")

    @model_validator(mode="before")
    @classmethod
    def _url_follows_region(cls, given: object) -> object:
        if not isinstance(given, dict) or given.get("url") is not None:
            return given
        region = str(given.get("region"))
        place = (
            region if re.fullmatch(_REGION, region) else "us-east-1"
        )  # a wrong one is told of, and its URL need not be
        return given | {"url": f"https://{cls.host}.{place}.{_SUFFIXES.get(place.split('-')[0], 'amazonaws.com')}"}

    @model_validator(mode="after")
    def _credentials_are_whole(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key go together: give both, or neither")
        if self.session_token is not None and self.access_key_id is None:
            raise ValueError("session_token goes with access_key_id and secret_access_key")
        if self.profile is not None and self.access_key_id is not None:
            raise ValueError("profile and access_key_id are two ways to say the same: give one")
        return self


class SignedClient:
    """One service's connections. Each request is signed; making this opens nothing, and looks for nothing.

    Use it in one event loop, and end with `aclose`.
    """

    def __init__(self, settings: AwsSettings, service: str, *, accept: str = "application/json") -> None:
        """`service` is what the signature calls it, which may differ from its host."""
        self._url = settings.url.rstrip("/")
        self._scope = service, settings.region
        self._credentials = _CredentialSource(settings)
        self._client = Client(settings, headers={"accept": accept})

    async def aclose(self) -> None:
        """Close the connections, and wait for no credentials any more."""
        self._credentials.give_up()
        await self._client.aclose()

    async def request(self, method: str, path: str, content: bytes = b"", content_type: str = "") -> Answer:
        """Sign one request, send it, and return its answer, whatever its status.

        Raises:
            DeliveryError: as `Client.request`; or there are no credentials, so that nothing was sent.
        """
        credentials = await self._credentials.current()
        headers = {"content-type": content_type} if content else {}
        request = AWSRequest(method, f"{self._url}{path}", data=content, headers=headers)
        SigV4Auth(credentials, *self._scope).add_auth(request)
        answer = await self._client.request(method, path, content=content or None, headers=dict(request.headers))
        if answer.status in {401, 403}:
            self._credentials.forget()
        return answer


def refusal(answer: Answer, code: str, message: str, codes: Mapping[str, type[DeliveryError]]) -> DeliveryError:
    """Return what a refusal means, by a service's own `codes`; with a word about the clock where that is the cause."""
    words = message.partition("The Canonical String")[0]  # what should have been signed, with the session token in it
    if code == "RequestExpired" or _CLOCK.search(words):
        words = f"{words} (is the clock of this machine right?)"
    return error(answer, code=code, detail=words, codes=codes)


class _CredentialSource:
    """The credentials of one provider: those of its settings, or what botocore finds, renewed before they run out.

    botocore renews them from 15 minutes before their end on. It blocks, so it is asked in a thread, once at a time; and
    nobody waits for that while those in hand are good for ten minutes more.
    """

    def __init__(self, settings: AwsSettings) -> None:
        self._settings = settings
        self._given = _given(settings)
        self._source: Credentials | None = None
        self._found: ReadOnlyCredentials | None = None
        self._search: asyncio.Future[ReadOnlyCredentials] | None = None
        self._renew_at = 0.0

    async def current(self) -> ReadOnlyCredentials:
        """Return credentials that are good for a while.

        Raises:
            Misconfigured: there are none, or they are refused.
            Temporary: what issues them cannot be reached.
            NotSent: it was cancelled, and no message went out.
        """
        present = self._given or self._found
        if present is not None and not _runs_out(self._source, _NOT_GOOD_FOR_LONG):
            if _runs_out(self._source) and time.monotonic() >= self._renew_at:
                self._searching()
            return present
        try:
            async with asyncio.timeout(self._settings.timeout):
                return await asyncio.shield(self._searching())
        except TimeoutError:
            raise Temporary(f"no credentials within {self._settings.timeout:g} s") from None
        except asyncio.CancelledError:
            raise NotSent from None

    def forget(self) -> None:
        """Look for them anew the next time: they were refused, and a file may have newer ones."""
        self._source = self._found = None

    def give_up(self) -> None:
        """Wait no longer for a search that is under way."""
        if self._search is not None:
            self._search.cancel()

    def _searching(self) -> asyncio.Future[ReadOnlyCredentials]:
        """Return the search that is under way, or begin one."""
        if self._search is None or self._search.done():
            self._search = asyncio.ensure_future(asyncio.to_thread(self._find))
            self._search.add_done_callback(self._searched)
        return self._search

    def _searched(self, search: asyncio.Future[ReadOnlyCredentials]) -> None:
        self._renew_at = time.monotonic() + RENEWAL_PAUSE
        if not search.cancelled():
            search.exception()  # it is told to who waits, and nobody may

    def _find(self) -> ReadOnlyCredentials:
        try:
            source = self._source or self._chain()
            found = source.get_frozen_credentials()
        except exceptions.ClientError as trouble:
            raise _refused(trouble) from None
        except (exceptions.BotoCoreError, OSError, RuntimeError, ValueError) as trouble:
            kind = Temporary if isinstance(trouble, _UNREACHED) else Misconfigured
            said = f": {trouble}" if isinstance(trouble, _PLAIN_SPOKEN) else ""
            raise kind(f"no credentials: {type(trouble).__name__}{said}") from None
        self._source, self._found = source, found
        return found

    def _chain(self) -> Credentials:
        session = Session(profile=self._settings.profile)
        session.set_config_variable("region", self._settings.region)  # of the service that may have to issue them
        found = session.get_credentials()
        if found is None:
            raise Misconfigured("no credentials: neither in the settings nor anywhere where botocore looks for them")
        return found


def _given(settings: AwsSettings) -> ReadOnlyCredentials | None:
    key, secret, token = settings.access_key_id, settings.secret_access_key, settings.session_token
    if key is None or secret is None:
        return None
    session = token.get_secret_value() if token is not None else None
    return ReadOnlyCredentials(key.get_secret_value(), secret.get_secret_value(), session)


def _runs_out(source: Credentials | None, seconds: int | None = None) -> bool:
    """Tell whether credentials end within so many seconds, or soon enough for botocore to renew them."""
    return isinstance(source, RefreshableCredentials) and source.refresh_needed(seconds)


def _refused(trouble: exceptions.ClientError) -> DeliveryError:
    """Return what it means that the service which issues credentials (STS, SSO) refuses us."""
    code = trouble.response.get("Error", {}).get("Code", "")
    status = trouble.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    passes = status in {429, 500, 502, 503, 504} or "Throttl" in code
    kind = Temporary if passes else Misconfigured
    return kind(f"no credentials: {trouble.operation_name} was refused", code=code)
