//! Refresh tokens (RFC 6749 §6, RFC 9700 §4.14): one row per family, no row per token. A token is the family's id, a
//! generation and a MAC over both and the family's salt, so that every token of a family can be made again and checked
//! without being stored.
//!
//! Rotation here is a verdict; the row that moves, and the condition on its generation, are the store's.

use super::claims_request::ClaimsRequest;
use super::client::{Client, RefreshRotation};
use super::error::Why;
use super::scope::Scope;
use crate::base::encoding::{base62, from_base62};
use crate::base::id::{ClientId, FamilyId, SessionId, UserId};
use crate::base::seal::{MacPurpose, Vault};
use crate::base::secret::Secret;
use crate::base::time::Timestamp;

/// What every refresh token begins with. Never change: outstanding tokens and secret scanners carry it.
pub const PREFIX: &str = "cnx_rt_";

/// Family id, generation, MAC.
const LENGTH: usize = 16 + 8 + 32;

/// What a refresh token says; nothing of it is proved before [`present`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    /// The family that it belongs to.
    pub family: FamilyId,
    /// Its generation within the family, from 1.
    pub generation: i64,
}

/// What a person gave a client at one sign-in, and everything that tokens made from it say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// Its id, also inside every access token that came from it.
    pub id: FamilyId,
    /// The client that holds it.
    pub client: ClientId,
    /// The person.
    pub user: UserId,
    /// The browser session in which it began.
    pub session: Option<SessionId>,
    /// What was granted; a refresh may ask for less, and it stays.
    pub scope: Scope,
    /// Single claims that were asked for.
    pub claims: ClaimsRequest,
    /// The nonce of the authorization request.
    pub nonce: Option<String>,
    /// When the person proved who they are.
    pub auth_time: Timestamp,
    /// The class of that authentication.
    pub acr: String,
    /// Its methods.
    pub amr: Vec<String>,
    /// 16 random bytes: a restored database with a new salt ends all outstanding tokens of the family.
    pub salt: Vec<u8>,
    /// The generation that is live.
    pub generation: i64,
    /// When that generation was made.
    pub rotated_at: Timestamp,
    /// When the family began.
    pub created_at: Timestamp,
    /// From this moment on no token of it is any good.
    pub expires_at: Timestamp,
    /// Whether a refresh token was given at all.
    pub refreshable: bool,
    /// Whether it outlives the browser session (OIDC Core §11).
    pub offline: bool,
    /// Set when it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// What its tokens are for (RFC 8707 §2.1); empty for all that the client may ask for.
    pub resources: Vec<String>,
}

/// The times that bound a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshPolicy {
    /// For so many seconds after a rotation the predecessor gets the same successor again, while that one is unused.
    pub retry_seconds: i64,
    /// A family of which no token was rotated for so many seconds is over. Families of clients without rotation end at
    /// `expires_at` alone: to count their idle time, every refresh would have to write.
    pub idle_seconds: i64,
}

impl Family {
    /// From this moment on its live token is no good: the family's end, or the end of its idle time.
    pub fn ends_at(&self, client: &Client, policy: &RefreshPolicy) -> Timestamp {
        if rotates(client) {
            self.expires_at.min(self.rotated_at.plus(policy.idle_seconds))
        } else {
            self.expires_at
        }
    }
}

/// Public clients always rotate, whatever is registered (S-R1).
fn rotates(client: &Client) -> bool {
    client.is_public() || client.metadata.refresh_rotation == RefreshRotation::Always
}

/// What presenting a token means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the live one: move the family to the next generation and answer with that one's token.
    Rotate,
    /// It is the live one and this client's tokens do not rotate: answer with the same token.
    Keep,
    /// The answer to the last rotation got lost: answer with the token of the live generation again.
    Repeat,
    /// Its successor was used: somebody else has it. Revoke the family and refuse.
    Replay,
    /// Refuse, and change nothing.
    Refuse(Why),
}

/// The token of a generation: the same bytes each time.
pub fn mint(vault: &Vault, family: FamilyId, generation: i64, salt: &[u8]) -> Secret<String> {
    let mut bytes = Vec::with_capacity(LENGTH);
    bytes.extend_from_slice(family.as_bytes());
    bytes.extend_from_slice(&generation.to_be_bytes());
    bytes.extend_from_slice(&mac(vault, family, generation, salt));
    Secret::new(format!("{PREFIX}{}", base62(&bytes)))
}

