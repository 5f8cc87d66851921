//! The alphabet of GPT-2: a printable character for every byte, in which byte-level vocabularies spell their tokens.

/// The character for a byte: printable Latin-1 characters for themselves, characters from U+0100 on for the other bytes, in
/// order.
pub fn character(byte: u8) -> char {
    let code = u32::from(byte);
    let moved = match byte {
        b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => code,
        0..=0x20 => 0x100 + code,
        0x7F..=0xA0 => 0x121 + (code - 0x7F),
        0xAD => 0x143,
    };
    // Below U+0144 every number is a character.
    char::from_u32(moved).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The byte for a character.
pub fn byte(character: char) -> Option<u8> {
    let code = u32::from(character);
    let byte = match code {
        0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF => code,
        0x100..=0x120 => code - 0x100,
        0x121..=0x142 => code - 0x121 + 0x7F,
        0x143 => 0xAD,
        _ => return None,
    };
    u8::try_from(byte).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use tokenizers::pre_tokenizers::byte_level::ByteLevel;

    use super::*;

    #[test]
    fn the_alphabet_equals_the_pre_tokenizers_and_is_invertible() {
        let own: HashSet<char> = (0..=255).map(character).collect();
        assert_eq!(own, ByteLevel::alphabet().into_iter().collect());
        assert!((0..=255).all(|b| byte(character(b)) == Some(b)));
        assert_eq!(character(b' '), 'Ġ');
        assert_eq!(byte('▁'), None);
    }
}
