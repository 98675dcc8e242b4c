"""What the service takes on, and how it says no."""

from collections.abc import Sequence
from dataclasses import dataclass

from digitmlp.config import setting
from digitmlp.errors import DigitmlpError


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much one client may ask for, so that the others are served all the same."""

    body: int = setting(20_000_000, "bytes in the body of a request")
    json: int = setting(5_000_000, "bytes in a body of JSON, which takes many times as much memory")
    images: int = setting(10_000, "images in a request of raw bytes")
    json_images: int = setting(1_000, "images in a request of JSON; they fit in its bytes")
    head: int = setting(65_536, "bytes in the request line and the headers")
    held: int = setting(256_000_000, "bytes of all bodies being received or worked on")
    requests: int = setting(512, "requests being received or worked on")
    patience: float = setting(10.0, "seconds in which requests and answers must make progress")
    progress: int = setting(10_000, "bytes of a body or an answer that count as progress")
    linger: float = setting(
        2.0, "seconds for which the rest of a refused body is taken and dropped"
    )
    drain: int = setting(30, "seconds for requests under way when the service is told to stop")


class Refusal(DigitmlpError):  # noqa: N818 - a decision, not a failure
    """A request that is not answered; the status is HTTP's."""

    def __init__(
        self, status: int, message: str, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        self.status = status
        self.headers = headers
        super().__init__(message)


def busy(why: str) -> Refusal:
    """Return the refusal of a request that may well succeed in a second."""
    return Refusal(503, f"{why}; try again in a second", [(b"retry-after", b"1")])
