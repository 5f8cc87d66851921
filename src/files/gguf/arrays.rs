//! The metadata of vocabularies: texts, flags, and long arrays of one type.

use super::cursor::{Cursor, Stop};
use super::metadata::{Metadata, ValueType};
use crate::language::value::Value;

impl Metadata {
    /// The value of a key, if it is a text.
    pub fn text(&self, key: &str) -> Option<String> {
        match self.get(key) {
            Some(Value::Str(text)) => Some(text),
            _ => None,
        }
    }

    /// The value of a key, if it is a boolean.
    pub fn flag(&self, key: &str) -> Option<bool> {
        match self.get(key) {
            Some(Value::Bool(flag)) => Some(flag),
            _ => None,
        }
    }

    /// An array of texts, borrowed from the file; `None` if there is no such key. The error says what the value is instead.
    pub fn texts(&self, key: &str) -> Result<Option<Vec<&str>>, String> {
        self.elements(key, "texts", |cursor, element| {
            let bytes = match element {
                ValueType::Text => cursor.string(),
                _ => return None,
            };
            Some(bytes.and_then(|bytes| {
                std::str::from_utf8(bytes).map_err(|_| cursor.problem("is not UTF-8"))
            }))
        })
    }

    /// An array of floats (integers are converted); `None` if there is no such key.
    pub fn floats(&self, key: &str) -> Result<Option<Vec<f32>>, String> {
        self.elements(key, "floats", |cursor, element| {
            Some(match element {
                ValueType::F32 => cursor.array().map(f32::from_le_bytes),
                ValueType::F64 => cursor.array().map(|b| f64::from_le_bytes(b) as f32),
                ValueType::I32 => cursor.array().map(|b| i32::from_le_bytes(b) as f32),
                _ => return None,
            })
        })
    }

    /// An array of 32-bit integers; `None` if there is no such key.
    pub fn integers(&self, key: &str) -> Result<Option<Vec<i32>>, String> {
        self.elements(key, "integers of 32 bits", |cursor, element| {
            Some(match element {
                ValueType::I32 => cursor.array().map(i32::from_le_bytes),
                // These are numbers of kinds and ids, which are small.
                ValueType::U32 => cursor.u32().map(|n| i32::try_from(n).unwrap_or(i32::MAX)),
                _ => return None,
            })
        })
    }

    /// An array of bytes; `None` if there is no such key.
    pub fn byte_array(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        self.elements(key, "bytes", |cursor, element| match element {
            ValueType::U8 | ValueType::I8 => Some(cursor.array().map(|[byte]: [u8; 1]| byte)),
            _ => None,
        })
    }

    /// The elements of an array. `read` returns the next one, or `None` if it cannot read elements of this type.
    fn elements<'m, T>(
        &'m self,
        key: &str,
        what: &str,
        read: impl Fn(&mut Cursor<'m>, ValueType) -> Option<Result<T, Stop>>,
    ) -> Result<Option<Vec<T>>, String> {
        let Some((value_type, bytes)) = self.value_bytes(key) else {
            return Ok(None);
        };
        let mut cursor = Cursor::new(bytes, bytes.len() as u64);
        let other = || format!("{key} is not an array of {what}");
        let stopped = |stop: Stop| match stop {
            Stop::Bad(problem) => problem,
            _ => format!("{key} is cut off"),
        };
        if value_type != ValueType::Array {
            return Err(other());
        }
        cursor.reading = key.to_string();
        let element = ValueType::read(&mut cursor).map_err(stopped)?;
        let count = cursor.u64().map_err(stopped)?;
        // The check of the header has compared the count with the length of the file.
        let mut values = Vec::new();
        let most = usize::try_from(count).unwrap_or(0).min(bytes.len());
        values
            .try_reserve_exact(most)
            .map_err(|_| format!("{key}: no memory for {count} values"))?;
        for index in 0..count {
            match read(&mut cursor, element) {
                Some(Ok(value)) => values.push(value),
                Some(Err(Stop::Bad(problem))) => return Err(format!("{problem} (value {index})")),
                Some(Err(stop)) => return Err(stopped(stop)),
                None => return Err(other()),
            }
        }
        Ok(Some(values))
    }
}
