"""What went wrong between here and the Hugging Face Hub, in one sentence that says what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError, HTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled


NO_TOKEN = (
    "no access token is known: log in by `hf auth login`, or set HF_TOKEN to a token with write access "
    "(huggingface.co/settings/tokens)"
)

# everything that huggingface_hub lets through while it pushes; chained errors say what was behind it
HUB_ERRORS = (HTTPError, OSError, ValueError, RuntimeError, KeyError)

_UNREACHED = ("ConnectError", "ConnectTimeout", "ProxyError", "UnsupportedProtocol")


class PublishError(OSError):
    """A push that did not succeed; what is on disk is as it was, and pushing again is safe."""


@contextmanager
def explained(repo_id: str, about: str | None = None) -> Iterator[None]:
    """
    Turn whatever huggingface_hub raises inside into a [`PublishError`] of one sentence.

    Args:
        repo_id: where the push goes.
        about: the repository that is asked for; by default that one.
    """
    try:
        yield
    except PublishError:
        raise
    except HUB_ERRORS as error:
        raise PublishError(f"pushing to {repo_id} failed: {reason(error, about or repo_id)}") from error


def reason(error: BaseException, repo_id: str) -> str:
    """
    Say what an error of huggingface_hub means for a push.

    Args:
        error: what was raised; it, or what it was raised from, is looked at.
        repo_id: where the push went.

    Returns:
        what happened and what to do, in one line without a full stop.
    """
    if type(error) is ValueError and error.__cause__ is not None:  # what the Hub found wrong with a card
        return f"{_one_line(str(error))}: correct that and push again"
    chain = list(_chain(error))
    for link in chain:
        if isinstance(link, OfflineModeIsEnabled):
            return "huggingface_hub is in offline mode: unset HF_HUB_OFFLINE and push again"
        if isinstance(link, LocalTokenNotFoundError):
            return NO_TOKEN
        if isinstance(link, HfHubHTTPError):
            return _of_answer(link, repo_id)
        if isinstance(link, HTTPError):
            return _of_connection(link)
    said = _one_line(str(chain[-1])) or "no message"
    if isinstance(chain[-1], (ConnectionError, TimeoutError)):  # as hf_xet has it, whatever the server answered
        return f"the connection to {constants.ENDPOINT} broke off ({said}): push again, or with HF_HUB_DISABLE_XET=1"
    return f"{type(chain[-1]).__name__}: {said}"


def _of_answer(error: HfHubHTTPError, repo_id: str) -> str:
    status = error.response.status_code
    said = _one_line(error.server_message or "")
    answer = f"({status}{': ' + said if said else ''})"
    known = {
        401: f"the Hub does not accept the access token {answer}: log in anew by `hf auth login`, or set HF_TOKEN",
        402: f"the account's plan does not cover this {answer}: see huggingface.co/settings/billing",
        403: f"the access token may not write to {repo_id} {answer}: take a token or a name that may",
        404: f"{repo_id}, or the branch of it, is not there for this access token {answer}: check name and token",
        409: f"{repo_id} is being changed by somebody else {answer}: push again in a minute",
        412: f"{repo_id} was changed by somebody else meanwhile {answer}: push again",
        429: f"the Hub had too many requests {answer}: push again {_when(error.response.headers)}",
    }
    if status >= 500:
        return f"the Hub is in trouble {answer}: push again later, see status.huggingface.co"
    return known.get(status, f"the Hub refused the push {answer}: correct that and push again")


def _of_connection(error: HTTPError) -> str:
    said = f"({_one_line(str(error)) or type(error).__name__})"
    if type(error).__name__ in _UNREACHED:
        return f"{constants.ENDPOINT} cannot be reached {said}: check network, proxy and HF_ENDPOINT, then push again"
    return f"the connection to {constants.ENDPOINT} broke off {said}: push again"


def _when(headers) -> str:
    """Of a 429, where it says so in plain seconds."""
    seconds = headers.get("Retry-After", "")
    return f"in {seconds} s" if seconds.isdigit() else "later"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
