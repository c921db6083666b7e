// Links and partners by the real npm dub, which checks every answer against its own schemas.
// Usage: node links.mjs SERVER KEY LINK_DOMAIN, from a folder where dub is installed.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(pathToFileURL(`${process.cwd()}/`));
const { Dub } = require("dub");
const errors = require("dub/models/errors");

const [server, key, domain] = process.argv.slice(2);
const dub = new Dub({ serverURL: server, token: key });
const refused = (promise, kind, code) =>
  assert.rejects(promise, (error) => {
    assert.ok(error instanceof kind, `${error.name}: ${error.message}`);
    assert.equal(error.error.code, code);
    return true;
  });

const made = await dub.links.create({
  url: "https://shop.example/a?b=1", key: "node", externalId: "node-1", tenantId: "t1", trackConversion: true,
  utmSource: "letter", geo: { DE: "https://shop.example/de" }, ios: "https://shop.example/ios",
  expiresAt: "2035-01-01T00:00:00.000Z", expiredUrl: "https://shop.example/over", comments: "printed",
});
assert.equal(made.shortLink, `https://${domain}/node`);
assert.equal(made.url, "https://shop.example/a?b=1&utm_source=letter");
assert.deepEqual([made.utmSource, made.trackConversion, made.geo], ["letter", true, { DE: "https://shop.example/de" }]);
for (const query of [{ linkId: made.id }, { externalId: "ext_node-1" }, { domain, key: "node" }]) {
  assert.equal((await dub.links.get(query)).id, made.id);
}
await refused(dub.links.create({ url: "https://shop.example", key: "node" }), errors.Conflict, "conflict");
await refused(dub.links.create({ url: "nowhere" }), errors.UnprocessableEntity, "unprocessable_entity");
await refused(dub.links.create({ url: "https://shop.example", tagIds: ["x"] }), errors.UnprocessableEntity, "unprocessable_entity");
await refused(dub.links.get({ linkId: "link_none" }), errors.NotFound, "not_found");
await refused(new Dub({ serverURL: server, token: "wrong" }).links.count({}), errors.Unauthorized, "unauthorized");

const changed = await dub.links.update("ext_node-1", { url: "https://shop.example/b", geo: null });
assert.deepEqual([changed.id, changed.url, changed.geo, changed.comments], [made.id, "https://shop.example/b", null, "printed"]);
const same = await dub.links.upsert({ url: "https://shop.example/b", comments: "again" });
assert.deepEqual([same.id, same.comments], [made.id, "again"]);

const many = await dub.links.createMany([
  { url: "https://shop.example/1", tenantId: "t2" }, { url: "https://shop.example/2", key: "node" },
  { url: "https://shop.example/3", tenantId: "t2", keyLength: 5, prefix: "/c/" },
]);
assert.equal(many[1].code, "conflict");
assert.match(many[2].key, /^c\/.{5}$/);
const linkIds = [many[0].id, many[2].id];
assert.equal(await dub.links.count({ tenantId: "t2" }), 2);
assert.ok((await dub.links.updateMany({ linkIds, data: { archived: true } })).every((link) => link.archived));
assert.equal(await dub.links.count({ tenantId: "t2" }), 0);
const listed = [];
for await (const page of await dub.links.list({ tenantId: "t2", showArchived: true, pageSize: 1 })) {
  listed.push(...page.result.map((link) => link.id));
}
assert.deepEqual(listed.sort(), [...linkIds].sort());
assert.equal((await dub.links.deleteMany({ linkIds })).deletedCount, 2);

const partner = await dub.partners.create({ name: "Nora Node", email: "nora@node.example", country: "AT", tenantId: "nora" });
assert.equal(partner.links[0].shortLink, `https://${domain}/nora-node`);
assert.equal((await dub.partners.create({ email: "nora@node.example", name: "Nora" })).id, partner.id);
const second = await dub.partners.createLink({ tenantId: "nora", key: "nora2", url: "https://shop.example/nora" });
assert.deepEqual([second.partnerId, second.trackConversion], [partner.id, true]);
const upserted = await dub.partners.upsertLink({ partnerId: partner.id, url: "https://shop.example/nora" });
assert.equal(upserted.id, second.id);
assert.equal((await dub.partners.retrieveLinks({ partnerId: partner.id })).length, 2);
assert.deepEqual((await dub.partners.list({ search: "nora" })).map((one) => one.id), [partner.id]);

await assert.rejects(dub.tags.list({}), (error) => error.statusCode === 501);
assert.equal((await dub.links.delete(made.id)).id, made.id);
await refused(dub.links.delete(made.id), errors.NotFound, "not_found");
console.log("ok");
