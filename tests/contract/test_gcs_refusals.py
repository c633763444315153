"""What Google Cloud Storage is opened with, and what it says when that does not work: refusals without secrets, options."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gcsfs.credentials import GoogleCredentials
from gcsfs.retry import HttpError

from marksweep.errors import StoreRefused
from marksweep.model.store import KeyDenied, KeyFailed, StoredObject
from marksweep.model.uri import locate
from marksweep.model.version import ArtifactStore
from marksweep.store import gcs, gcs_client
from marksweep.store.gcs_client import FRESH, GOOD
from marksweep.store.gcs_options import KNOWN, METHODS, read_options
from marksweep.store.retry import Retry
from tests.contract.gcs_world import GcsWorld
from tests.contract.store_worlds import place
from tests.support.gcs_server import refused

pytestmark = pytest.mark.anyio

TOKEN = "ya29.a-secret/that+must=never-be-shown"


@pytest.fixture
def unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """gcsfs asks Google when an access token ends; not in tests."""
    monkeypatch.setenv("FETCH_RAW_TOKEN_EXPIRY", "false")


async def test_a_missing_bucket_is_refused(gcs_world: GcsWorld) -> None:
    """Not an empty listing: a bucket that is not there is a wrong store."""
    async with gcs_world.open("gs://no-such-bucket-here/zenml") as store:
        with pytest.raises(StoreRefused, match="NoSuchBucket") as refusal:
            await store.list(locate("gs://no-such-bucket-here/zenml/v"))
    assert "endpoint_url" in refusal.value.remedy


async def test_a_server_that_is_not_there_is_refused(gcs_world: GcsWorld) -> None:
    """Nobody listens: the refusal names the endpoint and what to check."""
    once = Retry(attempts=1)
    async with gcs_world.open(endpoint_url="http://127.0.0.1:9", retry=once) as store:
        with pytest.raises(StoreRefused, match=r"127\.0\.0\.1:9") as refusal:
            await store.undo()
        (outcome,) = await store.delete([StoredObject("zenml/v/a", 1, "1")])
    assert "reached" in refusal.value.remedy
    assert isinstance(outcome, KeyFailed)
    assert outcome.code == "Unanswered"


async def test_a_listing_that_is_denied_names_the_role(gcs_world: GcsWorld) -> None:
    """What to grant, and on what."""
    gcs_world.front.faults.append(lambda *_: refused(403, "forbidden", "x@y does not have storage.objects.list"))
    async with gcs_world.open() as store:
        with pytest.raises(StoreRefused, match=r"storage\.objects\.list.*\(forbidden\)") as refusal:
            await store.list(place(gcs_world, "v"))
    assert "roles/storage.objectUser" in refusal.value.remedy


async def test_no_error_holds_a_secret(gcs_world: GcsWorld, unasked: None) -> None:
    """Whatever a server echoes, credentials are taken out, and no cause or context is left to print."""
    echoes = f"{TOKEN} ya29.a-secret%2Fthat%2Bmust%3Dnever-be-shown http://me:hunter2@host/x?y=z Bearer other-token"
    gcs_world.front.faults.append(lambda *_: refused(403, "odd", echoes))
    async with gcs_world.open(token=TOKEN) as store:
        with pytest.raises(StoreRefused, match="odd") as refusal:
            await store.list(place(gcs_world, "v"))
        (outcome,) = await store.delete([StoredObject("zenml/v/a", 1, "1")])
    assert refusal.value.__suppress_context__
    assert isinstance(outcome, KeyDenied)
    for text in (str(refusal.value), refusal.value.remedy, outcome.message):
        assert not [secret for secret in ("a-secret", "hunter2", "y=z", "other-token") if secret in text]


async def test_a_token_that_cannot_be_had_is_refused_without_it(
    gcs_world: GcsWorld, unasked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends in the middle of a sweep, and cannot be renewed."""

    def fail(self: object, out: dict[str, str]) -> None:
        raise HttpError({"code": 401, "message": f"Invalid Credentials {TOKEN}"})

    async with gcs_world.open(token=TOKEN) as store:
        monkeypatch.setattr(GoogleCredentials, "apply", fail)
        with pytest.raises(StoreRefused, match="no token") as refusal:
            await store.list(place(gcs_world, "v"))
        (outcome,) = await store.delete([StoredObject("zenml/v/a", 1, "1")])
    assert "gcloud auth application-default login" in refusal.value.remedy
    assert isinstance(outcome, KeyFailed)
    assert outcome.code == "Credentials"
    assert "a-secret" not in f"{refusal.value} {outcome.message}"


