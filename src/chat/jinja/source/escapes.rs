//! Escapes in texts in quotes: those of Python, written as the engine knows them.

/// The texts in quotes with escapes that the engine knows; `None` if it knows all of them.
pub fn unescaped(written: &str) -> Option<String> {
    if !written.contains('\\') {
        return None;
    }
    let mut out = String::with_capacity(written.len());
    let mut rest = written;
    while let Some((before, tail)) = rest.split_once('\\') {
        out.push_str(before);
        let escaped = tail.chars().next()?;
        let mut length = escaped.len_utf8();
        match escaped {
            'a' => out.push_str("\\x07"),
            'v' => out.push_str("\\x0b"),
            '/' => out.push_str("\\\\/"),
            'U' => {
                let digits = tail.get(1..9)?;
                let are_digits = digits.chars().all(|digit| digit.is_ascii_hexdigit());
                let code = u32::from_str_radix(digits, 16).ok().filter(|_| are_digits);
                match char::from_u32(code?)? {
                    '\n' => out.push_str("\\n"),
                    quote @ ('\'' | '"' | '\\') => out.extend(['\\', quote]),
                    character => out.push(character),
                }
                length = 9;
            }
            _ => out.extend(['\\', escaped]),
        }
        rest = tail.get(length..)?;
    }
    Some(out + rest).filter(|text| text != written)
}
