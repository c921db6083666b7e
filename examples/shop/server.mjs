// A shop of three pages that tells Tributary what it needs to know. The steps are numbered as in the README.

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { Dub } from 'dub';
import Stripe from 'stripe';
import { startStripeDouble } from './stripe-double.mjs';

const settings = {
  port: Number(process.env.PORT || 3000),
  site: process.env.SITE || 'http://localhost:3000',
  tributary: process.env.TRIBUTARY || 'http://localhost:8080',
  linkDomain: process.env.LINK_DOMAIN || 'localhost',
  apiKey: process.env.TRIBUTARY_KEY || 'dub_shop_server_key',
  webhookSecret: process.env.STRIPE_WEBHOOK_SECRET || 'whsec_shop',
};

// The server calls Tributary by an address; the name in `settings.tributary` is the one that browsers know.
const dub = new Dub({ token: settings.apiKey, serverURL: process.env.TRIBUTARY_API || settings.tributary });
const double = await startStripeDouble({
  webhook: `${process.env.TRIBUTARY_API || settings.tributary}/webhooks/stripe/shop`,
  secret: settings.webhookSecret,
});
// With a key of yours and without the second argument this is the real Stripe.
const stripe = new Stripe('sk_test_shop', { host: '127.0.0.1', port: double.port, protocol: 'http' });

const customers = new Map();

function page(name) {
  const html = readFileSync(new URL(`./pages/${name}.html`, import.meta.url), 'utf8');
  return html.replaceAll('{{tributary}}', settings.tributary).replaceAll('{{linkDomain}}', settings.linkDomain);
}

function cookie(request, name) {
  const found = (request.headers.cookie || '').split('; ').find((pair) => pair.startsWith(`${name}=`));
  return found ? decodeURIComponent(found.slice(name.length + 1)) : '';
}

async function form(request) {
  let body = '';
  for await (const part of request) body += part;
  return new URLSearchParams(body);
}

const routes = {
  'GET /': () => ({ html: page('home') }),
  'GET /pricing': () => ({ html: page('pricing') }),
  'GET /thanks': () => ({ html: page('thanks') }),

  // Step 2. Somebody signs up: a lead, with the click of the cookie.
  'POST /signup': async (request) => {
    const told = await form(request);
    const customer = { id: randomUUID(), name: told.get('name'), email: told.get('email') };
    customers.set(customer.id, customer);
    await dub.track.lead({
      clickId: cookie(request, 'dub_id'),
      eventName: 'Sign up',
      customerExternalId: customer.id,
      customerName: customer.name,
      customerEmail: customer.email,
    });
    return { to: '/pricing', cookie: `user=${customer.id}; Path=/; HttpOnly; SameSite=Lax` };
  },

  // Step 3. The checkout says who pays. Stripe's webhook tells Tributary the rest.
  'POST /checkout': async (request) => {
    const customer = customers.get(cookie(request, 'user'));
    if (!customer) return { to: '/' };
    const session = await stripe.checkout.sessions.create({
      mode: 'payment',
      line_items: [{ price: 'price_widget', quantity: 1 }],
      customer_email: customer.email,
      metadata: { dubCustomerExternalId: customer.id },
      success_url: `${settings.site}/thanks`,
    });
    return { to: session.url };
  },
};

const server = createServer(async (request, response) => {
  try {
    const route = routes[`${request.method} ${new URL(request.url, settings.site).pathname}`];
    const answer = route ? await route(request) : { status: 404, html: 'There is no such page.' };
    if (answer.cookie) response.setHeader('set-cookie', answer.cookie);
    if (answer.to) response.writeHead(303, { location: answer.to }).end();
    else response.writeHead(answer.status || 200, { 'content-type': 'text/html; charset=utf-8' }).end(answer.html);
  } catch (error) {
    console.error(error);
    response.writeHead(500).end('Something went wrong.');
  }
});
server.listen(settings.port, () => console.log(`the shop is open: ${settings.site}`));
