//! Conversion of elements from one type to another.

use half::{bf16, f16};

use crate::blocks::OnlyRead;
use crate::files::gguf::TensorType;
use crate::types::DType;

/// Bytes of an element of a type whose elements can be converted; `None` for other types.
pub(super) fn float_bytes(tensor_type: TensorType) -> Option<usize> {
    match tensor_type {
        TensorType::F32 => Some(4),
        TensorType::F16 | TensorType::BF16 => Some(2),
        _ => None,
    }
}

/// How far converted elements are from the given elements.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Loss {
    /// The sum of the squares of the differences.
    pub error: f64,
    /// The sum of the squares of the given elements.
    pub signal: f64,
}

impl Loss {
    /// The sum of this loss and the loss of further elements.
    pub fn and(self, other: Loss) -> Loss {
        Loss {
            error: self.error + other.error,
            signal: self.signal + other.signal,
        }
    }

    /// The root mean square of the differences, divided by the root mean square of the elements. It is not finite if a given or
    /// a converted element is not finite.
    pub fn relative(self) -> f64 {
        if self.error == 0.0 && self.signal == 0.0 {
            return 0.0;
        }
        (self.error / self.signal).sqrt()
    }
}

/// Converts elements, and keeps its memory for the next conversion.
#[derive(Debug, Default)]
pub(super) struct Converter {
    given: Vec<f32>,
    back: Vec<f32>,
    /// The converted elements, in the target's form.
    pub out: Vec<u8>,
    /// How far they are from the given elements.
    pub loss: Loss,
}

impl Converter {
    /// Converts `bytes`: little-endian elements of a float type, as many as fill whole blocks of the target type.
    pub fn convert(&mut self, from: TensorType, bytes: &[u8], to: DType) -> Result<(), OnlyRead> {
        self.given.clear();
        match from {
            TensorType::F16 => read(&mut self.given, bytes, |b| f16::from_le_bytes(b).to_f32()),
            TensorType::BF16 => read(&mut self.given, bytes, |b| bf16::from_le_bytes(b).to_f32()),
            _ => read(&mut self.given, bytes, f32::from_le_bytes),
        }
        self.out.clear();
        self.back.clear();
        match to {
            DType::F32 | DType::I32 | DType::Int8 => {
                let bytes = self.given.iter().flat_map(|x| x.to_le_bytes());
                self.out.extend(bytes);
                self.back.extend(&self.given);
            }
            DType::F16 => {
                for &x in &self.given {
                    let x = f16::from_f32(x);
                    self.out.extend(x.to_le_bytes());
                    self.back.push(x.to_f32());
                }
            }
            DType::BF16 => {
                for &x in &self.given {
                    let x = bf16::from_f32(x);
                    self.out.extend(x.to_le_bytes());
                    self.back.push(x.to_f32());
                }
            }
            DType::Blocks(format) => {
                let blocks = self.given.len() / format.elements();
                self.out.resize(blocks * format.bytes(), 0);
                format.quantize(&self.given, &mut self.out)?;
                self.back.resize(self.given.len(), 0.0);
                format.dequantize(&self.out, &mut self.back);
            }
        }
        self.loss = Loss::default();
        for (&given, &back) in self.given.iter().zip(&self.back) {
            let (given, back) = (f64::from(given), f64::from(back));
            self.loss.error += (given - back) * (given - back);
            self.loss.signal += given * given;
        }
        Ok(())
    }
}

fn read<const BYTES: usize>(
    out: &mut Vec<f32>,
    bytes: &[u8],
    element: impl Fn([u8; BYTES]) -> f32,
) {
    out.extend(bytes.as_chunks().0.iter().map(|&bytes| element(bytes)));
}
