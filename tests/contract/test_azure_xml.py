"""A page of a listing as Azure writes it: every name exactly, and nothing that is less than a page."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from marksweep.store.azure_xml import Blob, Cut, read

PAGE = """\ufeff<?xml version="1.0" encoding="utf-8"?>
<EnumerationResults ServiceEndpoint="https://a/" ContainerName="c"><Prefix>v</Prefix><MaxResults>9</MaxResults><Blobs>
<Blob><Name>v/a &amp; b\u00e9</Name><Properties><Creation-Time>x</Creation-Time><Etag>0x8D</Etag>
<Content-Length>70</Content-Length><Content-MD5 /></Properties>
<Metadata><Name>not mine</Name><Etag>0x0</Etag><Blob>b</Blob></Metadata><OrMetadata /></Blob>
<Blob><Name Encoded="true">v/%01%EF%BF%BF</Name><Snapshot>2026-11-21T10:00:00.0000000Z</Snapshot>
<Properties><Etag>"0x8E"</Etag><Content-Length></Content-Length></Properties></Blob>
<Blob><Name>v%20c</Name><Deleted>true</Deleted><VersionId>2026</VersionId><IsCurrentVersion>true</IsCurrentVersion>
<Properties><DeletedTime>Sat, 21 Nov 2026 10:00:00 GMT</DeletedTime></Properties></Blob>
</Blobs><NextMarker>2!x</NextMarker></EnumerationResults>""".encode()


def test_a_page_is_read_as_it_stands() -> None:
    """Escaped and encoded names, snapshots, versions, deleted blobs; blobs may have metadata called like a property."""
    blobs, more = read(PAGE)
    assert more == "2!x"
    assert blobs == [
        Blob("v/a & b\u00e9", 70, "0x8D"),
        Blob("v/\x01\uffff", 0, "0x8E", snapshot="2026-11-21T10:00:00.0000000Z"),
        Blob(
            "v%20c", version_id="2026", is_current_version=True, deleted=True,
            deleted_time=datetime(2026, 11, 21, 10, tzinfo=UTC),
        ),
    ]  # fmt: skip


@pytest.mark.parametrize("size", [0, 1, 60, 400, len(PAGE) - 30, len(PAGE) - 1])
def test_a_part_of_a_page_is_no_page(size: int) -> None:
    """However much came, without its end it is refused."""
    with pytest.raises(Cut):
        read(PAGE[:size])


@pytest.mark.parametrize(
    "body",
    [
        b"<html><body>Log in</body></html>",
        b"<EnumerationResults><Blobs><Blob><Name>v</Name><Properties><Content-Length>many</Content-Length></Properties>"
        b"</Blob></Blobs></EnumerationResults>",
        b"\xff<EnumerationResults/>",
    ],
)
def test_what_is_no_listing_is_not_an_empty_one(body: bytes) -> None:
    """A proxy's page, a size that is none, bytes that are no text."""
    with pytest.raises(Cut):
        read(body)
