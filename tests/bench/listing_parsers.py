"""What reading a page of 1,000 keys costs: botocore's parser, the same without timestamps, and ours.

python -m tests.bench.listing_parsers
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import botocore.session
from botocore.parsers import ResponseParserFactory

from marksweep.store import s3_xml

KEYS = 1_000
_OBJECT = (
    "<Contents><Key>zenml/step_{0:02d}/output/3f0b5d4a-52e6-4f2a-8269-a6a36513270e/{1:032x}/data.json</Key>"
    "<LastModified>2026-11-21T10:00:00.000Z</LastModified><ETag>&quot;9dd4e461268c8034f5c8564e155c67a6&quot;</ETag>"
    "<Size>1024</Size><StorageClass>STANDARD</StorageClass></Contents>"
)


def page() -> bytes:
    """A full page as Amazon S3 writes it."""
    members = "".join(_OBJECT.format(number % 40, number) for number in range(KEYS))
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        "<IsTruncated>true</IsTruncated><EncodingType>url</EncodingType><NextContinuationToken>t</NextContinuationToken>"
        f"{members}</ListBucketResult>"
    ).encode()


def microseconds(read: Callable[[], object], rounds: int = 20) -> float:
    """The median CPU time of *read* per key."""
    taken = []
    for _ in range(rounds):
        began = time.process_time()
        read()
        taken.append(time.process_time() - began)
    return statistics.median(taken) / KEYS * 1e6


def main() -> None:
    shape = botocore.session.get_session().get_service_model("s3").operation_model("ListObjectsV2").output_shape
    body = page()
    answer = {"status_code": 200, "headers": {}, "body": body}
    plain, untimed = ResponseParserFactory(), ResponseParserFactory()
    untimed.set_parser_defaults(timestamp_parser=str)
    for name, read in (
        ("botocore", lambda: plain.create_parser("rest-xml").parse(answer, shape)),
        ("botocore, timestamps left as text", lambda: untimed.create_parser("rest-xml").parse(answer, shape)),
        ("marksweep, expat", lambda: s3_xml.read(body)),
    ):
        print(f"{name:36} {microseconds(read):6.1f} µs of CPU per key")


if __name__ == "__main__":
    main()
