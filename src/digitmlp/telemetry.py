"""What the service tells of itself: metrics for Prometheus, a line of JSON a request."""

import ctypes
import json
import sys
import time
from collections.abc import Sequence
from multiprocessing.sharedctypes import RawArray
from typing import Any

ROUTES = ("/v1/predict", "/v1/read", "/v1/model", "/healthz", "/readyz", "/metrics", "other")
# 499 stands for clients that left, or were too slow, before their answer. What is no request, for
# its head is none or too long, is not counted.
STATUSES = (200, 403, 404, 405, 413, 415, 421, 422, 499, 500, 503)
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)  # seconds

_ROUTE = {route: place for place, route in enumerate(ROUTES)}
_STATUS = {status: place for place, status in enumerate(STATUSES)}
_BUCKETS = len(BOUNDS) + 1
# A row of numbers: the count of each route and status, each route's histogram and seconds, images.
_HISTOGRAMS = len(ROUTES) * len(STATUSES)
_SECONDS = _HISTOGRAMS + len(ROUTES) * _BUCKETS
_IMAGES = _SECONDS + len(ROUTES)
_WIDTH = _IMAGES + 1


def shared_rows(count: int) -> Any:
    """Return memory that processes share, for the numbers of this many of them."""
    return RawArray(ctypes.c_double, count * _WIDTH)


class Telemetry:
    """Counts requests; each process in a row of its own, so that none waits for another.

    rows  of all processes, from `shared_rows`; any of them answers with the sums
    log   print a line of JSON to stderr for every request
    """

    def __init__(self, rows: Any = None, place: int = 0, *, log: bool = False) -> None:
        self._rows = (ctypes.c_double * _WIDTH)() if rows is None else rows
        self._start = place % (len(self._rows) // _WIDTH) * _WIDTH
        self._log = log
        self.under_way = 0

    def count(self, path: str, status: int, seconds: float) -> None:
        """Count a request that is over."""
        route = _ROUTE.get(path, len(ROUTES) - 1)
        bucket = 0
        while bucket < len(BOUNDS) and seconds > BOUNDS[bucket]:
            bucket += 1
        rows, start = self._rows, self._start
        rows[start + route * len(STATUSES) + _STATUS.get(status, _STATUS[500])] += 1
        rows[start + _HISTOGRAMS + route * _BUCKETS + bucket] += 1
        rows[start + _SECONDS + route] += seconds

    def count_images(self, images: int) -> None:
        """Count images that were recognized for /v1/predict."""
        self._rows[self._start + _IMAGES] += images

    def write(self, scope: Any, status: int, seconds: float) -> None:
        """Print the line of a request, if lines are wanted."""
        if not self._log:
            return
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "client": (scope.get("client") or [None])[0],
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "seconds": round(seconds, 6),
        }
        sys.stderr.write(json.dumps(line) + "\n")

    def render(self) -> str:
        """Return the metrics in Prometheus's text format."""
        count = len(self._rows) // _WIDTH
        sums = [sum(self._rows[place::_WIDTH][:count]) for place in range(_WIDTH)]
        lines = _head("requests_total", "counter", "Requests, by route and status.")
        for route in ROUTES:
            for status in STATUSES:
                if requests := sums[_ROUTE[route] * len(STATUSES) + _STATUS[status]]:
                    labels = f'route="{route}",status="{status}"'
                    lines.append(f"digitmlp_requests_total{{{labels}}} {requests:.0f}")
        lines += _head("request_seconds", "histogram", "Seconds from request to answer, by route.")
        for route in ROUTES:
            first = _HISTOGRAMS + _ROUTE[route] * _BUCKETS
            lines += _histogram(
                f'route="{route}"', sums[first : first + _BUCKETS], sums[_SECONDS + _ROUTE[route]]
            )
        lines += _head("images_total", "counter", "Images recognized for /v1/predict.")
        lines.append(f"digitmlp_images_total {sums[_IMAGES]:.0f}")
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, help: str) -> list[str]:
    return [f"# HELP digitmlp_{name} {help}", f"# TYPE digitmlp_{name} {kind}"]


def _histogram(labels: str, counts: Sequence[float], seconds: float) -> list[str]:
    lines = []
    total = 0.0
    for bound, count in zip((*map(str, BOUNDS), "+Inf"), counts, strict=True):
        total += count
        lines.append(f'digitmlp_request_seconds_bucket{{{labels},le="{bound}"}} {total:.0f}')
    lines.append(f"digitmlp_request_seconds_sum{{{labels}}} {seconds:.6f}")
    lines.append(f"digitmlp_request_seconds_count{{{labels}}} {total:.0f}")
    return lines
