//! Weights without a file: every element is a function of the tensor's name, its place and a seed.

use std::collections::HashMap;

use smallmind::graph::interpreter::WeightData;
use smallmind::graph::{Graph, Kind};
use smallmind::ops::Tensor;

/// Tensors for the weights of a graph, and of every graph that passes make of it.
pub struct SeededWeights {
    seed: u64,
    /// Dimensions of each tensor, as the graph declares them.
    shapes: HashMap<String, Vec<usize>>,
}

impl SeededWeights {
    /// Weights of the shapes that `graph` declares.
    pub fn new(graph: &Graph, seed: u64) -> Self {
        let mut shapes = HashMap::new();
        for id in graph.ids() {
            let node = graph.node(id);
            if let Kind::Weight(source) = &node.kind {
                let dims = node.outputs[0].ty.shape.iter();
                let shape = dims.map(|d| d.fixed().expect("weights have fixed shapes"));
                shapes.insert(source.tensor.to_string(), shape.collect());
            }
        }
        SeededWeights { seed, shapes }
    }
}

impl WeightData for SeededWeights {
    /// Numbers in −1..1, in steps of 2⁻²³.
    fn load(&self, tensor: &str) -> Result<Tensor, String> {
        let shape = self.shapes.get(tensor).ok_or("no such tensor")?;
        let name = tensor.bytes().fold(self.seed, |h, b| mix(h ^ u64::from(b)));
        let element = |i: u64| ((mix(name ^ mix(i)) >> 40) as f32 - 8_388_608.0) / 8_388_608.0;
        let data = (0..shape.iter().product::<usize>() as u64).map(element);
        Ok(Tensor::f32(shape.clone(), data.collect()))
    }
}

/// SplitMix64's output function (Steele et al. 2014).
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}
