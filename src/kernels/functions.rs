//! The functions of one or two elements, one row each: nothing else about them is known to the ops, programs of several
//! functions, gates and kernels.
//!
//! A new function needs a row here, a polynomial in `math` if it is computed by one, and a test of the polynomial. What does
//! not belong here: anything that walks a tensor.

use super::math;
use super::simd::Lanes;

/// The properties of a function of one element, without its computation.
#[derive(Clone, Copy, Debug)]
pub struct UnaryRow {
    /// The name of the function in programs.
    pub name: &'static str,
    /// The formula of the function.
    pub formula: &'static str,
    /// Whether the function is an op by itself, with the same name; otherwise an attribute of some op chooses it.
    pub is_op: bool,
    /// If the function is an activation: its word in fused ops, then the other names that models use for it.
    pub activation: &'static [&'static str],
    /// If the function is a module in PyTorch: the name of its class.
    pub torch: Option<&'static str>,
}

/// The properties of a function of two elements, without the computation of sixteen lanes.
#[derive(Clone, Copy, Debug)]
pub struct BinaryRow {
    /// The name of the function in programs, and of its op.
    pub name: &'static str,
    /// The formula of the function.
    pub formula: &'static str,
    /// Whether the operands may be swapped without changing a bit.
    pub commutative: bool,
    /// A number that leaves the other operand unchanged, to the bit, and the operands that may be this number.
    pub neutral: Option<(f32, &'static [usize])>,
    /// The function of whole numbers, if there is one.
    pub ints: Option<fn(i32, i32) -> i32>,
    /// The function of one pair of floats: the oracle in tests.
    pub scalar: fn(f32, f32) -> f32,
}

/// `Function { columns } |simd, x| the function of each lane`
macro_rules! unary_functions {
    ($($function:ident {
        name: $name:literal,
        formula: $formula:literal,
        is_op: $is_op:literal,
        activation: $activation:expr,
        torch: $torch:expr,
    } |$simd:ident, $x:ident| $value:expr;)*) => {
        /// A function of one f32.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum UnaryFunction {
            $(#[doc = $formula] $function,)*
        }

        impl UnaryFunction {
            /// All of the functions.
            pub const ALL: &'static [UnaryFunction] = &[$(UnaryFunction::$function),*];

            /// The row of the function.
            pub const fn row(self) -> &'static UnaryRow {
                match self {
                    $(UnaryFunction::$function => &UnaryRow {
                        name: $name,
                        formula: $formula,
                        is_op: $is_op,
                        activation: $activation,
                        torch: $torch,
                    },)*
                }
            }

            /// Applies the function to each lane.
            #[inline(always)]
            pub fn apply<S: Lanes>(self, simd: S, x: S::F32) -> S::F32 {
                match self {
                    $(UnaryFunction::$function => {
                        let ($simd, $x) = (simd, x);
                        $value
                    })*
                }
            }
        }
    };
}

