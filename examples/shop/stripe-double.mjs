// What the shop needs of Stripe, on this machine: a checkout page, and the webhook after it, signed as Stripe signs.

import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import Stripe from 'stripe';

const PRICE = 4900;

export async function startStripeDouble({ webhook, secret }) {
  const stripe = new Stripe('sk_test_double');
  const sessions = new Map();

  async function tell(session) {
    const event = {
      id: `evt_${session.id}`,
      object: 'event',
      api_version: '2025-08-27.basil',
      created: Math.floor(Date.now() / 1000),
      livemode: true,
      type: 'checkout.session.completed',
      data: { object: session },
    };
    const payload = JSON.stringify(event);
    const signature = stripe.webhooks.generateTestHeaderString({ payload, secret });
    const headers = { 'content-type': 'application/json', 'stripe-signature': signature };
    const answer = await fetch(webhook, { method: 'POST', headers, body: payload });
    if (!answer.ok) throw new Error(`the webhook was answered ${answer.status}: ${await answer.text()}`);
  }

  function create(fields) {
    const id = `cs_live_${randomUUID().replaceAll('-', '')}`;
    const metadata = {};
    for (const [name, value] of fields) {
      const key = name.match(/^metadata\[(.+)\]$/);
      if (key) metadata[key[1]] = value;
    }
    const session = {
      id,
      object: 'checkout.session',
      mode: fields.get('mode'),
      status: 'open',
      payment_status: 'unpaid',
      currency: 'usd',
      amount_subtotal: PRICE,
      amount_total: PRICE,
      total_details: { amount_discount: 0, amount_shipping: 0, amount_tax: 0 },
      customer: null,
      customer_details: { email: fields.get('customer_email') },
      client_reference_id: fields.get('client_reference_id'),
      metadata,
      success_url: fields.get('success_url'),
      url: `http://127.0.0.1:${server.address().port}/pay/${id}`,
    };
    sessions.set(id, session);
    return session;
  }

  const server = createServer(async (request, response) => {
    let body = '';
    for await (const part of request) body += part;
    if (request.method === 'POST' && request.url === '/v1/checkout/sessions') {
      const session = create(new URLSearchParams(body));
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(session));
      return;
    }
    const session = sessions.get(request.url.replace('/pay/', ''));
    if (!session) {
      response.writeHead(404).end();
    } else if (request.method === 'GET') {
      const html = '<!doctype html><title>Checkout</title><form method="post"><button>Pay 49.00</button></form>';
      response.writeHead(200, { 'content-type': 'text/html' }).end(html);
    } else {
      Object.assign(session, { status: 'complete', payment_status: 'paid', payment_intent: `pi_${session.id}` });
      try {
        await tell(session);
        response.writeHead(303, { location: session.success_url }).end();
      } catch (error) {
        console.error(error);
        response.writeHead(502).end(String(error));
      }
    }
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  return { port: server.address().port };
}
