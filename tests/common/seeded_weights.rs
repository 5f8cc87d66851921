//! Weights without a file: every element is a function of the tensor's name, its index and a seed.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use safetensors::tensor::{Dtype, TensorView};
use smallmind::Session;
use smallmind::exec::executor::Executor;
use smallmind::exec::pool::Pool;
use smallmind::exec::weights::{self, StoredWeight};
use smallmind::files::map::Mapped;
use smallmind::files::weight_files::WeightFiles;
use smallmind::graph::interpreter::WeightData;
use smallmind::graph::{Graph, Kind};
use smallmind::kernels::simd::Isa;
use smallmind::ops::Tensor;
use smallmind::plan::{ModelPlan, PlanOptions};

use super::graph_text::VOCAB;

/// Tensors for the weights of a graph, and for every graph that passes make from it.
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

    /// The weights that `graph` names, as a file.
    pub fn files(&self, graph: &Graph) -> WeightFiles {
        let mut data = HashMap::new();
        for id in graph.ids() {
            if let Kind::Weight(source) = &graph.node(id).kind {
                let tensor = self.load(&source.tensor).unwrap();
                let floats = tensor.floats();
                let bytes: Vec<u8> = floats.iter().flat_map(|x| x.to_le_bytes()).collect();
                data.insert(source.tensor.to_string(), (tensor.shape.clone(), bytes));
            }
        }
        let views = data.iter().map(|(name, (shape, bytes))| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap();
            (name.clone(), view)
        });
        let bytes = safetensors::serialize(views, None).unwrap();
        WeightFiles::from_bytes("random", Mapped::from_vec(bytes)).unwrap()
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

/// The weights of `files` as `plan` reads them.
pub fn stored(graph: &Graph, plan: &ModelPlan, files: &WeightFiles) -> Vec<StoredWeight> {
    let go_on = |_, _| ControlFlow::Continue(());
    weights::load(graph, plan.weights(), files, 1, &go_on).unwrap()
}

/// A plan's options for the last row of one sequence, on one thread, with all that the planner and this CPU can do.
pub fn plan_options(context: usize, chunk: usize) -> PlanOptions {
    PlanOptions {
        context,
        chunk,
        sequences: 1,
        rows: Some(1),
        threads: 1,
        fewer_threads: false,
        isa: Isa::detect(),
        in_place: true,
        reuse_buffers: true,
    }
}

/// An executor of only `graph`, with the weights of `files`.
pub fn executor(graph: &Graph, files: &WeightFiles, options: PlanOptions) -> Executor {
    let threads = options.threads;
    let plan = ModelPlan::new(graph, options).unwrap();
    let stored = stored(graph, &plan, files);
    Executor::new(Arc::new(plan), stored, Pool::new(threads).unwrap()).unwrap()
}

/// A session of only `graph`, with the weights of `files`.
pub fn session(graph: &Graph, files: &WeightFiles, options: PlanOptions) -> Session {
    Session::new(Arc::new(executor(graph, files, options)), VOCAB).unwrap()
}

/// SplitMix64's output function (Steele et al. 2014).
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}