unary_functions! {
    Neg {
        name: "Neg",
        formula: "−x",
        is_op: true,
        activation: &[],
        torch: None,
    } |simd, x| simd.neg(x);
    Exp {
        name: "Exp",
        formula: "eˣ",
        is_op: true,
        activation: &[],
        torch: None,
    } |simd, x| math::exp(simd, x);
    Log {
        name: "Log",
        formula: "ln x, the natural logarithm: −∞ at 0, NaN below it",
        is_op: true,
        activation: &[],
        torch: None,
    } |simd, x| math::log(simd, x);
    Sqrt {
        name: "Sqrt",
        formula: "√x",
        is_op: true,
        activation: &[],
        torch: None,
    } |simd, x| simd.sqrt(x);
    Reciprocal {
        name: "Reciprocal",
        formula: "1 / x",
        is_op: true,
        activation: &[],
        torch: None,
    } |simd, x| simd.div(simd.splat(1.0), x);
    Rsqrt {
        name: "Rsqrt",
        formula: "1 / √x",
        is_op: true,
        activation: &[],
        torch: None,
    } |simd, x| simd.div(simd.splat(1.0), simd.sqrt(x));
    Sin {
        name: "Sin",
        formula: "sin x, x in radians",
        is_op: true,
        activation: &[],
        torch: None,
    } |simd, x| math::sin_cos(simd, x).0;
    Cos {
        name: "Cos",
        formula: "cos x, x in radians",
        is_op: true,
        activation: &[],
        torch: None,
    } |simd, x| math::sin_cos(simd, x).1;
    Erf {
        name: "Erf",
        formula: "erf x",
        is_op: true,
        activation: &[],
        torch: None,
    } |simd, x| math::erf(simd, x);
    Square {
        name: "Square",
        formula: "x · x",
        is_op: false,
        activation: &[],
        torch: None,
    } |simd, x| simd.mul(x, x);
    Cube {
        name: "Cube",
        formula: "(x · x) · x",
        is_op: false,
        activation: &[],
        torch: None,
    } |simd, x| simd.mul(simd.mul(x, x), x);
    Relu {
        name: "Relu",
        formula: "max(x, 0)",
        is_op: true,
        activation: &["relu"],
        torch: Some("ReLU"),
    } |simd, x| math::relu(simd, x);
    Silu {
        name: "Silu",
        formula: "x / (1 + e⁻ˣ)",
        is_op: true,
        activation: &["silu", "swish"],
        torch: Some("SiLU"),
    } |simd, x| math::silu(simd, x);
    GeluErf {
        name: "Gelu",
        formula: "x/2 · (1 + erf(x/√2))",
        is_op: false,
        activation: &["gelu"],
        torch: Some("GELU"),
    } |simd, x| math::gelu_erf(simd, x);
    GeluTanh {
        name: "GeluTanh",
        formula: "x/2 · (1 + tanh(√(2/π) · (x + 0.044715x³)))",
        is_op: false,
        activation: &["gelu_tanh", "gelu_new", "gelu_pytorch_tanh", "gelu_fast"],
        torch: None,
    } |simd, x| math::gelu_tanh(simd, x);
    Tanh {
        name: "Tanh",
        formula: "tanh x",
        is_op: true,
        activation: &["tanh"],
        torch: Some("Tanh"),
    } |simd, x| math::tanh(simd, x);
    Sigmoid {
        name: "Sigmoid",
        formula: "1 / (1 + e⁻ˣ)",
        is_op: true,
        activation: &["sigmoid"],
        torch: Some("Sigmoid"),
    } |simd, x| math::sigmoid(simd, x);
}

/// `Function { columns } |simd, a, b| the function of each pair of lanes`
macro_rules! binary_functions {
    ($($function:ident {
        formula: $formula:literal,
        commutative: $commutative:literal,
        neutral: $neutral:expr,
        ints: $ints:expr,
        scalar: $scalar:expr,
    } |$simd:ident, $a:ident, $b:ident| $value:expr;)*) => {
        /// A function of two f32.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum BinaryFunction {
            $(#[doc = $formula] $function,)*
        }

        impl BinaryFunction {
            /// All of the functions.
            pub const ALL: &'static [BinaryFunction] = &[$(BinaryFunction::$function),*];

            /// The row of the function.
            pub const fn row(self) -> &'static BinaryRow {
                match self {
                    $(BinaryFunction::$function => &BinaryRow {
                        name: stringify!($function),
                        formula: concat!($formula, ", broadcast as NumPy does"),
                        commutative: $commutative,
                        neutral: $neutral,
                        ints: $ints,
                        scalar: $scalar,
                    },)*
                }
            }

            /// Applies the function to each pair of lanes.
            #[inline(always)]
            pub fn apply<S: Lanes>(self, simd: S, a: S::F32, b: S::F32) -> S::F32 {
                match self {
                    $(BinaryFunction::$function => {
                        let ($simd, $a, $b) = (simd, a, b);
                        $value
                    })*
                }
            }
        }
    };
}

binary_functions! {
    Add {
        formula: "a + b",
        commutative: true,
        // Not 0: it turns −0 into +0.
        neutral: None,
        ints: Some(i32::wrapping_add),
        scalar: |a, b| a + b,
    } |simd, a, b| simd.add(a, b);
    Sub {
        formula: "a − b",
        commutative: false,
        neutral: None,
        ints: Some(i32::wrapping_sub),
        scalar: |a, b| a - b,
    } |simd, a, b| simd.sub(a, b);
    Mul {
        formula: "a · b",
        commutative: true,
        neutral: Some((1.0, &[0, 1])),
        ints: Some(i32::wrapping_mul),
        scalar: |a, b| a * b,
    } |simd, a, b| simd.mul(a, b);
    Div {
        formula: "a / b",
        commutative: false,
        neutral: Some((1.0, &[1])),
        ints: None,
        scalar: |a, b| a / b,
    } |simd, a, b| simd.div(a, b);
    Min {
        formula: "a < b ? a : b",
        commutative: false,
        neutral: None,
        ints: Some(min_i32),
        scalar: |a, b| if a < b { a } else { b },
    } |simd, a, b| simd.min(a, b);
    Max {
        formula: "a > b ? a : b",
        commutative: false,
        neutral: None,
        ints: Some(max_i32),
        scalar: |a, b| if a > b { a } else { b },
    } |simd, a, b| simd.max(a, b);
}

fn min_i32(a: i32, b: i32) -> i32 {
    a.min(b)
}

