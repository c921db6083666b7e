"""What the real PyPI dub reads, which checks every answer against its own models.

Of lists the first page: it looks for a page's last row in a way that finds none.
Usage: python3 reads.py SERVER KEY LINK_DOMAIN, where dub is installed.
"""
import sys

from dub import Dub

server, key = sys.argv[1:3]


with Dub(server_url=server, token=key) as dub:
    customers = dub.customers.list(request={"include_expanded_fields": True, "sort_by": "saleAmount"}).result
    assert [(row.external_id, row.sales, row.sale_amount) for row in customers] == [("u_1", 2, 7800), ("u_2", 1, 1900), ("cus_3", 0, 0)], customers
    assert customers[0].partner.id == "ada", customers[0]
    assert dub.customers.get(request={"id": "ext_u_2"}).sale_amount == 1900
    commissions = dub.commissions.list(request={}).result
    assert sorted(row.earnings for row in commissions) == [-290, 190, 490, 870], commissions
    counted = dub.analytics.retrieve(request={"event": "sales", "start": "2025-01-01", "end": "2025-12-31"})
    assert (counted.sales, counted.sale_amount) == (3, 9700), counted
    for group_by in ["timeseries", "countries", "devices", "browsers"]:
        rows = dub.analytics.retrieve(request={"event": "sales", "group_by": group_by, "start": "2025-01-01", "end": "2025-12-31"})
        assert sum(row.sales for row in rows) == 3, (group_by, rows)
print("ok")
