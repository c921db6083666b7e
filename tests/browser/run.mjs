// What browsers and SDKs of real sites do, against the edge at EDGE: names ending in .test lead to this machine.
// It fails with what was not as expected; what the ledger must hold then is checked by who started it.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { Dub } from 'dub';
import { chromium } from 'playwright-core';

const edge = process.env.EDGE; // http://127.0.0.1:PORT
const port = new URL(edge).port;
const sites = Number(process.env.SITES_PORT);
const shop = Number(process.env.SHOP_PORT);
const here = (name) => new URL(name, import.meta.url);
const ID = /^[0-9A-Za-z]{16}$/;

// ---- the sites' pages

function analytics(props) {
  return `<!doctype html><title>npm</title><body>
    <a id="ours" href="http://app.partner.test/x?y=1">ours</a> <a id="theirs" href="http://stranger.test/">theirs</a>
    <script type="module">
      import { inject } from '/analytics.js';
      inject(${JSON.stringify(props)});
    </script>`;
}

const props = {
  apiHost: `http://go.acme.test:${port}`,
  scriptProps: { src: `http://go.acme.test:${port}/analytics/script.js` },
  domainsConfig: { refer: 'go.acme.test', outbound: 'partner.test, other.test' },
  publishableKey: 'dub_pk_acme_pages_key',
};
const pages = {
  '/npm': analytics(props),
  '/npm-first': analytics({ ...props, attributionModel: 'first-click' }),
  '/npm-sixty': analytics({ ...props, queryParams: ['friend'], cookieOptions: { expiresInDays: 60 } }),
  // A script name as the package makes it up, and the host of the script is the API's host.
  '/visit': `<!doctype html><script src="http://go.acme.test:${port}/analytics/script.site-visit.js" defer
    data-domains="{'site':'go.acme.test'}"></script>`,
  '/trackdesk': readFileSync(here('trackdesk.html'), 'utf8')
    .replaceAll('cdn.trackdesk.com', `api.acme.test:${port}`)
    .replaceAll('YOUR TENANT ID', 'acme')
    .replace('YOUR_EXT_CID', 'tom@mail.test')
    .replace('YOUR_REVENUE_ORIGIN_ID', 'site'),
};

const server = createServer((request, response) => {
  const { pathname } = new URL(request.url, 'http://any.test');
  if (pathname === '/analytics.js') {
    const module = readFileSync(here('../node_modules/@dub/analytics/dist/index.js'));
    response.writeHead(200, { 'content-type': 'text/javascript' }).end(module);
  } else if (pathname === '/favicon.ico') {
    response.writeHead(204).end();
  } else if (pathname === '/cookies') {
    response.end(request.headers.cookie || '');
  } else {
    response.writeHead(pages[pathname] ? 200 : 404, { 'content-type': 'text/html' }).end(pages[pathname]);
  }
});
await new Promise((listening) => server.listen(sites, '127.0.0.1', listening));

// ---- browsers

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ['--no-sandbox', '--host-resolver-rules=MAP *.test 127.0.0.1'],
});

/** A visitor of his own, whose page's errors are told. */
async function visitor(story) {
  const context = await browser.newContext();
  context.setDefaultTimeout(20_000);
  const page = await context.newPage();
  page.said = [];
  page.on('console', (message) => message.type() === 'error' && page.said.push(message.text()));
  page.on('pageerror', (error) => page.said.push(String(error)));
  try {
    await story(page, context);
  } catch (error) {
    error.message += `\nthe page said: ${page.said.join('\n')}`;
    throw error;
  } finally {
    await context.close();
  }
}

async function cookies(context, name) {
  return (await context.cookies()).filter((cookie) => cookie.name === name);
}

async function cookie(context, name) {
  const found = await cookies(context, name);
  assert.equal(found.length, 1, `one cookie ${name}: ${JSON.stringify(found)}`);
  return found[0];
}

/** Answers once everything that the page was opened with is done. */
const ready = (page) => page.evaluate(() => new Promise((done) => window.dubAnalytics('ready', done)));
const script = (page) => page.waitForFunction(() => window._dubAnalytics);
const readable = (page) => page.evaluate(() => document.cookie);
const at = (host, path) => `http://${host}:${sites}${path}`;

async function open(page, url) {
  await page.goto(url);
  await script(page);
  await ready(page);
}

