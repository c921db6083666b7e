// What the real npm dub reads, which checks every answer against its own schemas.
// Usage: node reads.mjs SERVER KEY LINK_DOMAIN, from a folder where dub is installed.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(pathToFileURL(`${process.cwd()}/`));
const { Dub } = require("dub");
const { QueryParamGroupBy: GroupBy } = require("dub/models/operations");

const [server, key, domain] = process.argv.slice(2);
const dub = new Dub({ serverURL: server, token: key });
const all = async (pages) => {
  const rows = [];
  for await (const page of await pages) rows.push(...page.result);
  return rows;
};

const customers = await all(dub.customers.list({ includeExpandedFields: true, sortBy: "saleAmount", pageSize: 2 }));
assert.deepEqual(customers.map((row) => [row.externalId, row.sales, row.saleAmount]), [["u_1", 2, 7800], ["u_2", 1, 1900], ["cus_3", 0, 0]]);
assert.equal(customers[0].partner.id, "ada");
assert.deepEqual([customers[2].stripeCustomerId, customers[2].firstSaleAt, customers[2].partner], ["cus_3", null, null]);
assert.equal((await dub.customers.get({ id: "ext_u_2" })).saleAmount, 1900);

const commissions = await all(dub.commissions.list({ pageSize: 2 }));
assert.deepEqual(commissions.map((row) => row.earnings).sort((a, b) => a - b), [-290, 190, 490, 870]);
const sale = commissions.find((row) => row.earnings === 870);
assert.deepEqual([sale.type, sale.status, sale.amount, sale.invoiceId, sale.customer.externalId], ["sale", "processed", 2900, "in_2", "u_1"]);
assert.equal((await all(dub.commissions.list({ status: "pending", partnerId: "ada" }))).length, 2);

const period = { start: "2025-01-01", end: "2025-12-31" };
const counted = await dub.analytics.retrieve({ event: "sales", ...period });
assert.deepEqual([counted.sales, counted.saleAmount], [3, 9700]);

// Every grouping that the SDK knows, of every event, but for those of what is not offered here.
const none = ["top_folders", "top_link_tags", "top_partner_tags", "top_base_urls", "event_names"];
const figures = { clicks: 4, leads: 0, sales: 3, composite: 4 };
const groupings = Object.values(GroupBy).filter((name) => name !== "count");
assert.ok(groupings.length > 15, "the SDK's names were not found");
for (const groupBy of groupings) {
  for (const [event, count] of Object.entries(figures)) {
    const asked = dub.analytics.retrieve({ event, groupBy, ...period });
    if (none.includes(groupBy)) {
      await assert.rejects(asked, (error) => error.statusCode === 400, groupBy);
      continue;
    }
    const rows = await asked.catch((error) => assert.fail(`${event} ${groupBy}: ${error.pretty?.() ?? error}`));
    const sum = (field) => rows.reduce((total, row) => total + row[field], 0);
    assert.equal(sum(event === "composite" ? "clicks" : event), count, `${event} ${groupBy}`);
    if (event === "composite") assert.deepEqual([sum("sales"), sum("saleAmount")], [3, 9700], groupBy);
  }
}
const named = async (groupBy, field) => {
  const rows = await dub.analytics.retrieve({ groupBy, ...period });
  return Object.fromEntries(rows.map((row) => [row[field], row.clicks]));
};
// Nowhere is the Antarctic; what a page or a server told is told apart.
assert.deepEqual(await named("continents", "continent"), { AN: 2, EU: 1, NA: 1 });
assert.deepEqual(await named("triggers", "trigger"), { link: 1, qr: 1, pageview: 1, deeplink: 1 });
assert.deepEqual(await named("utm_sources", "referer"), { letter: 1, "": 3 });
const links = await dub.analytics.retrieve({ event: "composite", groupBy: "top_links", ...period });
const [first] = links;
assert.deepEqual([first.id, first.shortLink, first.clicks, first.saleAmount], ["link_1", "https://go.acme/ada", 2, 9700]);
const declared = links.find((row) => row.id === "l_1");
assert.deepEqual([declared.url, declared.clicks], ["https://acme.example/?a=b", 1]);
await assert.rejects(dub.analytics.retrieve({ event: "sales", query: "metadata['plan']:pro" }), (error) => {
  assert.equal(error.statusCode, 422);
  return /^query: /.test(error.message) || /query: /.test(JSON.stringify(error));
});

const events = async (event) => {
  const rows = await dub.events.list({ event, ...period }).catch((error) => assert.fail(`${event}: ${error.pretty?.() ?? error}`));
  return rows.result ?? rows;
};
const clicks = await events("clicks");
assert.deepEqual(clicks.map((row) => row.click.id.slice(-1)), ["4", "3", "2", "1"]);
assert.deepEqual([clicks[1].link.id, clicks[1].link.shortLink], ["l_1", `https://${domain}/ada`]);
const leads = await events("leads");
assert.deepEqual([leads.length, leads[0].customer.externalId, leads[0].link.id], [1, "cus_3", ""]);
const sales = await events("sales");
assert.deepEqual(sales.map((row) => [row.sale.amount, row.sale.invoiceId, row.sale.paymentProcessor, row.customer.id]),
  [[1900, "in_3", "stripe", "u_2"], [2900, "in_2", "stripe", "u_1"], [4900, "in_1", "stripe", "u_1"]]);
assert.equal(new Date(sales[1].customer.createdAt).getTime(), Date.UTC(2025, 2, 1, 10));

// What a partner brought and earned.
const own = await dub.partners.analytics({ partnerId: "ada", ...period });
assert.deepEqual([own.clicks, own.leads, own.sales, own.saleAmount, own.earnings], [2, 0, 3, 9700, 1260]);
for (const groupBy of ["timeseries", "top_links"]) {
  const rows = await dub.partners.analytics({ partnerId: "ada", groupBy, ...period });
  for (const field of ["clicks", "sales", "saleAmount", "earnings"]) {
    assert.equal(rows.reduce((total, row) => total + row[field], 0), own[field], `${groupBy} ${field}`);
  }
}
await assert.rejects(dub.partners.analytics({ ...period }), (error) => error.statusCode === 400);
await assert.rejects(dub.partners.analytics({ tenantId: "nobody", ...period }), (error) => error.statusCode === 404);
console.log("ok");