fn max_i32(a: i32, b: i32) -> i32 {
    a.max(b)
}

/// A function of one or two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    /// A function of one element.
    Unary(UnaryFunction),
    /// A function of two elements.
    Binary(BinaryFunction),
}

impl Function {
    /// All of the functions.
    pub fn all() -> impl Iterator<Item = Function> {
        let binary = BinaryFunction::ALL.iter().copied().map(Function::Binary);
        let unary = UnaryFunction::ALL.iter().copied().map(Function::Unary);
        binary.chain(unary)
    }

    /// The name of the function in programs.
    pub fn name(self) -> &'static str {
        match self {
            Function::Unary(function) => function.row().name,
            Function::Binary(function) => function.row().name,
        }
    }

    /// How many operands the function has.
    pub fn arity(self) -> usize {
        match self {
            Function::Unary(_) => 1,
            Function::Binary(_) => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::{Isa, LANES, Scalar, Simd, Single};

    fn bits_or_nan(x: f32) -> u32 {
        if x.is_nan() { u32::MAX } else { x.to_bits() }
    }

    /// Edge values, then pseudo-random bit patterns of every magnitude.
    fn values() -> Vec<f32> {
        let mut values = vec![
            0.0,
            f32::INFINITY,
            f32::NAN,
            f32::MIN_POSITIVE,
            1e-45,
            1e-40,
            f32::MAX,
        ];
        values.extend([
            87.29, 87.3, 87.31, 88.72, 88.73, 89.0, 0.625, 0.6249, 1.0, 4.0, 9.1, 1e5,
        ]);
        let mut state = 1u32;
        for _ in 0..40_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let random = state ^ (state >> 15);
            values.push(f32::from_bits(random & 0x7fff_ffff));
            values.push((random >> 8) as f32 / 65_536.0);
        }
        let negative: Vec<f32> = values.iter().map(|x| -x).collect();
        values.extend(negative);
        values.resize(values.len().next_multiple_of(LANES), -1.5);
        values
    }

    fn wide<S: Simd>(simd: S, function: UnaryFunction, x: &[f32; LANES]) -> [u32; LANES] {
        let y = function.apply(simd, simd.load(x));
        simd.to_array(y).map(bits_or_nan)
    }

    #[test]
    fn every_instruction_set_matches_one_lane_to_the_bit() {
        for isa in Isa::available() {
            for chunk in values().as_chunks::<LANES>().0 {
                for &function in UnaryFunction::ALL {
                    let many = match isa {
                        Isa::Scalar(simd) => wide(simd, function, chunk),
                        Isa::Avx2(simd) => wide(simd, function, chunk),
                        Isa::Avx512(simd) => wide(simd, function, chunk),
                    };
                    let one = chunk.map(|x| bits_or_nan(function.apply(Single, x)));
                    assert_eq!(many, one, "{function:?} of {chunk:?} on {}", isa.name());
                }
            }
        }
    }

    #[test]
    fn a_lane_does_not_depend_on_its_neighbours() {
        let mut x = [f32::NAN; LANES];
        x[3] = 0.7;
        for &function in UnaryFunction::ALL {
            let alone = bits_or_nan(function.apply(Single, 0.7));
            assert_eq!(wide(Scalar, function, &x)[3], alone, "{function:?}");
        }
    }

    #[test]
    fn one_pair_of_lanes_is_the_scalar_function() {
        for pair in values().windows(2) {
            for &function in BinaryFunction::ALL {
                let lane = function.apply(Single, pair[0], pair[1]);
                let scalar = (function.row().scalar)(pair[0], pair[1]);
                assert_eq!(
                    bits_or_nan(lane),
                    bits_or_nan(scalar),
                    "{function:?} {pair:?}"
                );
            }
        }
    }

    #[test]
    fn a_neutral_number_changes_no_bit() {
        for &function in BinaryFunction::ALL {
            let Some((number, slots)) = function.row().neutral else {
                continue;
            };
            for x in values() {
                for slot in slots {
                    let (a, b) = if *slot == 0 { (number, x) } else { (x, number) };
                    let y = function.apply(Single, a, b);
                    assert_eq!(bits_or_nan(y), bits_or_nan(x), "{function:?} {a} {b}");
                }
            }
        }
    }

    #[test]
    fn each_name_belongs_to_one_function() {
        let names: Vec<&str> = Function::all().map(Function::name).collect();
        let rows = UnaryFunction::ALL.iter().map(|function| function.row());
        let activations: Vec<&str> = rows.flat_map(|row| row.activation).copied().collect();
        for list in [names, activations] {
            let mut once = list.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), list.len(), "{list:?}");
        }
    }
}
