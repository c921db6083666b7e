//! A small reading of the user agent: device, browser, system, machine or not.
//!
//! It knows the large families by their own tokens and guesses nothing else. The full tables of browsers
//! and machines belong here too when they come.

/// What a user agent says. Names are empty where unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Agent {
    pub device: &'static str,
    pub browser: &'static str,
    pub os: &'static str,
    pub bot: bool,
}

#[derive(Default)]
struct Seen {
    browser: (u8, &'static str),
    os: (u8, &'static str),
    mobile: bool,
    android: bool,
    tablet: bool,
    television: bool,
    bot: bool,
}

impl Seen {
    // Browsers also name those they descend from: the higher rank is the more specific.
    fn browser(&mut self, rank: u8, name: &'static str) {
        if rank > self.browser.0 {
            self.browser = (rank, name);
        }
    }

    fn os(&mut self, rank: u8, name: &'static str) {
        if rank > self.os.0 {
            self.os = (rank, name);
        }
    }

    // By first letter: most words of a user agent are none of these, and one look says so.
    fn token(&mut self, token: &[u8]) {
        match token.first() {
            Some(b'A') => match token {
                b"Android" => {
                    self.android = true;
                    self.os(4, "Android");
                }
                b"AppleWebKit" => {}
                b"AppleTV" => self.television = true,
                _ => self.unknown(token),
            },
            Some(b'C') => match token {
                b"Chrome" | b"CriOS" | b"Chromium" => self.browser(2, "Chrome"),
                b"CrOS" => self.os(3, "Chrome OS"),
                _ => self.unknown(token),
            },
            Some(b'E') => match token {
                b"Edg" | b"EdgA" | b"EdgiOS" | b"Edge" => self.browser(5, "Edge"),
                _ => self.unknown(token),
            },
            Some(b'F') => match token {
                b"Firefox" | b"FxiOS" => self.browser(3, "Firefox"),
                _ => self.unknown(token),
            },
            Some(b'M') => match token {
                b"Mozilla" | b"Mac" => {}
                b"Mobile" => self.mobile = true,
                b"Macintosh" => self.os(2, "Mac OS"),
                b"MSIE" => self.browser(3, "Internet Explorer"),
                _ => self.unknown(token),
            },
            Some(b'O') => match token {
                b"OPR" | b"Opera" | b"OPiOS" => self.browser(5, "Opera"),
                _ => self.unknown(token),
            },
            Some(b'S') => match token {
                b"Safari" => self.browser(1, "Safari"),
                b"SamsungBrowser" => self.browser(4, "Samsung Internet"),
                b"SmartTV" => self.television = true,
                _ => self.unknown(token),
            },
            Some(b'G') if token == b"Gecko" => {}
            Some(b'K') if token == b"KHTML" => {}
            Some(b'l') if token == b"like" => {}
            Some(b'T') => match token {
                b"Trident" => self.browser(3, "Internet Explorer"),
                b"Tablet" => self.tablet = true,
                b"Tizen" => self.television = true,
                _ => self.unknown(token),
            },
            Some(b'i') => match token {
                b"iPhone" | b"iPod" => {
                    self.mobile = true;
                    self.os(5, "iOS");
                }
                b"iPad" => {
                    self.tablet = true;
                    self.os(5, "iOS");
                }
                _ => self.unknown(token),
            },
            _ => match token {
                b"Linux" | b"X11" => self.os(1, "Linux"),
                b"Windows" => self.os(3, "Windows"),
                b"GoogleTV" | b"BRAVIA" => self.television = true,
                _ => self.unknown(token),
            },
        }
    }

    fn unknown(&mut self, token: &[u8]) {
        self.bot |= is_machine(token);
    }
}

fn is_machine(token: &[u8]) -> bool {
    const NAMES: [&str; 43] = [
        "facebookexternalhit",
        "whatsapp",
        "skypeuripreview",
        "mediapartners",
        "slurp",
        "headlesschrome",
        "curl",
        "wget",
        "python",
        "httpx",
        "aiohttp",
        "okhttp",
        "axios",
        "postmanruntime",
        "java",
        "ruby",
        "perl",
        "crawler",
        "spider",
        "preview",
        "embedly",
        "iframely",
        "bingpreview",
        "inspectiontool",
        "googleother",
        "feedfetcher",
        "facebookcatalog",
        "externalagent",
        "externalfetcher",
        "chatgpt",
        "lighthouse",
        "pingdom",
        "statuscake",
        "phantomjs",
        "puppeteer",
        "playwright",
        "scrapy",
        "libwww",
        "httpclient",
        "guzzlehttp",
        "node",
        "undici",
        "colly",
    ];
    let ends = |end: &str| {
        token
            .len()
            .checked_sub(end.len())
            .and_then(|at| token.get(at..))
            .is_some_and(|tail| tail.eq_ignore_ascii_case(end.as_bytes()))
    };
    ends("bot")
        || ends("spider")
        || ends("crawler")
        || NAMES
            .iter()
            .any(|name| token.eq_ignore_ascii_case(name.as_bytes()))
        || token == b"Go" // Go-http-client
}

/// Reads a user agent in one pass over its words.
pub(super) fn read(text: &str) -> Agent {
    let mut seen = Seen::default();
    // Bytes: what is not ASCII separates words as well.
    for token in text.as_bytes().split(|b| !b.is_ascii_alphanumeric()) {
        // Versions begin with a digit, and nothing shorter than two letters is a name.
        if token.len() >= 2 && !token.first().is_some_and(u8::is_ascii_digit) {
            seen.token(token);
        }
    }
    let device = if seen.bot || seen.os.0 == 0 && !seen.television {
        ""
    } else if seen.television {
        "smarttv"
    } else if seen.tablet || seen.android && !seen.mobile {
        "tablet"
    } else if seen.mobile {
        "mobile"
    } else {
        "desktop"
    };
    Agent {
        device,
        browser: seen.browser.1,
        os: seen.os.1,
        bot: seen.bot,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_large_families() {
        let cases = [
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Mobile/15E148 Safari/604.1",
                ("mobile", "Safari", "iOS", false),
            ),
            (
                "Mozilla/5.0 (iPad; CPU OS 17_0 like Mac OS X) AppleWebKit/605.1.15 CriOS/120.0 Mobile/15E148 Safari/604.1",
                ("tablet", "Chrome", "iOS", false),
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36 Edg/120.0",
                ("desktop", "Edge", "Windows", false),
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0",
                ("desktop", "Firefox", "Linux", false),
            ),
            (
                "Mozilla/5.0 (Linux; Android 14; SM-S911B) AppleWebKit/537.36 SamsungBrowser/23.0 Chrome/115.0 Mobile Safari/537.36",
                ("mobile", "Samsung Internet", "Android", false),
            ),
            (
                "Mozilla/5.0 (Linux; Android 13; SM-X700) AppleWebKit/537.36 Chrome/119.0 Safari/537.36",
                ("tablet", "Chrome", "Android", false),
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/17.1 Safari/605.1.15",
                ("desktop", "Safari", "Mac OS", false),
            ),
            (
                "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
                ("", "", "", true),
            ),
            (
                "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
                ("", "", "", true),
            ),
            ("facebookexternalhit/1.1", ("", "", "", true)),
            ("Go-http-client/1.1", ("", "", "", true)),
            (
                "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko); compatible; ChatGPT-User/1.0; +https://openai.com/bot",
                ("", "", "", true),
            ),
            (
                "meta-externalagent/1.1 (+https://developers.facebook.com/docs/sharing/webmasters/crawler)",
                ("", "", "", true),
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36 Chrome-Lighthouse",
                ("", "Chrome", "Windows", true),
            ),
            ("curl/8.5.0", ("", "", "", true)),
            ("", ("", "", "", false)),
        ];
        for (text, expected) in cases {
            let agent = read(text);
            assert_eq!(
                (agent.device, agent.browser, agent.os, agent.bot),
                expected,
                "{text}"
            );
        }
    }
}
