"""What Azure is opened with, what it says when that does not work, and what it can undo."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from marksweep.errors import StoreRefused
from marksweep.model.store import KeyDeleted, KeyDenied, KeyFailed, StoredObject, Undo
from marksweep.model.uri import locate
from marksweep.store import azure_options
from marksweep.store.azure_undo import recoverable
from marksweep.store.azure_xml import Blob
from marksweep.store.retry import Retry
from marksweep.store.tuning import Meter, Tuning
from tests.contract.azure_world import AzureWorld
from tests.contract.store_worlds import place, relative
from tests.support.azurite import ACCOUNT, Reply, Request, refused

pytestmark = pytest.mark.anyio

ONCE = Retry(attempts=1)
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECRET = "c2VjcmV0L3RoYXQrbXVzdD1uZXZlci1iZS1zaG93bg=="


async def test_a_missing_container_is_refused(azure_world: AzureWorld) -> None:
    """Not an empty listing, and nothing deleted: a container that is not there is a wrong store."""
    async with azure_world.open("az://no-such-container/zenml") as store:
        for ask in (store.undo, lambda: store.list(locate("az://no-such-container/zenml/v"))):
            with pytest.raises(StoreRefused, match="ContainerNotFound") as refusal:
                await ask()
            assert "no such container" in refusal.value.remedy
        (outcome,) = await store.delete([StoredObject("zenml/v/a", 1, "0x1")])
    assert isinstance(outcome, KeyFailed)
    assert outcome.code == "ContainerNotFound"


async def test_a_server_that_is_not_there_is_refused(azure_world: AzureWorld) -> None:
    """Nobody listens: the refusal says what to check, and each blob has failed."""
    nowhere = azure_world.server.connection_string(9)
    async with azure_world.open(connection_string=nowhere, retry=ONCE) as store:
        with pytest.raises(StoreRefused, match="ServiceRequestError") as refusal:
            await store.undo()
        (outcome,) = await store.delete([StoredObject("zenml/v/a", 1, "0x1")])
    assert "reached" in refusal.value.remedy
    assert isinstance(outcome, KeyFailed)


@pytest.mark.parametrize("key", [SECRET, "no base64"])
async def test_wrong_credentials_are_refused_and_not_shown(azure_world: AzureWorld, key: str) -> None:
    """A key that is not this account's, or no key at all: the remedy names the variables, no text the key."""
    wrong = azure_world.server.connection_string(azure_world.front.port).replace(azure_world.server.key, key)
    azure_world.put("v/a")
    async with azure_world.open(connection_string=wrong, retry=ONCE) as store:
        with pytest.raises(StoreRefused) as refusal:
            await store.list(place(azure_world, "v"))
        (outcome,) = await store.delete([StoredObject(azure_world.key("v/a"), 1, "0x1")])
    assert refusal.value.__suppress_context__
    assert isinstance(outcome, KeyDenied | KeyFailed)
    assert not [text for text in (str(refusal.value), refusal.value.remedy, outcome.message) if key in text]
    assert azure_world.paths() == {"v/a"}


