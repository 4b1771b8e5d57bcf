"""Explain in one sentence what went wrong between this machine and the Hugging Face Hub, and what to do about it."""

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError, HTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled


NO_TOKEN = (
    "no access token is known: log in with `hf auth login`, or set HF_TOKEN to a token with write access "
    "(huggingface.co/settings/tokens)"
)
# everything that huggingface_hub raises while it pushes; chained errors have the cause
HUB_ERRORS = (HTTPError, OSError, ValueError, RuntimeError, KeyError)
# HTTP status -> what happened, and what to do
ANSWERS = {
    401: ("the Hub does not accept the access token", "log in again with `hf auth login`, or set HF_TOKEN"),
    402: ("the account's plan does not cover this", "see huggingface.co/settings/billing"),
    403: ("the access token may not write to {repo_id}", "use a token or a name that may"),
    404: ("{repo_id}, or its branch, does not exist for this access token", "check the name and the token"),
    409: ("somebody else is changing {repo_id}", "push again in a minute"),
    412: ("somebody else changed {repo_id} meanwhile", "push again"),
    429: ("the Hub had too many requests", "push again {when}"),
}
REJECTED = ("the Hub rejected the push", "correct that and push again")
BROKEN = ("the Hub is in trouble", "push again later, see status.huggingface.co")


class PublishError(OSError):
    """A push that did not succeed. Nothing on disk has changed, and pushing again is safe."""


@contextmanager
def explained(repo_id: str, about: str | None = None) -> Iterator[None]:
    """Turn whatever huggingface_hub raises inside the block into a [`PublishError`] of one sentence.

    The block is part of a push to `repo_id`, and its calls ask for the repository `about`, by default the same.
    """
    try:
        yield
    except PublishError:
        raise
    except HUB_ERRORS as error:
        raise PublishError(f"pushing to {repo_id} failed: {_explanation(error, about or repo_id)}") from error


def _explanation(error: BaseException, repo_id: str) -> str:
    if type(error) is ValueError and error.__cause__ is not None:  # what the Hub found wrong with a card
        return f"{_one_line(str(error))}: correct that and push again"
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    for link in chain:
        if isinstance(link, OfflineModeIsEnabled):
            return "huggingface_hub is in offline mode: unset HF_HUB_OFFLINE and push again"
        if isinstance(link, LocalTokenNotFoundError):
            return NO_TOKEN
        if isinstance(link, HfHubHTTPError):
            return _answer(link, repo_id)
        if isinstance(link, HTTPError):
            return f"{_no_connection(link)}: check network, proxy and HF_ENDPOINT, then push again"
    if isinstance(chain[-1], (ConnectionError, TimeoutError)):  # raised by hf_xet, whatever the server answered
        return f"{_no_connection(chain[-1])}: push again, or with HF_HUB_DISABLE_XET=1"
    return f"{type(chain[-1]).__name__}: {_one_line(str(chain[-1])) or 'no message'}"


def _answer(error: HfHubHTTPError, repo_id: str) -> str:
    status, message = error.response.status_code, _one_line(error.server_message or "")
    what, remedy = ANSWERS.get(status, BROKEN if status >= 500 else REJECTED)
    seconds = error.response.headers.get("Retry-After", "")
    remedy = remedy.format(when=f"in {seconds} s" if seconds.isdigit() else "later")
    return f"{what.format(repo_id=repo_id)} ({status}{': ' + message if message else ''}): {remedy}"


def _no_connection(error: BaseException) -> str:
    return f"the connection to {constants.ENDPOINT} failed ({_one_line(str(error)) or type(error).__name__})"


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
