//! How passwords are kept (Argon2id), and a comparison that costs the same for people who do not exist. What may be one: `password_policy.rs`.
//!
//! One hash takes some 20 ms and 19 MiB by design; how many run at once is bounded by whoever calls. No clock, no row.

use std::fmt;

use argon2::password_hash::{Output, ParamsString, Salt, SaltString};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};
use unicode_normalization::UnicodeNormalization as _;

use crate::base::entropy::Entropy;
use crate::base::fault::Fault;
use crate::base::secret::Secret;

/// The longest password in bytes: longer ones are refused before any work is done (S-L3).
pub const MAX_BYTES: usize = 1024;

/// The most memory that a stored hash may ask for, in KiB (1 GiB): a row that was tampered with must not end the process.
const MAX_MEMORY_KIB: u32 = 1 << 20;
/// The most passes and lanes that a stored hash may ask for.
const MAX_ROUNDS: u32 = 64;

/// A password as a row holds it: a PHC string with algorithm, cost, salt and hash.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// From a row. Text that is no PHC string is a password that nothing matches.
    pub fn from_phc(text: String) -> Self {
        Self(text)
    }

    /// The PHC string, for a row.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// What one hash costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Cost {
    /// Memory in KiB; 8 for each lane or more, at most 1 GiB.
    pub memory_kib: u32,
    /// Passes over the memory, 1 to 64.
    pub passes: u32,
    /// Lanes, 1 to 64.
    pub lanes: u32,
}

impl Default for Argon2Cost {
    /// OWASP's Password Storage Cheat Sheet: 19 MiB, two passes, one lane.
    fn default() -> Self {
        Self { memory_kib: 19_456, passes: 2, lanes: 1 }
    }
}

impl Argon2Cost {
    fn params(self) -> Result<Params, String> {
        if self.memory_kib > MAX_MEMORY_KIB || self.passes > MAX_ROUNDS || self.lanes > MAX_ROUNDS {
            return Err(format!("at most {MAX_MEMORY_KIB} KiB, {MAX_ROUNDS} passes and lanes are allowed"));
        }
        Params::new(self.memory_kib, self.passes, self.lanes, None).map_err(|e| e.to_string())
    }
}

/// What one hash after the other is computed in. To have it from the system each time costs as many page faults as it has pages, which is a
/// good part of the time that a hash takes.
#[derive(Default)]
pub struct Memory(Vec<Block>);

impl Memory {
    fn of(&mut self, params: &Params) -> &mut [Block] {
        let count = params.block_count();
        if self.0.len() < count {
            self.0.resize(count, Block::default());
        }
        self.0.get_mut(..count).unwrap_or_default()
    }
}

/// Hashes a password that was accepted. A fault when it is longer than 1,024 bytes or the cost is out of range.
pub fn hash(
    password: &Secret<String>,
    cost: &Argon2Cost,
    entropy: &Entropy,
    memory: &mut Memory,
) -> Result<PasswordHash, Fault> {
    const DOING: &str = "hashing a password";
    let Some(text) = normalized(password) else {
        return Err(Fault::new(DOING, format!("longer than {MAX_BYTES} bytes")));
    };
    let params = cost.params().map_err(|e| Fault::new(DOING, e))?;
    let salt =
        SaltString::encode_b64(&entropy.bytes::<16>()).map_err(|e| Fault::new(DOING, e.to_string()))?;
    let fault = |e: argon2::password_hash::Error| Fault::new(DOING, e.to_string());
    let made =
        compute(&text, (&params, salt.as_salt()), Params::DEFAULT_OUTPUT_LEN, memory).map_err(fault)?;
    let phc = argon2::PasswordHash {
        algorithm: ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params).map_err(fault)?,
        salt: Some(salt.as_salt()),
        hash: Some(made),
    };
    Ok(PasswordHash(phc.to_string()))
}

/// Whether `password` is the one that was hashed. False for a hash that is none, or asks for more than is allowed.
pub fn verify(password: &Secret<String>, hash: &PasswordHash, memory: &mut Memory) -> bool {
    let (Some(text), Some((phc, params))) = (normalized(password), read(hash)) else {
        return false;
    };
    let is_ours = phc.algorithm == ARGON2ID_IDENT && phc.version == Some(Version::V0x13.into());
    let (Some(salt), Some(kept)) = (phc.salt.filter(|_| is_ours), phc.hash) else { return false };
    // Two outputs are compared in constant time.
    compute(&text, (&params, salt), kept.len(), memory).is_ok_and(|made| made == kept)
}