async def test_no_error_holds_a_secret(azure_world: AzureWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a server echoes, credentials and signatures are taken out, and no cause is left to print."""
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "client~secret")
    key = azure_world.server.key
    echo = f"{key} {key.replace('=', '%3D').replace('+', '%2B').replace('/', '%2F')} client~secret https://me:hunter2@x/?sig=abc%2F"
    reply = Reply(400, f"<Error><Code>Odd</Code><Message>{echo.replace('&', '&amp;')}</Message></Error>".encode(),
                  {"Content-Type": "application/xml", "x-ms-error-code": "Odd"})  # fmt: skip
    azure_world.front.faults.append(lambda *_: reply)
    async with azure_world.open() as store:
        with pytest.raises(StoreRefused, match="Odd") as refusal:
            await store.list(place(azure_world, "v"))
        (outcome,) = await store.delete([StoredObject(azure_world.key("v/a"), 1, "0x1")])
    assert isinstance(outcome, KeyFailed)
    assert outcome.code == "Odd"
    for text in (str(refusal.value), refusal.value.remedy, outcome.message):
        assert not [secret for secret in (*echo.split()[:3], "hunter2", "abc%2F") if secret in text], text
    assert "***" in str(refusal.value)


async def test_a_shared_access_signature_is_enough(azure_world: AzureWorld) -> None:
    """A SAS for the container lists and deletes; whether a delete can be undone it may not see."""
    endpoint = f"http://127.0.0.1:{azure_world.front.port}/{ACCOUNT}"
    azure_world.put("v/a", "v/b", "w")
    text = f"BlobEndpoint={endpoint};SharedAccessSignature={azure_world.sas}"
    async with azure_world.open(connection_string=text) as store:
        found = await store.list(place(azure_world, "v"))
        assert relative(azure_world, found) == {"v/a", "v/b"}
        assert set(await store.delete(found)) == {KeyDeleted(o.key) for o in found}
        assert await store.undo() is Undo.UNKNOWN
    assert azure_world.paths() == {"w"}


def test_a_sas_is_taken_out_of_a_text_in_every_form() -> None:
    """As given with its question mark, inside a connection string, and its signature alone."""
    sas = "?sv=2026-01-01&sp=rl&sig=abc%2Fdef%3D"
    scrub = azure_options.scrubber({"sas_token": sas, "connection_string": f"AccountName=a;AccountKey={SECRET};X=y"})
    text = scrub(f"GET https://a/c{sas} {sas[1:]} sig=abc%2Fdef%3D AccountKey={SECRET}")
    assert "def" not in text
    assert SECRET not in text


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"acount_name": "http://secret"}, "acount_name"),
        ({"account_name": 7}, "account_name"),
        ({"anon": "yes"}, "anon"),
    ],
)
async def test_options_that_no_client_takes_are_refused(
    azure_world: AzureWorld, overrides: dict[str, Any], named: str
) -> None:
    """A typo in the file does not pass silently, and its value is not shown."""
    with pytest.raises(StoreRefused, match=named) as refusal:
        async with azure_world.open(**overrides):
            pass
    assert refusal.value.remedy
    assert "http://secret" not in str(refusal.value)


@pytest.mark.parametrize("text", ["no connection string", ""])
async def test_a_connection_string_that_is_none_is_refused(azure_world: AzureWorld, text: str) -> None:
    """Whatever adlfs makes of it, it is a StoreRefused with a remedy."""
    with pytest.raises(StoreRefused) as refusal:
        async with azure_world.open(connection_string=text, retry=ONCE) as store:
            await store.undo()
    assert "AZURE_STORAGE" in refusal.value.remedy


async def test_another_account_than_the_environments_is_never_mixed_up(
    azure_world: AzureWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """adlfs lets a connection string of the environment win over an account that was named: that is refused."""
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azure_world.server.connection_string())
    with pytest.raises(StoreRefused, match="AZURE_STORAGE_CONNECTION_STRING"):
        async with azure_world.open(account_name="other"):
            pass


async def test_the_environment_is_enough(azure_world: AzureWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any option the connection string of the environment is used."""
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azure_world.server.connection_string())
    azure_world.options = {}
    azure_world.put("v/a")
    async with azure_world.open() as store:
        assert relative(azure_world, await store.list(place(azure_world, "v"))) == {"v/a"}


@pytest.mark.parametrize("root", ["s3://b/zenml", "/tmp/zenml", "az://c@account.dfs.core.windows.net/x", "az://c/../x"])
async def test_a_root_that_is_no_plain_container_is_refused(azure_world: AzureWorld, root: str) -> None:
    """Another scheme, an account in the container's place, a way out."""
    with pytest.raises(StoreRefused) as refusal:
        async with azure_world.open(root):
            pass
    assert "az://container/path" in refusal.value.remedy


async def test_abfs_is_another_spelling_of_az(azure_world: AzureWorld) -> None:
    """ZenML takes both schemes for a path."""
    azure_world.put("v/a")
    async with azure_world.open(azure_world.root.replace("az://", "abfs://")) as store:
        assert relative(azure_world, await store.list(place(azure_world, "v"))) == {"v/a"}