/// What a token says, with its MAC still to be checked; `None` for anything of another form.
pub fn read(token: &Secret<String>) -> Option<(RefreshToken, [u8; 32])> {
    let bytes = from_base62(token.reveal().strip_prefix(PREFIX)?, LENGTH)?;
    let (family, rest) = bytes.split_at_checked(16)?;
    let (generation, mac) = rest.split_at_checked(8)?;
    let generation = i64::from_be_bytes(generation.try_into().ok()?);
    Some((RefreshToken { family: FamilyId::from_slice(family)?, generation }, mac.try_into().ok()?))
}

/// Judges a presented token against its family (architecture §5.9, requirements D1).
///
/// The order matters. Who cannot show a token that we made learns and changes nothing; neither does another client that got
/// hold of one. Only then is a replay a replay.
pub fn present(
    vault: &Vault,
    presented: &(RefreshToken, [u8; 32]),
    family: &Family,
    client: &Client,
    policy: &RefreshPolicy,
    now: Timestamp,
) -> Verdict {
    let (token, _) = presented;
    if !is_genuine(vault, presented, family) {
        return Verdict::Refuse(Why::Unknown);
    }
    if family.client != client.id {
        return Verdict::Refuse(Why::OtherClient);
    }
    if family.revoked_at.is_some() {
        return Verdict::Refuse(Why::Revoked);
    }
    if now >= family.ends_at(client, policy) {
        return Verdict::Refuse(Why::Expired);
    }
    // A client that lost the right to act while its people are away loses it for what it was given before, too (S-R12).
    if family.offline && !client.metadata.scope.contains("offline_access") {
        return Verdict::Refuse(Why::NoLongerGranted);
    }
    let behind = family.generation.saturating_sub(token.generation);
    match behind {
        0 if rotates(client) => Verdict::Rotate,
        0 => Verdict::Keep,
        // Had the successor been used, the family would be one generation further.
        1 if now.is_within(policy.retry_seconds, family.rotated_at) => Verdict::Repeat,
        // The clock was turned back since: whether this comes in time cannot be told, so it neither gets a token nor ends the family.
        1 if now.is_before(family.rotated_at) => Verdict::Refuse(Why::Expired),
        1.. => Verdict::Replay,
        // A generation that is still to come: we made it before the database was restored to an older state (F6).
        _ => Verdict::Refuse(Why::Unknown),
    }
}

/// Whether a token, of whatever generation, is one that we made for this family.
pub fn is_genuine(vault: &Vault, presented: &(RefreshToken, [u8; 32]), family: &Family) -> bool {
    let (token, proof) = presented;
    let expected = mac(vault, token.family, token.generation, &family.salt);
    token.family == family.id && family.refreshable && is_same(vault, proof, &expected)
}

fn mac(vault: &Vault, family: FamilyId, generation: i64, salt: &[u8]) -> [u8; 32] {
    vault.mac(MacPurpose::Refresh, &[family.as_bytes(), &generation.to_be_bytes(), salt])
}