fn compute(
    text: &Secret<String>,
    (params, salt): (&Params, Salt<'_>),
    length: usize,
    memory: &mut Memory,
) -> argon2::password_hash::Result<Output> {
    let mut bytes = [0; Salt::MAX_LENGTH];
    let salt = salt.decode_b64(&mut bytes)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    Output::init_with(length, |out| {
        argon2.hash_password_into_with_memory(text.reveal().as_bytes(), salt, out, memory.of(params))?;
        Ok(())
    })
}

/// Whether a hash should be made anew at the next sign-in: other cost, other algorithm. Lowered costs count too, as
/// people whose hashes cost more than [`dummy`] could be told from those who do not exist (S-L4).
pub fn needs_rehash(hash: &PasswordHash, cost: &Argon2Cost) -> bool {
    let Some((phc, stored)) = read(hash) else { return true };
    phc.algorithm != ARGON2ID_IDENT
        || phc.version != Some(Version::V0x13.into())
        || (stored.m_cost(), stored.t_cost(), stored.p_cost()) != (cost.memory_kib, cost.passes, cost.lanes)
}

/// A hash of the same cost that no password is known for: checked for user names that do not exist (S-L4).
pub fn dummy(cost: &Argon2Cost) -> PasswordHash {
    // A hash of 32 zero bytes: to find its password is to break Argon2.
    let (salt, zeros) = ("A".repeat(22), "A".repeat(43));
    let Argon2Cost { memory_kib, passes, lanes } = cost;
    PasswordHash(format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${zeros}"))
}

/// NFKC, once and everywhere, so that the same keys on two keyboards are the same bytes; `None` when it is too long.
pub(super) fn normalized(password: &Secret<String>) -> Option<Secret<String>> {
    let text = password.reveal();
    // Measured before the work: NFKC can make a text eleven times longer.
    (text.len() <= MAX_BYTES).then(|| Secret::new(text.nfkc().collect()))
}

/// A stored hash that may be computed: nobody made the server allocate what the row asks for.
fn read(hash: &PasswordHash) -> Option<(argon2::PasswordHash<'_>, Params)> {
    let phc = argon2::PasswordHash::new(&hash.0).ok()?;
    let params = Params::try_from(&phc).ok()?;
    let stored = Argon2Cost { memory_kib: params.m_cost(), passes: params.t_cost(), lanes: params.p_cost() };
    stored.params().ok().map(|_| (phc, params))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHEAP: Argon2Cost = Argon2Cost { memory_kib: 8, passes: 1, lanes: 1 };

    fn verifies(password: &Secret<String>, hash: &PasswordHash) -> bool {
        verify(password, hash, &mut Memory::default())
    }

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn a_password_matches_its_hash_in_any_unicode_form_and_no_other() {
        let kept =
            hash(&secret("caf\u{e9} au lait à Paris"), &CHEAP, &Entropy::seeded(1), &mut Memory::default())
                .unwrap();
        assert!(kept.as_str().starts_with("$argon2id$v=19$m=8,t=1,p=1$"));
        assert!(verifies(&secret("cafe\u{301} au lait a\u{300} Paris"), &kept));
        assert!(!verifies(&secret("cafe au lait à Paris"), &kept));
        assert!(!verifies(&secret("caf\u{e9} au lait à Paris\0"), &kept));
        let again =
            hash(&secret("caf\u{e9} au lait à Paris"), &CHEAP, &Entropy::seeded(2), &mut Memory::default())
                .unwrap();
        assert_ne!(kept, again, "the salt differs");
        assert_eq!(PasswordHash::from_phc(kept.as_str().to_owned()), kept);
        assert_eq!(format!("{kept:?}"), "PasswordHash(…)");
    }

    #[test]
    fn a_hash_is_made_anew_when_its_cost_or_kind_is_another() {
        let kept = hash(&secret("x"), &CHEAP, &Entropy::seeded(1), &mut Memory::default()).unwrap();
        assert!(!needs_rehash(&kept, &CHEAP));
        assert!(needs_rehash(&kept, &Argon2Cost { passes: 2, ..CHEAP }));
        assert!(needs_rehash(&kept, &Argon2Cost::default()));
        assert!(needs_rehash(&PasswordHash(kept.0.replace("argon2id", "argon2i")), &CHEAP));
        assert!(needs_rehash(&PasswordHash("plain".into()), &CHEAP));
        assert!(!needs_rehash(&dummy(&CHEAP), &CHEAP));
    }

    #[test]
    fn the_dummy_is_computed_like_a_real_one_and_matches_nothing() {
        let stand_in = dummy(&Argon2Cost::default());
        let (phc, params) = read(&stand_in).unwrap();
        assert_eq!((params.m_cost(), phc.hash.unwrap().len()), (19_456, 32));
        for text in ["", "A", "password"] {
            assert!(!verifies(&secret(text), &stand_in));
        }
    }

    #[test]
    fn garbage_and_monstrous_costs_match_nothing() {
        let kept = hash(&secret("x"), &CHEAP, &Entropy::seeded(1), &mut Memory::default()).unwrap();
        for row in [
            String::new(),
            "$".into(),
            "plain text".into(),
            "$argon2id$v=19$m=8,t=1,p=1".into(),
            "$2b$10$abcdefghijklmnopqrstuv".into(),
            kept.as_str().replace("m=8", "m=4294967295"),
            kept.as_str().replace("t=1", "t=4294967295"),
            kept.as_str().replace("p=1", "p=16777215"),
            kept.as_str().replace("v=19", "v=99"),
            kept.as_str().replace("argon2id", "scrypt"),
        ] {
            assert!(!verifies(&secret("x"), &PasswordHash(row.clone())), "{row}");
        }
        for cost in [
            Argon2Cost { memory_kib: 7, ..CHEAP },
            Argon2Cost { memory_kib: u32::MAX, ..CHEAP },
            Argon2Cost { passes: 0, ..CHEAP },
            Argon2Cost { lanes: 0, ..CHEAP },
        ] {
            assert!(hash(&secret("x"), &cost, &Entropy::seeded(1), &mut Memory::default()).is_err());
        }
    }

    #[test]
    fn a_password_of_a_megabyte_is_refused_before_any_hashing() {
        let long = secret(&"x".repeat(1 << 20));
        assert!(hash(&long, &CHEAP, &Entropy::seeded(1), &mut Memory::default()).is_err());
        assert!(!verifies(&long, &dummy(&CHEAP)));
        let longest = secret(&"correct horse battery staple ".repeat(40)[..1024]);
        assert!(hash(&longest, &CHEAP, &Entropy::seeded(1), &mut Memory::default()).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_text_panics(password in "\\PC{0,120}|[\\s\\S]{0,120}", row in "\\PC{0,60}") {
            let phc = format!("$argon2id$v=19$m=8,t=1,p=1${row}$AAAA");
            for row in [row, phc] {
                prop_assert!(!verifies(&secret(&password), &PasswordHash(row)));
            }
        }
    }
}