const stories = {
  async 'the example shop: link, sign-up, checkout, sale'() {
    await visitor(async (page, context) => {
      await page.goto(`http://go.shop.test:${port}/ada`);
      const click = new URL(page.url()).searchParams.get('dub_id');
      assert.match(click, ID);
      assert.equal(new URL(page.url()).host, `www.shop.test:${shop}`);
      await script(page);
      assert.equal((await cookie(context, 'dub_id').catch(() => null))?.value ?? click, click);
      assert.match(await readable(page), new RegExp(`dub_id=${click}`));
      await page.fill('[name=name]', 'Sam Shopper');
      await page.fill('[name=email]', 'sam@mail.test');
      await page.click('text=Sign up');
      await page.click('text=Buy');
      await page.click('text=Pay 49.00');
      await page.waitForURL('**/thanks');
    });
  },

  async 'npm @dub/analytics on a site of its own: ?via= makes a click, a cookie for scripts, and the partner is known'() {
    await visitor(async (page, context) => {
      await open(page, at('www.elsewhere.test', '/npm?via=ada&utm_source=letter'));
      const first = await cookie(context, 'dub_id');
      assert.match(first.value, ID);
      assert.deepEqual([first.domain, first.httpOnly, first.sameSite], ['.elsewhere.test', false, 'Lax']);
      const days = (first.expires - Date.now() / 1000) / 86_400;
      assert.ok(days > 89.9 && days < 90.1, `${days} days`);
      const { partner } = await page.evaluate(() => window.DubAnalytics);
      assert.equal(partner.name, 'Ada');

      // The first click stays only where the page asks for that.
      await open(page, at('www.elsewhere.test', '/npm-first?via=bob'));
      assert.equal((await cookie(context, 'dub_id')).value, first.value);
      await open(page, at('www.elsewhere.test', '/npm-first?dub_id=0123456789abcdEF'));
      assert.equal((await cookie(context, 'dub_id')).value, first.value);
      await open(page, at('www.elsewhere.test', '/npm?dub_id=0123456789abcdEF'));
      assert.equal((await cookie(context, 'dub_id')).value, '0123456789abcdEF');
      await open(page, at('www.elsewhere.test', '/npm?via=ada'));
      assert.notEqual((await cookie(context, 'dub_id')).value, '0123456789abcdEF');

      // Other names and ends, where the page gives them.
      await context.clearCookies();
      await open(page, at('www.elsewhere.test', '/npm-sixty?via=ada'));
      assert.deepEqual(await cookies(context, 'dub_id'), []);
      await open(page, at('www.elsewhere.test', '/npm-sixty?friend=ada'));
      const sixty = ((await cookie(context, 'dub_id')).expires - Date.now() / 1000) / 86_400;
      assert.ok(sixty > 59.9 && sixty < 60.1, `${sixty} days`);

      assert.deepEqual(page.said, []);
      await open(page, at('www.elsewhere.test', '/npm?via=nobody'));
      assert.match(page.said.join(), /there is no such link/);
    });
  },

  async 'outbound links of listed domains take the click along'() {
    await visitor(async (page, context) => {
      await open(page, at('www.elsewhere.test', '/npm?via=ada'));
      const click = (await cookie(context, 'dub_id')).value;
      const reached = (id) => page.evaluate((id) => {
        const link = document.getElementById(id);
        link.addEventListener('click', (event) => event.preventDefault());
        link.click();
        return link.href;
      }, id);
      assert.equal(await reached('ours'), `http://app.partner.test/x?y=1&dub_id=${click}`);
      assert.equal(await reached('theirs'), 'http://stranger.test/');
    });
  },

  async 'pages of other sites make no click'() {
    await visitor(async (page, context) => {
      await open(page, at('www.stranger.test', '/npm?via=ada'));
      assert.deepEqual(await cookies(context, 'dub_id'), []);
      assert.match(page.said.join(), /www.stranger.test is not among the workspace's allowed_hostnames/);
    });
  },

  async 'on the site of the link the cookie is out of reach of scripts, and calls of its pages carry it'() {
    await visitor(async (page, context) => {
      await page.goto(`http://go.acme.test:${port}/ada`);
      await script(page);
      const click = new URL(page.url()).searchParams.get('dub_id');
      const kept = await cookie(context, 'dub_id');
      assert.deepEqual([kept.value, kept.domain, kept.httpOnly], [click, '.acme.test', true]);
      assert.doesNotMatch(await readable(page), /dub_id/);
      // The site's own server gets it.
      await page.goto(at('www.acme.test', '/cookies'));
      assert.match(await page.innerText('body'), new RegExp(`dub_id=${click}`));

      // Without any copy in the page, the lead still has its click, and the sale its customer.
      await open(page, at('www.acme.test', '/npm'));
      await page.evaluate(() => localStorage.clear());
      const lead = await page.evaluate(() =>
        window.dubAnalytics.trackLead({ eventName: 'Sign up', customerExternalId: 'u_page' }));
      assert.equal(lead.click.id, click);
      const sale = await page.evaluate(() =>
        window.dubAnalytics.trackSale({ customerExternalId: 'u_page', amount: 1000, invoiceId: 'page-1' }));
      assert.equal(sale.sale.invoiceId, 'page-1');
      assert.deepEqual(page.said, []);
    });
    await visitor(async (page, context) => {
      await open(page, at('www.acme.test', '/npm?via=bob'));
      const kept = await cookie(context, 'dub_id');
      assert.deepEqual([kept.domain, kept.httpOnly], ['.acme.test', true]);
    });
  },

  async 'a visit by no link is counted once'() {
    await visitor(async (page, context) => {
      const visits = [];
      page.on('response', async (answer) => answer.url().endsWith('/track/visit') && visits.push(answer.status()));
      await open(page, at('www.elsewhere.test', '/visit'));
      const kept = await cookie(context, 'dub_id');
      assert.match(kept.value, ID);
      await open(page, at('www.elsewhere.test', '/visit'));
      assert.equal((await cookie(context, 'dub_id')).value, kept.value);
      assert.deepEqual(visits, [200]);
    });
  },

  async "Trackdesk's snippets, with another host"() {
    await visitor(async (page, context) => {
      const identified = page.waitForResponse('**/tracking/external-cid/v1');
      await page.goto(at('www.elsewhere.test', '/trackdesk?ref=ada'));
      const answer = await identified;
      assert.equal(answer.status(), 200, await answer.text());
      // As the snippet for payment links reads it.
      const { cid } = JSON.parse((await readable(page)).match('(^|;)\\s*trakdesk_cid\\s*=\\s*([^;]+)').pop());
      assert.match(cid, ID);
      assert.deepEqual(await answer.json(), { cid, externalCid: 'tom@mail.test' });

      // A page without a link keeps the click; conversions name it, and callbacks hear of it.
      await page.goto(at('www.elsewhere.test', '/trackdesk'));
      const heard = await page.evaluate(() => new Promise((done) => {
        window.trackdesk('acme', 'click', {}, (click) => {
          window.trackdesk('acme', 'conversion', {
            conversionType: 'sale', amount: { value: '20.00' }, externalId: 'trackdesk-1', customerId: 'tom',
          }, (told) => done({ click, told }));
        });
      }));
      assert.equal(heard.click.cid, cid);
      assert.deepEqual(heard.told, { cid, externalId: 'trackdesk-1' });
      assert.deepEqual(page.said, []);
    });
    await visitor(async (page, context) => {
      const linkId = encodeURIComponent('go.acme.test/ada');
      await page.goto(at('www.elsewhere.test', `/trackdesk?linkId=${linkId}`));
      await page.waitForFunction(() => document.cookie.includes('trakdesk_cid'));
      assert.equal((await cookie(context, 'trakdesk_cid')).domain, '.elsewhere.test');
    });
  },

  async 'npm dub and PyPI dub, with another server'() {
    const follow = async () => {
      const answer = await fetch(`${edge}/track/click`, {
        method: 'POST',
        headers: { origin: 'http://www.acme.test' },
        body: JSON.stringify({ domain: 'go.acme.test', key: 'ada' }),
      });
      return (await answer.json()).clickId;
    };
    const dub = new Dub({ token: 'dub_acme_server_key', serverURL: edge });
    const click = await follow();
    const lead = await dub.track.lead({ clickId: click, eventName: 'Sign up', customerExternalId: 'u_node', mode: 'wait' });
    assert.equal(lead.click.id, click);
    assert.match(await (await fetch(`${edge}/metrics`)).text(), /edge_waited_leads_total\{outcome="recorded"\} 1/);
    const sale = await dub.track.sale({ customerExternalId: 'u_node', amount: 5000, invoiceId: 'node-1' });
    assert.equal(sale.sale.amount, 5000);
    await assert.rejects(dub.track.lead({ clickId: 'none', eventName: 'Sign up', customerExternalId: 'u_node' }),
      (error) => error.constructor.name === 'NotFound' && /clickId/.test(error.message));

    const environment = { ...process.env, CLICK: await follow() };
    execFileSync('python3', [here('sdk.py').pathname], { env: environment, stdio: ['ignore', 'inherit', 'pipe'] });
  },
};

// ---- the shop is a process of its own, as in its README

const environment = {
  ...process.env,
  PORT: String(shop),
  SITE: `http://www.shop.test:${shop}`,
  TRIBUTARY: `http://go.shop.test:${port}`,
  TRIBUTARY_API: edge,
  LINK_DOMAIN: 'go.shop.test',
};
const shopDirectory = here('../../examples/shop/');
const shopServer = spawn(process.execPath, ['server.mjs'], { cwd: shopDirectory, env: environment, stdio: ['ignore', 'pipe', 'inherit'] });
await new Promise((opened, failed) => {
  shopServer.stdout.once('data', opened);
  shopServer.once('exit', (code) => failed(new Error(`the shop ended with ${code}`)));
});

let failures = 0;
for (const [name, story] of Object.entries(stories)) {
  try {
    await story();
    console.log(`ok      ${name}`);
  } catch (error) {
    failures += 1;
    console.log(`FAILED  ${name}\n${error.stack}\n${error.stderr ?? ''}`);
  }
}
await browser.close();
shopServer.kill();
server.close();
process.exit(failures ? 1 : 0);
