//! Decisions about commissions and sales (rules F6, F7, G7), whoever takes them: the command line and the API make
//! their facts here, so that one decision is one statement.

use tributary_avro::{CommandFact, Track, TrackCommand};

use super::Rejection;
use super::track::{amount, currency, invalid, required, text};

/// Most decisions of one call.
pub const MOST_COMMANDS: usize = 1000;

/// The objects that a decision names by their key; anything else is a payment, which any of its IDs finds.
const KEYED: [&str; 4] = ["lead", "clicks", "custom", "browser"];

/// How a command names what it is about: the name, and the key of what is no payment.
///
/// `lead:ext:user_1/sign up` is named by its key, `in_1` finds its payment by itself.
pub fn named(id: &str) -> (String, String) {
    match id.split_once(':') {
        Some((kind, name)) if KEYED.contains(&kind) => (name.to_owned(), id.to_owned()),
        _ => (id.to_owned(), String::new()),
    }
}

/// The same for the key of an object in the ledger, e.g. `in:in_1`.
pub fn named_by_key(object: &str) -> (String, String) {
    match object.split_once(':') {
        Some(("in" | "cs" | "pi" | "ch" | "sale", id)) => (id.to_owned(), String::new()),
        Some((_, id)) => (id.to_owned(), object.to_owned()),
        None => (object.to_owned(), String::new()),
    }
}

/// The body of the fact that states a decision. What its kind does not read is left out.
pub fn command(told: &TrackCommand) -> Result<CommandFact, Rejection> {
    required("commands.names", told.names.trim())?;
    for (name, value) in [
        ("commands.names", &told.names),
        ("commands.object", &told.object),
        ("commands.partner_id", &told.partner_id),
        ("commands.payout_id", &told.payout_id),
        ("commands.reason", &told.reason),
    ] {
        text(name, value)?;
    }
    let mut fact = CommandFact {
        command: told.command.clone(),
        names: told.names.clone(),
        object: told.object.clone(),
        partner_id: told.partner_id.clone(),
        reason: told.reason.clone(),
        ..CommandFact::default()
    };
    match told.command.as_str() {
        "approve" | "reject" | "withhold" | "release" => {}
        "pay" => {
            required("commands.partner_id", &told.partner_id)?;
            // A payout that is told twice is one; two without a name could not be told apart.
            required("commands.payout_id", &told.payout_id)?;
            fact.payout_id.clone_from(&told.payout_id);
            (fact.amount, fact.currency) = money(told)?;
        }
        "custom" => {
            required("commands.partner_id", &told.partner_id)?;
            required("commands.reason", told.reason.trim())?;
            if told.amount == 0 {
                return Err(invalid("commands.amount", "another than 0 (rule F7)"));
            }
            fact.object = format!("custom:{}", told.names);
            (fact.amount, fact.currency) = money(told)?;
        }
        "refund" => {
            // What goes back is of the sale, and of everybody who earned by it (rule G7).
            if !told.object.is_empty() || !told.partner_id.is_empty() {
                return Err(invalid(
                    "commands.object",
                    "empty for a refund, and partner_id too",
                ));
            }
            if told.amount < 0 {
                return Err(Rejection::new(
                    "negative_amount",
                    "track.commands.amount: a refund is told as what goes back (rule G7)",
                ));
            }
            if told.amount > 0 {
                // A refund that is told twice is one; two without a name could not be told apart.
                required("commands.payout_id", &told.payout_id)?;
                fact.amount = amount("commands.amount", told.amount)?;
            }
            fact.payout_id.clone_from(&told.payout_id);
        }
        other => {
            return Err(Rejection::new(
                "unknown_kind",
                format!(
                    "track.commands.command: {other:?} is none of approve, reject, withhold, release, pay, custom, refund"
                ),
            ));
        }
    }
    Ok(fact)
}

/// The decisions of a call.
pub(super) fn commands(track: &Track) -> Result<Vec<CommandFact>, Rejection> {
    if track.commands.is_empty() {
        return Ok(Vec::new());
    }
    if track.trust != "server" {
        return Err(invalid("trust", "server for decisions (rule C9)"));
    }
    if track.commands.len() > MOST_COMMANDS {
        return Err(invalid("commands", "at most 1000"));
    }
    track.commands.iter().map(command).collect()
}

fn money(told: &TrackCommand) -> Result<(i64, String), Rejection> {
    Ok((
        amount("commands.amount", told.amount)?,
        currency("commands.currency", &told.currency)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_and_the_ledger_name_the_same() {
        for (said, key) in [
            ("in_1", "in:in_1"),
            ("order-7", "sale:order-7"),
            ("lead:ext:u_1/sign up", "lead:ext:u_1/sign up"),
            ("clicks:l_1/ada/2026-01-31", "clicks:l_1/ada/2026-01-31"),
            ("custom:bonus", "custom:bonus"),
        ] {
            assert_eq!(named(said), named_by_key(key), "{said}");
        }
        // Another's colon is part of the name.
        assert_eq!(named("shop:7"), ("shop:7".to_owned(), String::new()));
    }

    #[test]
    fn what_a_kind_does_not_read_is_left_out() {
        let told = TrackCommand {
            command: "approve".into(),
            names: "in_1".into(),
            partner_id: "ada".into(),
            amount: 5,
            currency: "USD".into(),
            payout_id: "po_1".into(),
            ..TrackCommand::default()
        };
        let fact = command(&told).unwrap();
        assert_eq!(
            (fact.amount, fact.currency.as_str(), fact.payout_id.as_str()),
            (0, "", "")
        );
        let paid = TrackCommand {
            command: "pay".into(),
            ..told
        };
        let fact = command(&paid).unwrap();
        assert_eq!(
            (fact.amount, fact.currency.as_str(), fact.payout_id.as_str()),
            (5, "usd", "po_1")
        );
    }
}
