//! Conversion types and revenue origins as programs declare them (rule D4).
//!
//! Calls name both within the workspace, so each belongs to one program.

use std::collections::BTreeSet;

use super::{ConversionType, Program};
use crate::normalize::holds_address;

const TEXT_LIMIT: usize = 255;

impl ConversionType {
    /// The code as it compares: without case, and `couponredeemed` as `couponredeem`.
    pub fn key(code: &str) -> String {
        let code = code.trim().to_lowercase();
        if code == "couponredeemed" {
            "couponredeem".to_owned()
        } else {
            code
        }
    }

    /// Its event name in the ledger.
    pub fn event_name(&self) -> &str {
        if self.name.trim().is_empty() {
            &self.code
        } else {
            &self.name
        }
    }
}

/// What is wrong with them: the program's place in the file, and the message.
pub(super) fn problems(programs: &[Program]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let (mut codes, mut origins) = (BTreeSet::new(), BTreeSet::new());
    for (i, program) in programs.iter().enumerate() {
        let mut expect = |ok: bool, message: String| {
            if !ok {
                found.push((i, message));
            }
        };
        for ConversionType { code, name, .. } in &program.conversion_types {
            expect(
                super::file::is_id(code),
                format!("conversion_types: code: {code:?} is not 1 to 64 characters a-z 0-9 _ - (D4)"),
            );
            expect(
                !matches!(code.as_str(), "sale" | "lead"),
                format!("conversion_types: {code:?} is there without a declaration (D4)"),
            );
            expect(
                name.is_empty() || is_text(name),
                format!("conversion_types: {code:?}: name: at most 255 characters, no e-mail address (D4)"),
            );
            expect(
                codes.insert(ConversionType::key(code)),
                format!("conversion_types: {code:?} is declared twice in the workspace (D4)"),
            );
        }
        for origin in &program.revenue_origins {
            expect(
                is_text(origin),
                format!("revenue_origins: {origin:?} is not 1 to 255 characters without e-mail address (D4)"),
            );
            expect(
                origins.insert(origin),
                format!("revenue_origins: {origin:?} is declared twice in the workspace (D4)"),
            );
        }
    }
    found
}

/// What calls may name and facts may hold.
fn is_text(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= TEXT_LIMIT && !holds_address(text)
}

#[cfg(test)]
mod tests {
    use crate::rules::parse;

    #[test]
    fn problems_name_line_and_rule() {
        let second = |fields: &str| {
            format!(
                "  - id: first\n    revenue_origins: [shop]\n    conversion_types: [{{code: couponredeem, as: redemption}}]\n  - id: second\n    {fields}\n"
            )
        };
        for (fields, line, text) in [
            (
                "conversion_types: [{code: Trial Paid, as: sale}]",
                7,
                "programs[1].conversion_types: code: \"Trial Paid\" is not 1 to 64 characters a-z 0-9 _ - (D4)",
            ),
            (
                "conversion_types: [{code: lead, as: lead}]",
                7,
                "\"lead\" is there without a declaration (D4)",
            ),
            (
                "conversion_types: [{code: demo, name: of a@x.test, as: lead}]",
                7,
                "\"demo\": name: at most 255 characters",
            ),
            (
                "conversion_types: [{code: couponredeemed, as: redemption}]",
                7,
                "\"couponredeemed\" is declared twice in the workspace (D4)",
            ),
            ("conversion_types: [{code: demo, as: gift}]", 8, "gift"),
            ("conversion_types: [{code: demo}]", 8, "as"),
            (
                "revenue_origins: [shop]",
                7,
                "programs[1].revenue_origins: \"shop\" is declared twice in the workspace (D4)",
            ),
            ("revenue_origins: ['']", 7, "\"\" is not 1 to 255 characters"),
        ] {
            let file = format!("workspace:\n  id: acme\nprograms:\n{}", second(fields));
            let problems = parse(&file).unwrap_err();
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].message.contains(text), "{problems:?}");
            assert_eq!(problems[0].line, line, "{problems:?}");
        }
    }
}
