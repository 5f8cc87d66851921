//! Metadata: checked once, and read from the bytes of the file on demand.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cursor::{Cursor, Stop};
use crate::files::map::Mapped;
use crate::language::value::Value;

/// How deep arrays may be nested.
const DEEPEST: usize = 8;
/// The longest value that is returned as a [`Value`], in bytes of the file; for longer arrays (vocabularies) only the length
/// is available.
const LONGEST_VALUE: usize = 1 << 20;
/// The suffix that turns the key of an array into the path of its length.
const LENGTH: &str = ".length";

/// The type of a metadata value, in the order of the numbers in files, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueType {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    Text,
    Array,
    U64,
    I64,
    F64,
}

impl ValueType {
    /// Reads the number of a type.
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, Stop> {
        Ok(match cursor.u32()? {
            0 => ValueType::U8,
            1 => ValueType::I8,
            2 => ValueType::U16,
            3 => ValueType::I16,
            4 => ValueType::U32,
            5 => ValueType::I32,
            6 => ValueType::F32,
            7 => ValueType::Bool,
            8 => ValueType::Text,
            9 => ValueType::Array,
            10 => ValueType::U64,
            11 => ValueType::I64,
            12 => ValueType::F64,
            other => return Err(cursor.problem(format_args!("unknown value type {other}"))),
        })
    }

    /// The bytes of a value, or the fewest if they vary.
    fn bytes(self) -> u64 {
        match self {
            ValueType::U8 | ValueType::I8 | ValueType::Bool => 1,
            ValueType::U16 | ValueType::I16 => 2,
            ValueType::U32 | ValueType::I32 | ValueType::F32 => 4,
            ValueType::U64 | ValueType::I64 | ValueType::F64 | ValueType::Text => 8,
            ValueType::Array => 12,
        }
    }

    /// Checks a value and moves past it. `depth` is the number of arrays around it.
    pub(super) fn skip(self, cursor: &mut Cursor<'_>, depth: usize) -> Result<(), Stop> {
        match self {
            ValueType::Bool => check_bools(cursor, 1),
            ValueType::Text => cursor.string().map(|_| ()),
            ValueType::Array if depth >= DEEPEST => Err(cursor.problem(format_args!(
                "more than {DEEPEST} arrays lie inside each other"
            ))),
            ValueType::Array => {
                let element = ValueType::read(cursor)?;
                let count = cursor.u64()?;
                cursor.expect(count, element.bytes(), "values of an array")?;
                match element {
                    ValueType::Bool => check_bools(cursor, count),
                    ValueType::Text | ValueType::Array => {
                        (0..count).try_for_each(|_| element.skip(cursor, depth + 1))
                    }
                    _ => cursor
                        .take(count.saturating_mul(element.bytes()))
                        .map(|_| ()),
                }
            }
            _ => cursor.take(self.bytes()).map(|_| ()),
        }
    }

    /// Reads a value that has been checked. In a text, bytes that are not UTF-8 become U+FFFD; a float that is not finite
    /// becomes one of the texts 'Infinity', '-Infinity' and 'NaN', as in JSON.
    fn value(self, cursor: &mut Cursor<'_>) -> Result<Value, Stop> {
        let float = |x: f64| match x.is_finite() {
            true => Value::Float(x),
            false if x.is_nan() => Value::Str("NaN".to_owned()),
            false if x > 0.0 => Value::Str("Infinity".to_owned()),
            false => Value::Str("-Infinity".to_owned()),
        };
        Ok(match self {
            ValueType::U8 => Value::Int(u8::from_le_bytes(cursor.array()?).into()),
            ValueType::I8 => Value::Int(i8::from_le_bytes(cursor.array()?).into()),
            ValueType::U16 => Value::Int(u16::from_le_bytes(cursor.array()?).into()),
            ValueType::I16 => Value::Int(i16::from_le_bytes(cursor.array()?).into()),
            ValueType::U32 => Value::Int(cursor.u32()?.into()),
            ValueType::I32 => Value::Int(i32::from_le_bytes(cursor.array()?).into()),
            ValueType::I64 => Value::Int(i64::from_le_bytes(cursor.array()?)),
            ValueType::U64 => {
                let value = cursor.u64()?;
                i64::try_from(value).map_or(Value::Float(value as f64), Value::Int)
            }
            ValueType::F32 => float(f32::from_le_bytes(cursor.array()?).into()),
            ValueType::F64 => float(f64::from_le_bytes(cursor.array()?)),
            ValueType::Bool => Value::Bool(cursor.array()? == [1]),
            ValueType::Text => Value::Str(String::from_utf8_lossy(cursor.string()?).into_owned()),
            ValueType::Array => {
                let element = ValueType::read(cursor)?;
                let count = cursor.u64()?;
                let values = (0..count).map(|_| element.value(cursor));
                Value::List(values.collect::<Result<_, _>>()?)
            }
        })
    }
}

