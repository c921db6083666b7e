"""What a shop's server in Python tells with PyPI's `dub`: a lead that waits for its second call, and a sale."""

import os

from dub import Dub
from dub.models import errors

click, api = os.environ["CLICK"], os.environ["EDGE"]
with Dub(token="dub_acme_server_key", server_url=api) as dub:
    lead = {"click_id": click, "event_name": "Sign up", "customer_external_id": "u_python"}
    first = dub.track.lead(request={**lead, "mode": "deferred"})
    assert first.click.id == click, first
    second = dub.track.lead(request={**lead, "click_id": ""})
    assert second.customer.external_id == "u_python", second
    sale = dub.track.sale(request={"customer_external_id": "u_python", "amount": 2000, "invoice_id": "python-1"})
    assert sale.sale.amount == 2000, sale
    try:
        dub.track.lead(request={**lead, "click_id": "none"})
        raise AssertionError("a click ID that is none was taken")
    except errors.NotFound as error:
        assert "clickId" in error.message, error
