"""What S3 is opened with, and what it says when that does not work: refusals without secrets, overrides, defaults."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from botocore.exceptions import NoCredentialsError

from marksweep.errors import StoreRefused
from marksweep.model.store import KeyFailed, StoredObject
from marksweep.model.uri import locate
from marksweep.store import s3_options
from tests.contract.store_worlds import CREDENTIALS, Call, S3World, failing, place

pytestmark = pytest.mark.anyio


async def test_a_missing_bucket_is_refused(s3_world: S3World) -> None:
    """Not an empty listing: a bucket that is not there is a wrong store."""
    async with s3_world.open("s3://no-such-bucket-here/zenml") as store:
        for ask in (store.undo, lambda: store.list(locate("s3://no-such-bucket-here/zenml/v"))):
            with pytest.raises(StoreRefused, match="NoSuchBucket") as refused:
                await ask()
            assert "endpoint_url" in refused.value.remedy
        (outcome,) = await store.delete([StoredObject("zenml/v/a", 1, "t")])
        assert isinstance(outcome, KeyFailed)
        assert outcome.code == "NoSuchBucket"


async def test_a_server_that_is_not_there_is_refused(s3_world: S3World) -> None:
    """Nobody listens: the refusal names the endpoint and what to check."""
    once = {"retries": {"max_attempts": 1, "mode": "standard"}}
    async with s3_world.open(endpoint_url="http://127.0.0.1:9", config_kwargs=once) as store:
        with pytest.raises(StoreRefused, match=r"127\.0\.0\.1:9") as refused:
            await store.undo()
        (outcome,) = await store.delete([StoredObject("zenml/v/a", 1, "t")])
    assert "reached" in refused.value.remedy
    assert isinstance(outcome, KeyFailed)
    assert outcome.code == "EndpointConnectionError"


async def test_no_error_holds_a_secret(s3_world: S3World, requests: tuple[Counter[str], list[Call]]) -> None:
    """Whatever a server or a library echoes, credentials are taken out, and no cause or context is left to print."""
    given: dict[str, Any] = {"key": "AKIAGIVEN", "secret": "given/secret+", "token": "given-token"}
    everything = [*given.values(), CREDENTIALS["AWS_SECRET_ACCESS_KEY"], "given%2Fsecret%2B", "hunter2"]
    requests[1].append(failing("Odd", " ".join(everything) + " http://me:hunter2@host/x"))
    async with s3_world.open(**given) as store:
        with pytest.raises(StoreRefused, match="Odd") as refused:
            await store.list(place(s3_world, "v"))
        (outcome,) = await store.delete([StoredObject("zenml/v/a", 1, "t")])
    assert refused.value.__suppress_context__
    assert isinstance(outcome, KeyFailed)
    for text in (str(refused.value), refused.value.remedy, outcome.message):
        assert not [secret for secret in everything[:-1] if secret in text]
        assert "me:hunter2" not in text


async def test_missing_credentials_are_refused_with_a_remedy(
    s3_world: S3World, requests: tuple[Counter[str], list[Call]]
) -> None:
    """botocore found none: the remedy names the variables."""

    def fail(operation: str, _: dict[str, Any]) -> None:
        raise NoCredentialsError

    requests[1].append(fail)
    async with s3_world.open() as store:
        with pytest.raises(StoreRefused) as refused:
            await store.undo()
    assert "AWS_PROFILE" in refused.value.remedy


async def test_an_unknown_override_is_refused_by_name(s3_world: S3World) -> None:
    """A typo in the file does not pass silently, and its value is not shown."""
    with pytest.raises(StoreRefused, match="endpoint_ulr") as refused:
        async with s3_world.open(endpoint_ulr="http://secret"):
            pass
    assert "endpoint_url" in refused.value.remedy
    assert "http://secret" not in str(refused.value)


@pytest.mark.parametrize(
    "overrides",
    [
        {"profile": "no-such-profile"},
        {"config_kwargs": {"no_such_setting": 1}},
        {"client_kwargs": {"no_such_argument": 1}},
        {"endpoint_url": "no url at all"},
        {"client_kwargs": "[1]"},
        {"config_kwargs": "{"},
    ],
)
async def test_options_that_no_client_takes_are_refused(s3_world: S3World, overrides: dict[str, Any]) -> None:
    """What botocore would raise as a TypeError is a StoreRefused."""
    with pytest.raises(StoreRefused) as refused:
        async with s3_world.open(**overrides):
            pass
    assert refused.value.remedy


def test_overrides_win_over_the_catalog_and_defaults_fill_in() -> None:
    """endpoint_url, region and credentials become client arguments; retries and connections have defaults."""
    options = {"client_kwargs": '{"endpoint_url": "http://catalog", "verify": false}', "region": "eu-west-1"}
    made = s3_options.filesystem_arguments(
        [
            options,
            {"endpoint_url": "http://mine", "profile": "p", "key": "k", "config_kwargs": {"retries": {"mode": "x"}}},
        ],
        7,
    )
    assert made == {
        "profile": "p",
        "client_kwargs": {
            "endpoint_url": "http://mine",
            "verify": False,
            "region_name": "eu-west-1",
            "aws_access_key_id": "k",
        },
        "config_kwargs": {"retries": {"mode": "x"}, "max_pool_connections": 7, "parameter_validation": False},
    }
    assert s3_options.filesystem_arguments([{}], 7)["config_kwargs"]["retries"]["total_max_attempts"] == 1
