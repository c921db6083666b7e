"""What the real PyPI dub reads, which checks every answer against its own models.

Of lists the first page: it looks for a page's last row in a way that finds none.
Usage: python3 reads.py SERVER KEY LINK_DOMAIN, where dub is installed.
"""
import sys

from dub import Dub
from dub.models import errors, operations

server, key = sys.argv[1:3]
PERIOD = {"start": "2025-01-01", "end": "2025-12-31"}


def refused(status, call):
    try:
        call()
    except errors.DubError as error:
        assert error.status_code == status, error
        return
    raise AssertionError(f"{status} was expected")


with Dub(server_url=server, token=key) as dub:
    customers = dub.customers.list(request={"include_expanded_fields": True, "sort_by": "saleAmount"}).result
    assert [(row.external_id, row.sales, row.sale_amount) for row in customers] == [("u_1", 2, 7800), ("u_2", 1, 1900), ("cus_3", 0, 0)], customers
    assert customers[0].partner.id == "ada", customers[0]
    assert dub.customers.get(request={"id": "ext_u_2"}).sale_amount == 1900
    commissions = dub.commissions.list(request={}).result
    assert sorted(row.earnings for row in commissions) == [-290, 190, 490, 870], commissions
    counted = dub.analytics.retrieve(request={"event": "sales", "start": "2025-01-01", "end": "2025-12-31"})
    assert (counted.sales, counted.sale_amount) == (3, 9700), counted
    # Every grouping that the SDK knows, of every event, but for those of what is not offered here.
    none = ["top_folders", "top_link_tags", "top_partner_tags", "top_base_urls", "event_names"]
    figures = {"clicks": 4, "leads": 0, "sales": 3, "composite": 4}
    groupings = [member.value for member in operations.QueryParamGroupBy if member.value != "count"]
    assert len(groupings) > 15, groupings
    for group_by in groupings:
        for event, count in figures.items():
            asked = {"event": event, "group_by": group_by, **PERIOD}
            if group_by in none:
                refused(400, lambda: dub.analytics.retrieve(request=asked))
                continue
            rows = dub.analytics.retrieve(request=asked)
            field = "clicks" if event == "composite" else event
            assert sum(getattr(row, field) for row in rows) == count, (event, group_by, rows)
    refused(422, lambda: dub.analytics.retrieve(request={"event": "sales", "query": "metadata['plan']:pro"}))

    for event, count in [("clicks", 4), ("leads", 1), ("sales", 3)]:
        rows = dub.events.list(request={"event": event, **PERIOD})
        rows = getattr(rows, "result", rows)
        assert len(rows) == count, (event, rows)
        assert all(type(row).__name__.lower().startswith(event[:-1]) for row in rows), rows

    own = dub.partners.analytics(request={"partner_id": "ada", **PERIOD})
    assert (own.clicks, own.sales, own.sale_amount, own.earnings) == (2, 3, 9700, 1260), own
    for group_by in ["timeseries", "top_links"]:
        rows = dub.partners.analytics(request={"partner_id": "ada", "group_by": group_by, **PERIOD})
        assert sum(row.earnings for row in rows) == 1260 and sum(row.sales for row in rows) == 3, rows
print("ok")
