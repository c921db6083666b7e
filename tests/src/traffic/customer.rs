//! One customer's requests, from the first click to the last refund, in the order of their telling.

use serde_json::{Value, json};
use tributary_domain::simulate::Line;

use super::random::Random;
use super::stripe::{Payment, event};

/// 2025-05-01, UTC seconds. Long ago on any clock: the edge refuses times to come.
const BEGIN: i64 = 1_746_057_600;
/// Days over which first clicks are spread: several ClickHouse partitions.
const DAYS: u64 = 150;
const DAY: i64 = 86_400;
const AGENTS: [&str; 3] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0",
];

/// A workspace in one mode.
pub struct Shop {
    /// Index of the program file.
    pub program: usize,
    /// Workspace ID.
    pub workspace: String,
    /// Live or test mode.
    pub live: bool,
    /// Secret key of the mode.
    pub key: String,
    /// Two letters in front of every ID, so that IDs differ between shops.
    pub tag: String,
}

struct Story<'a> {
    random: &'a mut Random,
    shop: &'a Shop,
    number: u64,
    at: i64,
    lines: Vec<Line>,
    events: u64,
}

/// The requests of customer `number`.
pub fn customer(random: &mut Random, shop: &Shop, number: u64) -> Vec<Line> {
    let at = BEGIN + (random.below(DAYS * 86_400)) as i64;
    let mut story = Story {
        random,
        shop,
        number,
        at,
        lines: Vec::new(),
        events: 0,
    };
    story.tell();
    story.lines
}