/// Compares through the keyed hash once more: the time that `==` takes then says nothing about either value.
fn is_same(vault: &Vault, a: &[u8; 32], b: &[u8; 32]) -> bool {
    vault.mac(MacPurpose::Refresh, &[a]) == vault.mac(MacPurpose::Refresh, &[b])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::entropy::Entropy;
    use crate::base::time::Clock;
    use crate::oauth::samples::{client, public_client};
    use proptest::prelude::*;

    const AT: Timestamp = Timestamp::from_secs(10_000);
    const POLICY: RefreshPolicy = RefreshPolicy { retry_seconds: 60, idle_seconds: 1_000 };

    fn vault() -> Vault {
        Vault::new(&Secret::new([1; 32]))
    }

    fn family(generation: i64) -> Family {
        let (clock, entropy) = (Clock::manual(AT), Entropy::seeded(4));
        Family {
            id: FamilyId::new(&clock, &entropy),
            client: "app".parse().unwrap(),
            user: UserId::new(&clock, &entropy),
            session: None,
            scope: Scope::of(&["openid"]),
            claims: ClaimsRequest::default(),
            nonce: None,
            auth_time: AT,
            acr: String::new(),
            amr: Vec::new(),
            salt: vec![5; 16],
            generation,
            rotated_at: AT,
            created_at: AT,
            expires_at: AT.plus(5_000),
            refreshable: true,
            offline: true,
            revoked_at: None,
            resources: Vec::new(),
        }
    }

    fn token(family: &Family, generation: i64) -> Secret<String> {
        mint(&vault(), family.id, generation, &family.salt)
    }

    fn shown(family: &Family, generation: i64, client: &Client, now: Timestamp) -> Verdict {
        present(&vault(), &read(&token(family, generation)).unwrap(), family, client, &POLICY, now)
    }

    #[test]
    fn a_presented_generation_is_rotated_repeated_replayed_or_refused_s_r2_s_r3_s_r5() {
        let (app, family) = (public_client("app"), family(7));
        let later = |seconds| AT.plus(seconds);
        for (generation, now, expected) in [
            (7, AT, Verdict::Rotate),
            (7, later(999), Verdict::Rotate),
            (7, later(1_000), Verdict::Refuse(Why::Expired)),
            (6, AT, Verdict::Repeat),
            (6, later(60), Verdict::Repeat),
            (6, later(-60), Verdict::Repeat),
            (6, later(-61), Verdict::Refuse(Why::Expired)),
            (7, later(-3600), Verdict::Rotate),
            (5, later(-3600), Verdict::Replay),
            (6, later(61), Verdict::Replay),
            (5, AT, Verdict::Replay),
            (1, AT, Verdict::Replay),
            (i64::MIN, AT, Verdict::Replay),
            (8, AT, Verdict::Refuse(Why::Unknown)),
            (i64::MAX, AT, Verdict::Refuse(Why::Unknown)),
        ] {
            assert_eq!(shown(&family, generation, &app, now), expected, "{generation} at {now:?}");
        }
    }

    #[test]
    fn a_family_ends_by_age_by_revocation_and_belongs_to_one_client_s_r8_s_r11() {
        let (app, mut family) = (client("app"), family(7));
        family.rotated_at = AT.plus(4_900);
        assert_eq!(shown(&family, 7, &app, AT.plus(4_999)), Verdict::Rotate);
        assert_eq!(shown(&family, 7, &app, AT.plus(5_000)), Verdict::Refuse(Why::Expired));
        // Pitfall 2.3: another client that holds an old token cannot end the family.
        assert_eq!(shown(&family, 1, &client("other"), AT), Verdict::Refuse(Why::OtherClient));
        assert_eq!(
            shown(&Family { refreshable: false, ..family.clone() }, 7, &app, AT),
            Verdict::Refuse(Why::Unknown)
        );
        let mut online = app.clone();
        online.metadata.scope = online.metadata.scope.without("offline_access");
        assert_eq!(shown(&family, 7, &online, AT), Verdict::Refuse(Why::NoLongerGranted), "S-R12");
        assert_eq!(shown(&Family { offline: false, ..family.clone() }, 7, &online, AT), Verdict::Rotate);
        family.revoked_at = Some(AT);
        assert_eq!(shown(&family, 7, &app, AT), Verdict::Refuse(Why::Revoked));
        assert_eq!(shown(&family, 1, &app, AT), Verdict::Refuse(Why::Revoked));
    }

    #[test]
    fn without_rotation_the_same_token_stays_and_idle_time_does_not_count_s_r1() {
        let (mut app, family) = (client("app"), family(1));
        app.metadata.refresh_rotation = RefreshRotation::Never;
        assert_eq!(shown(&family, 1, &app, AT.plus(4_999)), Verdict::Keep);
        assert_eq!(shown(&family, 1, &app, AT.plus(5_000)), Verdict::Refuse(Why::Expired));
        let mut public = public_client("app");
        public.metadata.refresh_rotation = RefreshRotation::Never;
        assert_eq!(shown(&family, 1, &public, AT), Verdict::Rotate, "a public client rotates in any case");
    }

    #[test]
    fn a_token_is_one_of_ours_unchanged_or_it_is_unknown_s_r10() {
        let (app, family) = (client("app"), family(2));
        let token = token(&family, 1);
        let text = token.reveal();
        assert_eq!(text.len(), PREFIX.len() + 76);
        let mut refused = 0;
        for i in PREFIX.len()..text.len() {
            let other = if text.as_bytes()[i] == b'7' { "8" } else { "7" };
            let changed = Secret::new(format!("{}{other}{}", &text[..i], &text[i + 1..]));
            let Some(presented) = read(&changed) else { continue };
            let verdict = present(&vault(), &presented, &family, &app, &POLICY, AT);
            assert_eq!(verdict, Verdict::Refuse(Why::Unknown), "digit {i}");
            refused += 1;
        }
        assert!(refused > 70);
        for bad in
            [&text[1..], &text[..text.len() - 1], &format!("{text}0"), "", PREFIX, &text.to_uppercase()]
        {
            assert!(read(&Secret::new(bad.to_owned())).is_none(), "{bad}");
        }
        let (same_id, other_salt) = (family.id, Family { salt: vec![6; 16], ..family.clone() });
        assert_eq!(same_id, other_salt.id);
        let presented = read(&token).unwrap();
        let verdict = present(&vault(), &presented, &other_salt, &app, &POLICY, AT);
        assert_eq!(verdict, Verdict::Refuse(Why::Unknown));
    }

    /// What the flow does with a verdict, in memory.
    fn refresh(
        family: &mut Family,
        shown: &Secret<String>,
        app: &Client,
        now: Timestamp,
    ) -> (Verdict, Option<String>) {
        let verdict = present(&vault(), &read(shown).unwrap(), family, app, &POLICY, now);
        match verdict {
            Verdict::Rotate => {
                family.generation += 1;
                family.rotated_at = now;
            }
            Verdict::Replay => family.revoked_at = Some(now),
            Verdict::Keep | Verdict::Repeat | Verdict::Refuse(_) => {}
        }
        let answers = matches!(verdict, Verdict::Rotate | Verdict::Keep | Verdict::Repeat);
        (verdict, answers.then(|| token(family, family.generation).reveal().clone()))
    }

    proptest! {
        /// F28 in the small: any order of any outstanding tokens and any waiting.
        #[test]
        fn whatever_is_presented_there_is_one_live_branch_and_an_old_token_ends_it(
            steps in proptest::collection::vec((0_usize..8, 0_i64..90), 1..60)
        ) {
            let app = public_client("app");
            let mut family = Family { expires_at: AT.plus(1_000_000), ..family(1) };
            let mut given = vec![token(&family, 1).reveal().clone()];
            let mut used = std::collections::HashSet::new();
            let mut now = AT;
            for (back, wait) in steps {
                now = now.plus(wait);
                let shown = given[given.len().saturating_sub(back + 1)].clone();
                let was_revoked = family.revoked_at.is_some();
                let successor_used = given.iter().position(|t| *t == shown).is_some_and(|i| {
                    given.get(i + 1).is_some_and(|next| used.contains(next))
                });
                let (verdict, answer) = refresh(&mut family, &Secret::new(shown.clone()), &app, now);
                if was_revoked {
                    prop_assert_eq!(verdict, Verdict::Refuse(Why::Revoked));
                } else if successor_used {
                    prop_assert_eq!(verdict, Verdict::Replay);
                }
                match verdict {
                    Verdict::Rotate => {
                        prop_assert!(used.insert(shown), "a generation rotates once");
                        given.push(answer.unwrap());
                    }
                    Verdict::Repeat => prop_assert_eq!(&answer.unwrap(), given.last().unwrap()),
                    Verdict::Replay => prop_assert!(family.revoked_at.is_some()),
                    Verdict::Keep | Verdict::Refuse(_) => {}
                }
                let live = given.iter().filter(|t| {
                    let presented = read(&Secret::new((*t).clone())).unwrap();
                    present(&vault(), &presented, &family, &app, &POLICY, now) == Verdict::Rotate
                });
                prop_assert_eq!(live.count(), usize::from(family.revoked_at.is_none()));
            }
        }
    }
}
