//! FNV-1a with 64 bits (Fowler, Noll and Vo): detects accidental changes of bytes; it does not protect against deliberate
//! ones.

/// A digest of the bytes added so far. Any change of a single byte changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64);

impl Default for Digest {
    /// The digest of no bytes.
    fn default() -> Self {
        Digest(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    /// Appends bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// Appends bytes preceded by their number, so that later bytes cannot be mistaken for a part of them.
    pub fn add_field(&mut self, bytes: &[u8]) {
        self.add(&(bytes.len() as u64).to_le_bytes());
        self.add(bytes);
    }

    /// The digest as a number.
    pub fn value(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_fnv_1a() {
        // The test vectors published by the authors of the algorithm.
        let of = |bytes: &[u8]| {
            let mut digest = Digest::default();
            digest.add(bytes);
            digest.value()
        };
        assert_eq!(of(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(of(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(of(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        let of = |fields: [&[u8]; 2]| {
            let mut digest = Digest::default();
            fields.iter().for_each(|field| digest.add_field(field));
            digest
        };
        assert_ne!(of([b"ab", b"c"]), of([b"a", b"bc"]));
    }
}
