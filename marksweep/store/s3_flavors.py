"""What ZenML's S3 flavors leave to their own code: where B2 and DigitalOcean Spaces are, and B2's names for its keys.

Source: ``zenml/integrations/b2`` and ``zenml/integrations/digitalocean`` of 0.98.0.
"""

from __future__ import annotations

from collections.abc import Mapping

FLAVORS = frozenset({"s3", "b2", "digitalocean"})
B2_ENDPOINT = "https://s3.us-west-004.backblazeb2.com"


def defaults(flavor: str, options: Mapping[str, object], environ: Mapping[str, str]) -> dict[str, object]:
    """Options of *flavor* that hold where neither the catalog's *options* nor the user say otherwise."""
    if flavor == "b2":
        found = {"endpoint_url": B2_ENDPOINT}
        keys = {"key": environ.get("B2_APPLICATION_KEY_ID"), "secret": environ.get("B2_APPLICATION_KEY")}
        return {**found, **{name: value for name, value in keys.items() if value}}
    if flavor == "digitalocean" and options.get("region"):
        # The region is a part of the endpoint there; the region of a signature is any.
        return {"endpoint_url": f"https://{options['region']}.digitaloceanspaces.com"}
    return {}
