from __future__ import annotations

from pathlib import Path

import pytest

from backtester.config.configs import DownloaderConfig, RunContext
from backtester.domain.errors import ConfigError


def test_a_run_context_needs_only_an_id():
    context = RunContext(run_id="r1")
    assert (context.seed, context.git_sha, context.allow_net) == (42, "HEAD", True)
    with pytest.raises(AttributeError):
        context.seed = 1


@pytest.mark.parametrize(
    "keys",
    [
        {"run_id": ""},
        {"run_id": "a/b"},
        {"run_id": "a", "seed": -1},
        {"run_id": "a", "seed": "7"},
        {"run_id": "a", "allow_net": 1},
        {"run_id": "a", "git_sha": ""},
    ],
)
def test_a_run_context_refuses_what_names_nothing(keys):
    with pytest.raises(ConfigError):
        RunContext(**keys)


def test_a_download_knows_where_it_reads_and_writes():
    config = DownloaderConfig(base_dir="data", log_dir=Path("logs"), download_run_id="d1", base_url="http://mirror/x/")
    assert (config.base_dir, config.log_dir, config.base_url) == (Path("data"), Path("logs"), "http://mirror/x")


@pytest.mark.parametrize(
    "keys", [{"base_dir": ""}, {"base_dir": 3}, {"download_run_id": ".."}, {"base_url": "mirror"}, {"rest_url": "ftp://x"}]
)
def test_a_download_refuses_places_that_are_none(keys):
    with pytest.raises(ConfigError, match=next(iter(keys))):
        DownloaderConfig(**{"base_dir": "data", "log_dir": "logs", "download_run_id": "d1", **keys})
