// What the real npm dub reads, which checks every answer against its own schemas.
// Usage: node reads.mjs SERVER KEY LINK_DOMAIN, from a folder where dub is installed.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(pathToFileURL(`${process.cwd()}/`));
const { Dub } = require("dub");

const [server, key] = process.argv.slice(2);
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
for (const groupBy of ["timeseries", "countries", "cities", "regions", "devices", "browsers", "os", "referers", "referer_urls", "top_urls"]) {
  const rows = await dub.analytics.retrieve({ event: "sales", groupBy, ...period });
  assert.equal(rows.reduce((sum, row) => sum + row.sales, 0), 3, groupBy);
}
console.log("ok");
