"""Links and partners by the real PyPI dub, which checks every answer against its own models.

Usage: python links.py SERVER KEY LINK_DOMAIN
"""

import sys

from dub import Dub
from dub.models import errors

server, key, domain = sys.argv[1:]


def refused(kind, code, call):
    try:
        call()
    except kind as error:
        assert error.data.error.code.value == code, error.data
        return
    raise AssertionError(f"{kind.__name__} was expected")


with Dub(server_url=server, token=key) as dub:
    made = dub.links.create(request={
        "url": "https://shop.example/py", "key": "python", "external_id": "py-1", "geo": {"FR": "https://shop.example/fr"},
        "expires_at": "2035-01-01", "archived": False,
    })
    assert made.short_link == f"https://{domain}/python", made
    assert made.geo == {"FR": "https://shop.example/fr"} and made.expires_at == "2035-01-01T00:00:00.000Z", made
    assert dub.links.get(request={"external_id": "ext_py-1"}).id == made.id
    assert dub.links.get(request={"domain": domain, "key": "python"}).id == made.id
    refused(errors.Conflict, "conflict", lambda: dub.links.create(request={"url": "https://shop.example", "key": "python"}))
    refused(errors.NotFound, "not_found", lambda: dub.links.get(request={"link_id": "link_none"}))
    changed = dub.links.update(link_id=made.id, request_body={"url": "https://shop.example/py2", "key": "python2"})
    assert (changed.id, changed.key) == (made.id, "python2"), changed
    assert dub.links.upsert(request={"url": "https://shop.example/py2"}).id == made.id
    many = dub.links.create_many(request=[
        {"url": "https://shop.example/1", "tenant_id": "py"}, {"url": "https://shop.example/2", "tenant_id": "py"},
    ])
    ids = [link.id for link in many]
    assert dub.links.count(request={"tenant_id": "py"}) == 2
    updated = dub.links.update_many(request={"link_ids": ids, "data": {"comments": "both"}})
    assert [link.comments for link in updated] == ["both", "both"]
    listed, page = [], dub.links.list(request={"tenant_id": "py", "page_size": 1})
    while page is not None:
        listed += [link.id for link in page.result]
        page = page.next()
    assert sorted(listed) == sorted(ids), listed
    assert dub.links.delete_many(request={"link_ids": ids}).deleted_count == 2

    partner = dub.partners.create(request={"name": "Pia Py", "email": "pia@py.example", "tenant_id": "pia"})
    assert partner.links[0].short_link == f"https://{domain}/pia-py", partner
    link = dub.partners.create_link(request={"partner_id": partner.id, "url": "https://shop.example/pia"})
    assert dub.partners.upsert_link(request={"tenant_id": "pia", "url": "https://shop.example/pia"}).id == link.id
    assert len(dub.partners.retrieve_links(request={"tenant_id": "pia"})) == 2
    assert [one.id for one in dub.partners.list(request={"email": "pia@py.example"})] == [partner.id]
    assert dub.links.delete(link_id=made.id).id == made.id
print("ok")