fn check_bools(cursor: &mut Cursor<'_>, count: u64) -> Result<(), Stop> {
    match cursor.take(count)?.iter().find(|&&byte| byte > 1) {
        Some(byte) => Err(cursor.problem(format_args!("a boolean can't be {byte}"))),
        None => Ok(()),
    }
}

/// The place of a checked value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub value_type: ValueType,
    /// In bytes from the start of the file.
    pub range: Range<usize>,
}

impl Entry {
    fn read<T>(
        &self,
        bytes: &[u8],
        read: impl FnOnce(&mut Cursor<'_>) -> Result<T, Stop>,
    ) -> Option<T> {
        let bytes = bytes.get(self.range.clone())?;
        read(&mut Cursor::new(bytes, bytes.len() as u64)).ok()
    }
}

/// The integer at `entry`, if it is one.
pub(super) fn integer_at(bytes: &[u8], entry: &Entry) -> Option<i64> {
    if entry.range.len() > LONGEST_VALUE {
        return None;
    }
    let value = entry.read(bytes, |cursor| entry.value_type.value(cursor))?;
    value.as_int()
}

/// The metadata of a GGUF file about its model: values by key. Cheap to clone.
///
/// As a source of parameters, a path is a whole key (`llama.block_count`); the key of an array followed by `.length` is the
/// number of its values. For arrays longer than 1 MiB only the length is available.
#[derive(Debug, Clone)]
pub struct Metadata {
    file: PathBuf,
    /// The beginning of the file, with all of the metadata.
    bytes: Mapped,
    entries: Arc<BTreeMap<String, Entry>>,
}

impl Metadata {
    pub(super) fn new(file: PathBuf, bytes: Mapped, entries: BTreeMap<String, Entry>) -> Self {
        Metadata {
            file,
            bytes,
            entries: Arc::new(entries),
        }
    }

    /// The path of the file, or its label.
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// All keys, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The value of a key, if it is an integer.
    pub fn integer(&self, key: &str) -> Option<i64> {
        integer_at(&self.bytes, self.entries.get(key)?)
    }

    /// The value of a key as it is stored in the file: the number of its type, and its bytes.
    pub fn raw(&self, key: &str) -> Option<(u32, &[u8])> {
        let (value_type, bytes) = self.value_bytes(key)?;
        Some((value_type as u32, bytes))
    }

    /// The type and the bytes of the value of a key.
    pub(super) fn value_bytes(&self, key: &str) -> Option<(ValueType, &[u8])> {
        let entry = self.entries.get(key)?;
        Some((entry.value_type, self.bytes.get(entry.range.clone())?))
    }

    /// The number of values in the array of a key; `None` if there is no such key, or if its value is not an array.
    pub fn array_len(&self, key: &str) -> Option<u64> {
        let entry = self.entries.get(key)?;
        if entry.value_type != ValueType::Array {
            return None;
        }
        entry.read(&self.bytes, |cursor| {
            ValueType::read(cursor)?;
            cursor.u64()
        })
    }

    /// The value of a key, or the length of an array for its key followed by `.length`; `None` if there is no such key, or
    /// if its value is too long for a parameter.
    pub fn get(&self, path: &str) -> Option<Value> {
        match self.entries.get(path) {
            Some(entry) if entry.range.len() > LONGEST_VALUE => None,
            Some(entry) => entry.read(&self.bytes, |cursor| entry.value_type.value(cursor)),
            None => {
                let length = self.array_len(path.strip_suffix(LENGTH)?)?;
                i64::try_from(length).ok().map(Value::Int)
            }
        }
    }

    /// The name of the file in messages.
    pub fn describe(&self) -> String {
        self.file.display().to_string()
    }
}
