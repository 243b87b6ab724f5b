"""Which files an archive has, where it tells."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from backtester.data.http_client import HttpClient
from backtester.domain.errors import DownloadError

_PAGES_MAX = 1000


class S3Listing:
    """The listing of an S3 bucket at `url`: pages of keys, each asked for behind the last key of the page before it."""

    def __init__(self, http: HttpClient, url: str) -> None:
        self._http = http
        self._url = url

    def names(self, prefix: str) -> frozenset[str] | None:
        """The paths that begin with `prefix`; None where the archive does not tell, so that addresses have to be tried."""
        names: list[str] = []
        try:
            for _ in range(_PAGES_MAX):
                page, more = _page(self._http.get(self._url, params={"prefix": prefix, "marker": names[-1] if names else ""}))
                names += page
                if not more or not page:
                    return frozenset(names)
        except (DownloadError, ET.ParseError):
            return None
        return None


def _page(body: bytes) -> tuple[list[str], bool]:
    """The keys of one page and whether there are more. Raises ParseError for what is no listing."""
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise ET.ParseError("a listing has no document type")  # without one, the parser has nothing to expand
    root = ET.fromstring(body)  # noqa: S314 - entities need a document type, which was refused
    if root.tag.rpartition("}")[2] != "ListBucketResult":
        raise ET.ParseError("not a listing")
    keys = [element.text or "" for element in root.iterfind("{*}Contents/{*}Key")]
    return keys, (root.findtext("{*}IsTruncated") or "").strip() == "true"