def test_a_program_that_opened_a_store_ends_quietly(azure_world: AzureWorld) -> None:
    """adlfs closes its client once more when Python ends: that must neither fail nor wait."""
    program = f"""
import anyio
from marksweep.model.uri import locate
from marksweep.model.version import ArtifactStore
from marksweep.store import azure

async def main():
    async with azure.open_store(ArtifactStore("i", "n", "azure", {azure_world.root!r}), {azure_world.options!r}) as store:
        print(await store.list(locate({azure_world.root!r} + "/v")))

anyio.run(main)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "[]\n", "")


# --- undo ---


async def test_an_account_without_soft_delete_undoes_nothing(azure_world: AzureWorld) -> None:
    """It says so, and restoring is refused with what to turn on for the next time."""
    azure_world.put("v/a")
    async with azure_world.open() as store:
        assert await store.undo() is Undo.NONE
        with pytest.raises(StoreRefused, match="no soft delete") as refusal:
            await store.undeletable(place(azure_world, "v"), NOW)
    assert "enable-delete-retention" in refusal.value.remedy


def altered(kind: str, change: Callable[[bytes], bytes]) -> Callable[[Request, Callable[[], Reply]], Reply | None]:
    def alter(request: Request, act: Callable[[], Reply]) -> Reply | None:
        if request.kind != kind:
            return None
        reply = act()
        return Reply(reply.status, change(reply.body), reply.headers)

    return alter


RETENTION = b"<DeleteRetentionPolicy><Enabled>true</Enabled><Days>7</Days></DeleteRetentionPolicy>"
PROPERTIES = b"<StorageServiceProperties>" + RETENTION + b"</StorageServiceProperties>"
VERSION = b"<VersionId>2026-11-21T10:00:00.0000000Z</VersionId><IsCurrentVersion>true</IsCurrentVersion>"


async def test_soft_delete_and_versions_are_seen(azure_world: AzureWorld) -> None:
    """Azurite has neither: the front adds to its answers what Azure writes there."""
    azure_world.put("v/a")
    azure_world.front.faults.append(altered("properties", lambda _: PROPERTIES))
    meter = Meter()
    async with azure_world.open() as store:
        assert await store.undo() is Undo.SOFT_DELETE
    async with azure_world.open(tuning=Tuning(all_versions=True), meter=meter) as store:
        assert await store.undo() is Undo.SOFT_DELETE
    assert "retention" in meter.remarks[0]
    azure_world.front.faults.append(altered("list", lambda body: body.replace(b"</Name>", b"</Name>" + VERSION)))
    async with azure_world.open() as store:
        assert await store.undo() is Undo.VERSIONED


async def test_an_account_that_does_not_tell_is_unknown(azure_world: AzureWorld) -> None:
    """No right to see the settings: nobody knows."""
    refusing = refused(403, "AuthorizationPermissionMismatch")
    azure_world.front.faults.append(lambda request, _: refusing if request.kind == "properties" else None)
    async with azure_world.open() as store:
        assert await store.undo() is Undo.UNKNOWN


async def test_a_server_that_refuses_everything_denies_every_blob(azure_world: AzureWorld) -> None:
    """It knows us and says no: denied, not failed; the remedy names the rights."""
    azure_world.front.faults.append(lambda *_: refused(403, "AuthorizationPermissionMismatch"))
    async with azure_world.open() as store:
        (outcome,) = await store.delete([StoredObject(azure_world.key("v/a"), 1, "0x1")])
        with pytest.raises(StoreRefused) as refusal:
            await store.list(place(azure_world, "v"))
    assert isinstance(outcome, KeyDenied)
    assert "Storage Blob Data Contributor" in refusal.value.remedy


async def test_a_blob_that_is_there_is_never_restored_over(azure_world: AzureWorld) -> None:
    """Neither an undelete nor a copy is sent; and a name that is not ours is not even asked about."""
    azure_world.put("v/a", body=b"live")
    asked = [
        StoredObject(azure_world.key("v/a"), 1, "0x1", handle)
        for handle in ("deleted:", "version:2026", "deleted:2026")
    ]
    async with azure_world.open() as store:
        failed = await store.undelete([*asked, StoredObject("elsewhere/a", 1, "0x1", "deleted:")])
    assert [each.code for each in failed] == ["InvalidKey", "Occupied", "Occupied", "Occupied"]
    assert {request.method for request in azure_world.front.requests} == {"HEAD"}


async def test_what_a_restore_asks_azure_for(azure_world: AzureWorld) -> None:
    """Undelete, and a copy of the earlier version on condition that nothing is there. Azurite has neither: played."""
    sent: list[Request] = []

    def accept(request: Request, _: Callable[[], Reply]) -> Reply | None:
        if request.method != "PUT":
            return None
        sent.append(request)
        copied = {"x-ms-copy-id": "1", "x-ms-copy-status": "success"}
        return Reply(200) if request.kind == "undelete" else Reply(202, b"", copied)

    azure_world.front.faults.append(accept)
    handles = ("deleted:", "version:2026-11-21T10:00:00.0000000Z", "deleted:2026-11-21T11:00:00.0000000Z")
    gone = [StoredObject(azure_world.key(f"v/{n}"), 1, "0x1", handle) for n, handle in enumerate(handles)]
    async with azure_world.open() as store:
        for each in gone:
            assert await store.undelete([each]) == []
    assert [request.kind for request in sent] == ["undelete", "PUT", "undelete", "PUT"]
    for request, hour in ((sent[1], 10), (sent[3], 11)):
        headers = {name.lower(): value for name, value in request.headers.items()}
        assert headers["if-none-match"] == "*"
        assert headers["x-ms-copy-source"].endswith(f"?versionid=2026-11-21T{hour}%3A00%3A00.0000000Z")


def blob(name: str, **properties: Any) -> Blob:
    return Blob(name, 1, f"0x{name}", **properties)


def test_only_what_is_gone_and_was_deleted_since_can_be_brought_back() -> None:
    """The newest of each name, unless a blob lies there now; a snapshot is no blob."""
    late, early = NOW + timedelta(hours=1), NOW - timedelta(hours=1)
    found = recoverable(
        [
            blob("live"),
            blob("live", version_id="1"),
            blob("kept", version_id="1"),
            blob("kept", version_id="2", is_current_version=True),
            blob("soft", deleted=True, deleted_time=late),
            blob("older", deleted=True, deleted_time=early),
            blob("versions", version_id="1"),
            blob("versions", version_id="3"),
            blob("versions", version_id="2", deleted=True, deleted_time=late),
            blob("both", version_id="1"),
            blob("both", version_id="2", deleted=True, deleted_time=late),
            blob("snap", snapshot="1", deleted=True, deleted_time=late),
        ],
        NOW,
    )
    assert {o.key: o.version for o in found} == {"soft": "deleted:", "versions": "version:3", "both": "deleted:2"}
    assert {(o.size, o.tag) for o in found} == {(1, f"0x{name}") for name in ("soft", "versions", "both")}
