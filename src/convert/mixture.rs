//! The type that each matrix gets: the same for all, or a mixture in which the matrices that matter most have more bits.
//!
//! The mixtures are llama.cpp's mixtures (`llama_tensor_get_type` in its `src/llama-quant.cpp`), for models without experts
//! and without an importance matrix:
//!
//! | mixture | head | `attn_v` | `ffn_down` | `attn_qkv` | everything else |
//! | --- | --- | --- | --- | --- | --- |
//! | Q4_K_S | Q6_K | Q5_K in the first 4 layers | Q5_K in the first eighth | Q4_K | Q4_K |
//! | Q4_K_M | Q6_K | Q6_K in favoured layers | Q6_K in favoured layers | Q5_K | Q4_K |
//! | Q5_K_S | Q6_K | Q5_K | Q5_K | Q5_K | Q5_K |
//! | Q5_K_M | Q6_K | Q6_K in favoured layers | Q6_K in favoured layers | Q6_K | Q5_K |
//!
//! The head is `output.weight`; without that tensor, the table of embeddings is also the head. The favoured layers are the
//! first and the last eighth of the layers, and every third layer between them.

use super::{file_type, for_rows, name};
use crate::blocks::BlockFormat;
use crate::types::DType;

/// A mixture of types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mixture {
    /// Q4_K with some Q5_K.
    Q4KS,
    /// Q4_K with some Q6_K.
    Q4KM,
    /// Q5_K with a head of Q6_K.
    Q5KS,
    /// Q5_K with some Q6_K.
    Q5KM,
}

/// The types that the matrices of a model get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Types {
    /// The same type for all.
    All(DType),
    /// By the kind of matrix and by its layer.
    Mixed(Mixture),
}

impl From<DType> for Types {
    fn from(target: DType) -> Self {
        Types::All(target)
    }
}

impl Mixture {
    /// All mixtures.
    pub const ALL: [Mixture; 4] = [Mixture::Q4KS, Mixture::Q4KM, Mixture::Q5KS, Mixture::Q5KM];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Mixture::Q4KS => "Q4_K_S",
            Mixture::Q4KM => "Q4_K_M",
            Mixture::Q5KS => "Q5_K_S",
            Mixture::Q5KM => "Q5_K_M",
        }
    }

    /// The number that `general.file_type` has.
    fn file_type(self) -> u32 {
        match self {
            Mixture::Q4KS => 14,
            Mixture::Q4KM => 15,
            Mixture::Q5KS => 16,
            Mixture::Q5KM => 17,
        }
    }

    /// The format of most matrices.
    fn base(self) -> BlockFormat {
        match self {
            Mixture::Q4KS | Mixture::Q4KM => BlockFormat::Q4K,
            Mixture::Q5KS | Mixture::Q5KM => BlockFormat::Q5K,
        }
    }
}

impl Types {
    /// All choices: mixtures and single types.
    pub fn all() -> impl Iterator<Item = Types> {
        let mixed = Mixture::ALL.into_iter().map(Types::Mixed);
        DType::written().map(Types::All).chain(mixed)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Types::All(target) => name(target),
            Types::Mixed(mixture) => mixture.name(),
        }
    }

    /// The number that `general.file_type` has for such files; `None` where there is none.
    pub fn file_type(self) -> Option<u32> {
        match self {
            Types::All(target) => file_type(target),
            Types::Mixed(mixture) => Some(mixture.file_type()),
        }
    }
}

/// The types of one model's matrices.
#[derive(Debug)]
pub(super) struct Choice {
    types: Types,
    /// The layers that have an `attn_v` matrix, sorted.
    values: Vec<usize>,
    downs: Vec<usize>,
    /// Whether the table of embeddings is also the head.
    tied: bool,
}