async def test_a_token_that_cannot_be_renewed_yet_is_used_on(
    gcs_world: GcsWorld, unasked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gcsfs renews it long before it ends: a moment without Google's token server stops no sweep, a long one does."""
    clock = [1_000.0]
    monkeypatch.setattr(gcs_client, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    async with gcs_world.open(token=TOKEN) as store:
        await store.list(place(gcs_world, "v"))

        def fail(self: object, out: dict[str, str]) -> None:
            raise OSError("the network is down")

        monkeypatch.setattr(GoogleCredentials, "apply", fail)
        for _ in range(3):
            clock[0] += FRESH + 1
            await store.list(place(gcs_world, "v"))
        clock[0] += GOOD
        with pytest.raises(StoreRefused, match="network is down"):
            await store.list(place(gcs_world, "v"))
    assert {request.headers.get("Authorization") for request in gcs_world.front.requests} == {f"Bearer {TOKEN}"}


async def test_an_access_token_that_nobody_confirms_is_refused_without_it(
    gcs_world: GcsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gcsfs asks Google in a URL that holds the token; that the proxy refuses it shows neither."""
    monkeypatch.delenv("FETCH_RAW_TOKEN_EXPIRY", raising=False)
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(StoreRefused, match="cannot be opened") as refusal:
        async with gcs_world.open(token=TOKEN):
            pass
    assert "a-secret" not in str(refusal.value)
    assert refusal.value.__suppress_context__


async def test_missing_credentials_are_refused_with_a_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Google's own endpoint is never tried without credentials unless somebody says ``anon``."""
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "absent"))
    with pytest.raises(StoreRefused, match="credentials") as refusal:
        async with gcs.open_store(ArtifactStore("id", "name", "gcp", "gs://bucket/zenml")):
            pass
    assert "gcloud auth application-default login" in refusal.value.remedy


async def test_credentials_go_with_every_request(gcs_world: GcsWorld, unasked: None) -> None:
    """Listings and batches carry the token; without one, an unencrypted endpoint gets none."""
    gcs_world.put("v/a", "v/b")
    async with gcs_world.open(token=TOKEN) as store:
        await store.undo()
        await store.delete((await store.list(place(gcs_world, "v")))[:1])
    assert {request.headers.get("Authorization") for request in gcs_world.front.requests} == {f"Bearer {TOKEN}"}
    assert {request.kind for request in gcs_world.front.requests} == {"bucket", "list", "batch"}
    gcs_world.front.requests.clear()
    async with gcs_world.open() as store:
        await store.delete(await store.list(place(gcs_world, "v")))
    assert {request.headers.get("Authorization") for request in gcs_world.front.requests} == {None}


@pytest.mark.parametrize("pays", [{"requester_pays": "payer"}, {"requester_pays": True, "project": "payer"}])
async def test_who_pays_is_named_in_every_call(gcs_world: GcsWorld, pays: dict[str, object]) -> None:
    """Listings, and each call of a batch, of a bucket whose requesters pay."""
    gcs_world.put("v/a")
    async with gcs_world.open(**pays) as store:
        await store.delete(await store.list(place(gcs_world, "v")))
    (batch,) = gcs_world.front.of_kind("batch")
    assert b"userProject=payer HTTP/1.1" in batch.body
    assert all("userProject=payer" in request.target for request in gcs_world.front.of_kind("list"))


async def test_a_bucket_whose_requesters_pay_says_so(gcs_world: GcsWorld) -> None:
    """Google's words for it are those of any missing parameter; the remedy names the option."""
    words = "Bucket is a requester pays bucket but no user project provided."
    gcs_world.front.faults.append(lambda *_: refused(400, "required", words))
    async with gcs_world.open() as store:
        with pytest.raises(StoreRefused, match="UserProjectMissing") as refusal:
            await store.list(place(gcs_world, "v"))
    assert "requester_pays" in refusal.value.remedy


async def test_an_unknown_override_is_refused_by_name(gcs_world: GcsWorld) -> None:
    """A typo in the file does not pass silently, and its value is not shown."""
    with pytest.raises(StoreRefused, match="endpoint_ulr") as refusal:
        async with gcs_world.open(endpoint_ulr="http://secret"):
            pass
    assert "endpoint_url" in refusal.value.remedy
    assert "http://secret" not in str(refusal.value)


@pytest.mark.parametrize(
    "overrides",
    [
        {"token": 7},
        {"token": ""},
        {"token": {"private_key": "very-secret"}},
        {"project": ["x"]},
        {"endpoint_url": 7},
        {"requester_pays": 1.5},
        {"requester_pays": True},
        {"session_kwargs": "x"},
        {"session_kwargs": {"no_such_argument": 1}},
    ],
)
async def test_options_that_cannot_be_used_are_refused(gcs_world: GcsWorld, overrides: dict[str, Any]) -> None:
    """What would be an exception of some library is a StoreRefused with a remedy."""
    with pytest.raises(StoreRefused) as refusal:
        async with gcs_world.open(**overrides):
            pass
    assert refusal.value.remedy
    assert "very-secret" not in str(refusal.value)


@pytest.mark.parametrize("path", ["key-that-is-not-there.json", "~/nowhere/key", "./key"])
async def test_a_key_file_that_is_not_there_is_no_access_token(gcs_world: GcsWorld, unasked: None, path: str) -> None:
    """gcsfs would take its name for one, and send it."""
    with pytest.raises(StoreRefused, match="a file that is not there"):
        async with gcs_world.open(token=path):
            pass


@pytest.mark.parametrize("root", ["gs://", "s3://b/x", "/local", "gs://user:pw@b/x", "gs://b//x", "gs://b/../c"])
async def test_a_root_with_more_than_one_meaning_is_refused(gcs_world: GcsWorld, root: str) -> None:
    """Only a plain root is opened, and the refusal shows no password."""
    with pytest.raises(StoreRefused) as refusal:
        async with gcs_world.open(root):
            pass
    assert "pw" not in str(refusal.value)


async def test_a_whole_bucket_may_be_the_root(gcs_world: GcsWorld) -> None:
    """With the bucket as root everything in it may be named, except the bucket."""
    gcs_world.put_keys("v/a", "w")
    async with gcs_world.open(f"gcs://{gcs_world.bucket}/") as store:
        assert store.objection(locate(f"gs://{gcs_world.bucket}"))
        assert [found.key for found in await store.list(locate(f"gs://{gcs_world.bucket}/v"))] == ["v/a"]


@pytest.mark.parametrize(
    ("options", "overrides", "emulator", "token"),
    [
        ({}, {}, "", "google_default"),
        ({}, {}, "default", "google_default"),
        ({}, {}, "localhost:4443", "anon"),
        ({"endpoint_url": "http://localhost"}, {}, "", "anon"),
        ({"endpoint_url": "https://storage.example.org"}, {}, "localhost:4443", "google_default"),
        ({"token": "from the catalog"}, {}, "", "google_default"),
        ({}, {"token": "cloud"}, "", "cloud"),
    ],
)
def test_whose_credentials_are_used(
    options: Mapping[str, object], overrides: Mapping[str, object], emulator: str, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """One's own at Google's; none where they could be read on the way; never any from the catalog."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator)
    assert read_options(options, overrides).token == token


def test_overrides_win_over_the_catalog_and_nothing_of_them_is_printed() -> None:
    """The endpoint and the project come from either; a repr shows no secret."""
    made = read_options(
        {"endpoint_url": "https://catalog/", "project": "theirs"},
        {"project": "mine", "requester_pays": True, "token": {"private_key": "secret", "nested": {"password": "deep"}},
         "session_kwargs": {"trust_env": True}},
    )  # fmt: skip
    assert (made.endpoint_url, made.user_project, made.session_kwargs) == (
        "https://catalog",
        "mine",
        {"trust_env": True},
    )
    assert set(made.secrets()) == {"secret", "deep"}
    assert "secret" not in repr(made)


def test_every_option_is_documented() -> None:
    """The guide names each option that --store-options may hold, and each way to find credentials."""
    guide = (Path(__file__).parents[2] / "docs/how-to/gcs.md").read_text()
    assert not [name for name in KNOWN | METHODS if f"`{name}`" not in guide]


def test_gcsfs_is_imported_without_its_look_at_the_type_of_a_bucket() -> None:
    """That look takes minutes where nobody answers it."""
    code = "from marksweep.store import gcs; import gcsfs, json; print(json.dumps(gcsfs.GCSFileSystem.__name__))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, env={"PATH": ""})
    assert json.loads(done.stdout) == "GCSFileSystem"