impl Story<'_> {
    fn tell(&mut self) {
        let click = self.click(0);
        match self.random.below(10) {
            0..=3 => {
                if self.random.one_in(3) {
                    self.click(1);
                }
            }
            4 => self.guest(&click),
            5 => self.calls(&click),
            6 => self.stranger(),
            7 => self.subscription(&click, true),
            8 => self.subscription(&click, false),
            _ => self.sign_up(&click),
        }
    }

    fn line(&mut self, path: &str, agent: &str, body: Value) {
        let mut headers = std::collections::BTreeMap::from([
            ("host".to_owned(), format!("go.{}.test", self.shop.workspace)),
            ("user-agent".to_owned(), agent.to_owned()),
        ]);
        if path.starts_with("/track/") {
            headers.insert("authorization".to_owned(), format!("Bearer {}", self.shop.key));
        }
        self.lines.push(Line {
            at: jiff::Timestamp::from_second(self.at + 1).unwrap_or_default(),
            method: "POST".to_owned(),
            path: path.to_owned(),
            headers,
            body,
        });
    }

    fn call(&mut self, what: &str, mut body: Value) {
        body["timestamp"] = jiff::Timestamp::from_second(self.at)
            .unwrap_or_default()
            .to_string()
            .into();
        self.line(&format!("/track/{what}"), "shop/1.0", body);
    }

    fn click(&mut self, which: u64) -> String {
        let id = format!("{}{which}{:013}", self.shop.tag, self.number);
        let key = self.random.pick(&["ada", "ada", "bob", "cyd", "eve", "news"]);
        let agent = self.random.pick(&AGENTS);
        let at = jiff::Timestamp::from_second(self.at)
            .unwrap_or_default()
            .to_string();
        let body = json!({"domain": format!("go.{}.test", self.shop.workspace), "key": key, "clickId": id,
            "referrer": "https://blog.example/best", "timestamp": at});
        self.line("/track/click", agent, body);
        self.pass(5, 2 * DAY);
        id
    }

    /// Lets time go by.
    fn pass(&mut self, least: i64, most: i64) {
        self.at += least + self.random.below((most - least) as u64) as i64;
    }

    fn stripe(&mut self, kind: &str, object: Value) {
        let id = format!("evt_{}{}_{}", self.shop.tag, self.number, self.events);
        self.events += 1;
        let body = event(&id, kind, self.at, self.shop.live, object);
        let path = format!("/webhooks/stripe/{}", self.shop.workspace);
        self.line(&path, "Stripe/1.0 (+https://stripe.com/docs/webhooks)", body);
        self.at += self.random.below(3) as i64;
    }

    fn email(&mut self) -> String {
        // A few share an address: their cases become one.
        let number = if self.random.one_in(20) {
            self.number / 2
        } else {
            self.number
        };
        format!("person{number}@{}.test", self.shop.tag)
    }

    fn user(&self) -> String {
        format!("user_{}{}", self.shop.tag, self.number)
    }

    fn lead(&mut self, click: &str) {
        let email = self.email();
        let user = self.user();
        let name = self.random.pick(&["Sign up", "Trial"]);
        self.call(
            "lead",
            json!({"clickId": click, "eventName": name, "customerExternalId": user, "customerEmail": email}),
        );
        self.pass(60, 5 * DAY);
    }

    fn sign_up(&mut self, click: &str) {
        self.lead(click);
        let second = self.click(1);
        if self.random.one_in(2) {
            self.lead(&second);
        }
    }

    fn calls(&mut self, click: &str) {
        self.lead(click);
        for n in 0..1 + self.random.below(4) {
            let invoice = format!("BANK-{}{}-{n}", self.shop.tag, self.number);
            let (user, amount) = (self.user(), 100 + self.random.below(50_000) as i64);
            let product = self.random.pick(&["prod_gold", "prod_addon"]);
            self.call(
                "sale",
                json!({"customerExternalId": user, "amount": amount, "currency": "usd", "invoiceId": invoice,
                "lines": [{"productId": product, "quantity": 1, "amount": amount}]}),
            );
            self.pass(60, 20 * DAY);
        }
    }

    fn guest(&mut self, click: &str) {
        let (email, id, total) = (
            self.email(),
            format!("{}{}", self.shop.tag, self.number),
            self.total(),
        );
        let payment = Payment {
            id: &id,
            customer: "",
            email: &email,
            at: self.at,
            total,
            tax: 0,
            currency: "usd",
            promotion: "",
            subscription: "",
        };
        self.stripe(
            "checkout.session.completed",
            payment.session(&format!("dub_id_{click}"), false),
        );
        self.stripe("payment_intent.succeeded", payment.intent());
        self.stripe("charge.succeeded", payment.charge(false, Vec::new()));
        self.money_back(&payment, false);
    }

    /// Nobody's click: a coupon's, or nobody's at all.
    fn stranger(&mut self) {
        let (email, id, total) = (
            self.email(),
            format!("s{}{}", self.shop.tag, self.number),
            self.total(),
        );
        let promotion = self
            .random
            .pick(&["", "promo_listen", "promo_save", "promo_other"]);
        let payment = Payment {
            id: &id,
            customer: "",
            email: &email,
            at: self.at,
            total,
            tax: total / 10,
            currency: self.random.pick(&["usd", "usd", "usd", "eur"]),
            promotion,
            subscription: "",
        };
        if self.random.one_in(3) {
            let code = json!({"id": "promo_save", "object": "promotion_code", "code": "SAVE20", "coupon": "co_1", "active": true});
            self.stripe("promotion_code.created", code);
        }
        self.stripe("checkout.session.completed", payment.session("", false));
        self.stripe("charge.succeeded", payment.charge(false, Vec::new()));
        self.money_back(&payment, true);
    }

    fn subscription(&mut self, click: &str, old: bool) {
        let (email, user) = (self.email(), self.user());
        let customer = format!("cus_{}{}", self.shop.tag, self.number);
        let subscription = format!("sub_{}{}", self.shop.tag, self.number);
        let told = self.random.below(3);
        if told == 0 {
            self.lead(click);
        }
        let total = self.total();
        // Some basil accounts do not send invoice_payment at all.
        let linked = !self.random.one_in(4);
        for month in 0..1 + self.random.below(5) {
            let id = format!("{}{}x{month}", self.shop.tag, self.number);
            let payment = Payment {
                id: &id,
                customer: &customer,
                email: &email,
                at: self.at,
                total,
                tax: total / 10,
                currency: "usd",
                promotion: if self.number.is_multiple_of(7) {
                    "promo_listen"
                } else {
                    ""
                },
                subscription: &subscription,
            };
            if month == 0 {
                let metadata = match told {
                    0 => json!({"dubCustomerExternalId": user}),
                    1 => json!({"dubClickId": click, "dubCustomerExternalId": user}),
                    _ => json!({}),
                };
                self.stripe("customer.created", payment.customer_object(metadata));
                let reference = if told == 2 {
                    format!("dub_id_{click}")
                } else {
                    String::new()
                };
                self.stripe("checkout.session.completed", payment.session(&reference, true));
            }
            let reason = if month == 0 {
                "subscription_create"
            } else {
                "subscription_cycle"
            };
            self.stripe("invoice.paid", payment.invoice(old, reason));
            if old || linked {
                if !old {
                    self.stripe("invoice_payment.paid", payment.invoice_payment());
                }
                self.stripe("charge.succeeded", payment.charge(old, Vec::new()));
                self.money_back(&payment, old);
            }
            if old && self.random.one_in(3) {
                self.stripe("invoice.payment_succeeded", payment.invoice(old, reason));
            }
            self.at = payment.at + 30 * DAY;
        }
    }

    fn total(&mut self) -> i64 {
        500 + self.random.below(30_000) as i64
    }

    fn money_back(&mut self, payment: &Payment, old: bool) {
        self.at = payment.at + DAY;
        match self.random.below(8) {
            0 => {
                let refund = payment.refund(1, payment.total, "succeeded");
                if old {
                    self.stripe("charge.refunded", payment.charge(false, vec![refund]));
                } else {
                    self.stripe("refund.created", refund);
                }
            }
            1 => {
                self.stripe("refund.created", payment.refund(1, payment.total / 3, "pending"));
                self.at += 60;
                self.stripe(
                    "refund.updated",
                    payment.refund(1, payment.total / 3, "succeeded"),
                );
                self.stripe(
                    "refund.created",
                    payment.refund(2, payment.total / 4, "succeeded"),
                );
            }
            _ => {}
        }
    }
}