impl Choice {
    /// For a model with tensors of these names.
    pub fn new<'n>(types: Types, names: impl Iterator<Item = &'n str>) -> Self {
        let mut choice = Choice {
            types,
            values: Vec::new(),
            downs: Vec::new(),
            tied: true,
        };
        for name in names {
            choice.tied &= name != "output.weight";
            if let Some(layer) = layer(name) {
                if name.ends_with("attn_v.weight") {
                    choice.values.push(layer);
                } else if name.ends_with("ffn_down.weight") {
                    choice.downs.push(layer);
                }
            }
        }
        choice.values.sort_unstable();
        choice.downs.sort_unstable();
        choice
    }

    /// The type that a matrix with rows of `row` elements gets.
    pub fn target(&self, name: &str, row: usize) -> DType {
        let target = match self.types {
            Types::All(target) => target,
            Types::Mixed(mixture) => DType::Blocks(self.mixed(mixture, name)),
        };
        for_rows(target, row)
    }

    fn mixed(&self, mixture: Mixture, name: &str) -> BlockFormat {
        let base = mixture.base();
        let place = |layers: &[usize]| {
            let place = layer(name).and_then(|layer| layers.binary_search(&layer).ok());
            (place.unwrap_or(0), layers.len())
        };
        let is_head = name == "output.weight" || (self.tied && name == "token_embd.weight");
        if is_head {
            return BlockFormat::Q6K;
        }
        let more = |(place, layers)| match is_favoured(place, layers) {
            true => BlockFormat::Q6K,
            false => base,
        };
        if name.ends_with("attn_v.weight") {
            let (place, layers) = place(&self.values);
            return match mixture {
                Mixture::Q4KM | Mixture::Q5KM => more((place, layers)),
                Mixture::Q4KS if place < 4 => BlockFormat::Q5K,
                Mixture::Q4KS | Mixture::Q5KS => base,
            };
        }
        if name.ends_with("ffn_down.weight") {
            let (place, layers) = place(&self.downs);
            return match mixture {
                Mixture::Q4KM | Mixture::Q5KM => more((place, layers)),
                Mixture::Q4KS if place < layers / 8 => BlockFormat::Q5K,
                Mixture::Q4KS | Mixture::Q5KS => base,
            };
        }
        match mixture {
            Mixture::Q4KM if name.ends_with("attn_qkv.weight") => BlockFormat::Q5K,
            Mixture::Q5KM if name.ends_with("attn_qkv.weight") => BlockFormat::Q6K,
            _ => base,
        }
    }
}

/// Whether a layer is among those that get more bits.
fn is_favoured(place: usize, layers: usize) -> bool {
    let eighth = layers / 8;
    place < eighth || place >= 7 * layers / 8 || (place - eighth) % 3 == 2
}

/// The layer of a tensor: 3 of `blk.3.attn_v.weight`.
fn layer(name: &str) -> Option<usize> {
    let (number, _) = name.strip_prefix("blk.")?.split_once('.')?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formats(mixture: Mixture, layers: usize, tail: &str, tied: bool) -> String {
        let mut names = vec!["token_embd.weight".to_string()];
        names.extend((!tied).then(|| "output.weight".to_string()));
        for layer in 0..layers {
            for part in ["attn_qkv", "attn_v", "ffn_down", "ffn_up"] {
                names.push(format!("blk.{layer}.{part}.weight"));
            }
        }
        let choice = Choice::new(Types::Mixed(mixture), names.iter().map(String::as_str));
        let chosen = names.iter().filter(|name| name.ends_with(tail));
        let digit = |name: &String| match choice.target(name, 256) {
            DType::Blocks(BlockFormat::Q4K) => '4',
            DType::Blocks(BlockFormat::Q5K) => '5',
            DType::Blocks(BlockFormat::Q6K) => '6',
            other => panic!("{name}: {}", other),
        };
        chosen.map(digit).collect()
    }

    #[test]
    fn matrices_that_matter_have_more_bits_by_their_layer() {
        use Mixture::*;
        // As in the published Q4_K_M file of a model with 18 layers.
        let published = "664464464464464666";
        assert_eq!(formats(Q4KM, 18, "ffn_down.weight", true), published);
        let of = |mixture, tail| formats(mixture, 16, tail, true);
        assert_eq!(of(Q4KM, "attn_v.weight"), "6644644644644666");
        assert_eq!(of(Q4KM, "ffn_down.weight"), of(Q4KM, "attn_v.weight"));
        assert_eq!(of(Q4KS, "attn_v.weight"), "5555444444444444");
        assert_eq!(of(Q4KS, "ffn_down.weight"), "5544444444444444");
        assert_eq!(
            of(Q5KM, "ffn_down.weight"),
            of(Q4KM, "ffn_down.weight").replace('4', "5")
        );
        assert_eq!(of(Q5KS, "ffn_down.weight"), "5".repeat(16));
        assert_eq!(of(Q4KM, "ffn_up.weight"), "4".repeat(16));
        let fused = [Q4KS, Q4KM, Q5KS, Q5KM].map(|mixture| of(mixture, "blk.0.attn_qkv.weight"));
        assert_eq!(fused, ["4", "5", "5", "6"]);
    }

    #[test]
    fn the_head_is_q6_k_whichever_tensor_it_is() {
        assert_eq!(formats(Mixture::Q4KM, 1, "token_embd.weight", true), "6");
        assert_eq!(formats(Mixture::Q4KM, 1, "token_embd.weight", false), "4");
        assert_eq!(formats(Mixture::Q5KS, 1, "output.weight", false), "6");
    }

    #[test]
    fn rows_that_are_not_whole_blocks_fall_back() {
        let names = ["output.weight", "token_embd.weight"];
        let choice = Choice::new(Types::Mixed(Mixture::Q4KM), names.into_iter());
        let of = |row| choice.target("output.weight", row);
        assert_eq!(of(32), DType::Blocks(BlockFormat::Q8_0));
        assert_eq!(of(20), DType::F16);
    }
}
