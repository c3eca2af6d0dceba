//! Who is calling, as far as the connection tells: for throttling, for sessions' list and for the audit.

use std::net::IpAddr;

use crate::base::address::holder;

/// One request's origin.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The client address behind trusted proxies (S-H8), v4-mapped v6 normalised.
    pub address: IpAddr,
    /// The `User-Agent`, at most 200 characters.
    pub user_agent: Option<String>,
    /// The id that the answer carries.
    pub request_id: String,
}

impl Caller {
    /// What throttling counts as one place: an IPv4 address, or an IPv6 /64, which one subscriber holds (S-L6).
    pub fn place(&self) -> String {
        place(self.address)
    }
}

/// The place of an address, as [`Caller::place`] has it.
pub(super) fn place(address: IpAddr) -> String {
    match holder(address) {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("{v6}/64"),
    }
}

/// The cookies of one browser that flows look at.
#[derive(Clone, Debug, Default)]
pub struct Browser {
    /// The session cookie.
    pub session: Option<String>,
    /// The cookie that marks a browser before anyone signed in; pending requests and form tokens are bound to it (S-L8).
    pub mark: Option<String>,
    /// The cookie that says who signed in here before: an attacker elsewhere cannot lock this browser out (S-L6).
    pub device: Option<String>,
}
