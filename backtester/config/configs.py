"""Settings of a download: what it runs as, and where it reads and writes."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from backtester.domain.errors import ConfigError

ARCHIVE_URL = "https://data.binance.vision"
REST_URL = "https://api.binance.com"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_URL = re.compile(r"https?://[^/\s]+\S*")


class RunContext(msgspec.Struct, frozen=True, kw_only=True):
    """Who runs: an id that names directories, the seed, the code's version, and whether the network may be used."""

    run_id: str
    seed: int = 42
    git_sha: str = "HEAD"
    allow_net: bool = True

    def __post_init__(self) -> None:
        _require_id("run_id", self.run_id)
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise ConfigError(f"seed must be a whole number that is not negative; it is {self.seed!r}")
        if not isinstance(self.allow_net, bool):
            raise ConfigError(f"allow_net must be true or false; it is {self.allow_net!r}")
        if not self.git_sha:
            raise ConfigError("git_sha must not be empty; HEAD stands for the current commit")


class DownloaderConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where a download writes (`base_dir` the catalog, `log_dir` its audit) and where it reads from.

    `base_url` is an archive of daily and monthly files, `rest_url` the venue's interface; a mirror goes here.
    """

    base_dir: Path
    log_dir: Path
    download_run_id: str
    base_url: str = ARCHIVE_URL
    rest_url: str = REST_URL

    def __post_init__(self) -> None:
        for name in ("base_dir", "log_dir"):
            value = getattr(self, name)
            if not isinstance(value, (str, Path)) or not str(value):
                raise ConfigError(f"{name} must be a directory; it is {value!r}")
            msgspec.structs.force_setattr(self, name, Path(value))
        _require_id("download_run_id", self.download_run_id)
        for name in ("base_url", "rest_url"):
            value = getattr(self, name)
            if not isinstance(value, str) or not _URL.fullmatch(value):
                raise ConfigError(f"{name} must be an address such as {ARCHIVE_URL}; it is {value!r}")
            msgspec.structs.force_setattr(self, name, value.rstrip("/"))


def _require_id(name: str, value: object) -> None:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise ConfigError(f"{name} must be letters, digits, '-', '_' and '.'; it is {value!r}")
