//! What facts may say about people: hashed addresses, IDs that are no addresses, bounded metadata.
//!
//! Invariant (rule B1a): no e-mail address passes in the clear, whichever field it came in.

use tributary_avro::{CustomerRef, Metadata};

use crate::mail::{self, MailKey};

/// Stripe's own limits of metadata, which tracking calls share.
const MAX_KEYS: usize = 50;
pub(super) const MAX_CHARS: usize = 500;

/// The customer that a statement names.
///
/// An external ID that is an address becomes the mail key and beats `address`: the seller chose it to
/// tie statements together, while a payer may type any other.
pub(crate) fn person(external_id: &str, stripe: String, address: &str, key: &MailKey) -> CustomerRef {
    let external_id = external_id.trim();
    let told = key.hash(external_id);
    let used = if told.is_some() { external_id } else { address };
    let clear = told.is_none() && external_id.chars().count() <= MAX_CHARS && !holds_address(external_id);
    CustomerRef {
        external_id: if clear {
            external_id.to_owned()
        } else {
            String::new()
        },
        stripe,
        mail: told.or_else(|| key.hash(address)).unwrap_or_default(),
        disposable: mail::is_disposable(used),
    }
}

/// What metadata about a person is called, without case and punctuation.
const PERSONAL: [&str; 38] = [
    "name",
    "firstname",
    "middlename",
    "lastname",
    "fullname",
    "givenname",
    "familyname",
    "surname",
    "nickname",
    "displayname",
    "cardholder",
    "cardholdername",
    "email",
    "emailaddress",
    "mail",
    "mailaddress",
    "phone",
    "phonenumber",
    "mobile",
    "mobilenumber",
    "tel",
    "telephone",
    "fax",
    "address",
    "addressline1",
    "addressline2",
    "line1",
    "line2",
    "postaladdress",
    "street",
    "streetaddress",
    "avatar",
    "avatarurl",
    "photo",
    "birthday",
    "birthdate",
    "dateofbirth",
    "dob",
];
/// Whose name it is may stand before it.
const WHOSE: [&str; 9] = [
    "customer",
    "client",
    "user",
    "buyer",
    "payer",
    "contact",
    "billing",
    "shipping",
    "recipient",
];

/// Whether metadata of this name is about a person: the name, an address, a number, a birthday.
fn is_personal(name: &str) -> bool {
    let plain: String = name
        .chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    let of_somebody = WHOSE.iter().find_map(|whose| plain.strip_prefix(whose));
    PERSONAL.contains(&plain.as_str()) || of_somebody.is_some_and(|rest| PERSONAL.contains(&rest))
}

/// Metadata within the limits. What is too long, holds an address, or is called like a person's name is left out
/// rather than cut: half a value would be another value to a rule that reads it. The names in `ids` hold IDs, the
/// settings say so, whatever they are called.
pub(crate) fn metadata<'a>(entries: impl Iterator<Item = (&'a str, String)>, ids: &[String]) -> Metadata {
    let mut all: Metadata = entries
        .filter(|(name, value)| {
            let short = |text: &str| text.len() <= MAX_CHARS || text.chars().count() <= MAX_CHARS;
            let personal = || is_personal(name) && !ids.iter().any(|id| id == name);
            short(name) && short(value) && !holds_address(name) && !holds_address(value) && !personal()
        })
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    while all.len() > MAX_KEYS {
        all.pop_last();
    }
    all
}

/// Whether an e-mail address stands anywhere in the text, percent-encoded ones included.
pub(crate) fn holds_address(text: &str) -> bool {
    if !text.contains('@') && !text.contains("%40") {
        return false;
    }
    let text = text.replace("%40", "@");
    text.split(|c: char| c.is_whitespace() || "<>()[]{}\"',;:|/?&=".contains(c))
        .any(|word| {
            word.rsplit_once('@')
                .is_some_and(|(local, domain)| !local.is_empty() && domain.contains('.'))
                || mail::normalize(word).is_some()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_never_passes_in_the_clear() {
        let key = MailKey::new("k");
        let told = person("Ada+x@Example.com", String::new(), "other@example.com", &key);
        assert_eq!(told.external_id, "");
        assert_eq!(told.mail, key.hash("ada@example.com").unwrap());
        let hidden = person("Ada <ada@example.com>", String::new(), "", &key);
        assert_eq!(hidden, CustomerRef::default());
        let plain = person(" user_7 ", "/cus_1".into(), "ada@example.com", &key);
        assert_eq!(plain.external_id, "user_7");
        assert_eq!(plain.mail, told.mail);
        assert_eq!(
            person("team@acme", String::new(), "", &key).external_id,
            "team@acme"
        );
    }

    #[test]
    fn metadata_has_limits() {
        let long = "x".repeat(501);
        let at_limit = "é".repeat(500);
        let told = metadata(
            [
                ("plan", "pro".to_owned()),
                ("note", "mail ada@example.com!".to_owned()),
                ("url", "https://x.test/?m=ada%40example.com".to_owned()),
                ("ada@example.com", "1".to_owned()),
                ("long", long),
                ("limit", at_limit),
                ("handle", "@ada".to_owned()),
            ]
            .into_iter(),
            &[],
        );
        assert_eq!(told.keys().collect::<Vec<_>>(), ["handle", "limit", "plan"]);
        let names: Vec<String> = (0..80).map(|i| format!("k{i:02}")).collect();
        let many = metadata(names.iter().map(|n| (n.as_str(), String::new())), &[]);
        assert_eq!(many.len(), 50);
        assert_eq!(many.last_key_value().unwrap().0, "k49");
    }

    #[test]
    fn what_is_called_like_a_name_is_left_out() {
        let told = |names: &[&str], ids: &[String]| -> Vec<String> {
            let entries = names.iter().map(|name| (*name, "Ada".to_owned()));
            metadata(entries, ids).into_keys().collect()
        };
        let personal = [
            "name",
            "Name",
            "first_name",
            "last-name",
            "fullName",
            "customer_name",
            "customerEmail",
            "E-Mail",
            "PHONE",
            "phone_number",
            "billing_address",
            "street",
            "avatar",
            "birthday",
            "Customer First Name",
        ];
        assert_eq!(told(&personal, &[]), [""; 0]);
        let plain = [
            "address_book",
            "campaign_name",
            "customer_id",
            "file_name",
            "namespace",
            "plan",
            "product_name",
        ];
        assert_eq!(told(&plain, &[]), plain);
        // The settings say that this one holds an ID.
        assert_eq!(told(&personal, &["customer_name".to_owned()]), ["customer_name"]);
    }
}
