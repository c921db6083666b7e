"""Makes places.mmdb, which the tests read: `pip install mmdb_writer netaddr && python places.py`."""
from mmdb_writer import MMDBWriter
from netaddr import IPSet

oakland = {
    "continent": {"code": "NA"},
    "country": {"iso_code": "US", "names": {"en": "United States"}},
    "subdivisions": [{"iso_code": "CA"}, {"iso_code": "001"}],
    "city": {"names": {"de": "Eichenland", "en": "Oakland"}},
    "location": {"latitude": 37.8, "longitude": -122.2},
}
writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="Tributary-Test", languages=["en"],
                    description="Networks for documentation, places for tests")
writer.insert_network(IPSet(["198.51.100.0/24"]), oakland)
writer.insert_network(IPSet(["2001:db8::/32"]), {"continent": {"code": "EU"}, "country": {"iso_code": "DE"}})
writer.insert_network(IPSet(["203.0.113.0/24"]), {"autonomous_system_number": 64496})
writer.to_db_file("places.mmdb")
