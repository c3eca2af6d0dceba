//! Recovery codes: for the day on which the phone is lost. Eighty bits each, in letters that nobody confuses; each works once.

/// How many there are.
pub const HOW_MANY: usize = 10;
/// Bytes of chance in each.
pub const BYTES: usize = 10;

/// Crockford's base 32: no I, L, O, U.
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LENGTH: usize = 16;

/// A code as it is shown: `7K3M-…`, four groups of four.
pub fn written(chance: &[u8; BYTES]) -> String {
    let bits = chance.iter().fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
    let letter = |at: usize| {
        let index = usize::try_from(bits >> (5 * (LENGTH - 1 - at)) & 31).unwrap_or_default();
        LETTERS.get(index).map_or('0', |letter| char::from(*letter))
    };
    let mut code = String::with_capacity(LENGTH + 3);
    for at in 0..LENGTH {
        if at > 0 && at % 4 == 0 {
            code.push('-');
        }
        code.push(letter(at));
    }
    code
}

/// What was typed, as it was shown: whatever the case, the dashes and the letters that look alike. `None` for what is no code.
pub fn canonical(typed: &str) -> Option<String> {
    let mut code = String::with_capacity(LENGTH);
    for typed in typed.chars().filter(|c| !c.is_whitespace() && *c != '-').take(LENGTH + 1) {
        let letter = match typed.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        };
        if !LETTERS.iter().any(|known| char::from(*known) == letter) {
            return None;
        }
        code.push(letter);
    }
    (code.len() == LENGTH).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_however_it_is_typed() {
        let code = written(&[0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x00, 0xff]);
        assert_eq!(code, "04HM-ASW9-NF6Y-Y07Z");
        let plain = code.replace('-', "");
        for typed in
            [code.clone(), plain.clone(), code.to_lowercase(), code.replace('-', " "), code.replace('0', "o")]
        {
            assert_eq!(canonical(&typed).as_deref(), Some(plain.as_str()), "{typed}");
        }
        for wrong in [
            "",
            "123456",
            "04HM-ASW9-NF6Y-Y07",
            "04HM-ASW9-NF6Y-Y07ZZ",
            "04HM-ASW9-NF6Y-Y07U",
            "04HM-ASW9-NF6Y-Y07é",
        ] {
            assert_eq!(canonical(wrong), None, "{wrong}");
        }
    }
}
