//! Like `cases`, for the rules that raise norms and activations that are spelled out in primitives.

use super::cases::{Case, case};

/// All cases.
pub const RAISING: &[Case] = &[
    case(
        "square",
        "x = activation 8
         y = Pow x | exponent=2.0
         out y",
        "x = activation 8
         y = Pow x | exponent=3.0
         out y",
        "\"y\" is Pow with exponent 3.0; the rule wants 2.0",
    ),
    case(
        "cube",
        "x = activation 8
         s = Mul x x
         y = Mul x s
         out y",
        "x = activation 8
         z = activation 8
         s = Mul x x
         y = Mul s z
         out y",
        "",
    ),
    case(
        "square_root",
        "x = activation 8
         z = Mul x x
         y = Pow z | exponent=0.5
         out y",
        "x = activation 8
         y = Pow x | exponent=2.0
         out y",
        "the rule wants 0.5",
    ),
    case(
        "reciprocal_root",
        "x = activation 8
         z = Mul x x
         e = Add z 0.1
         y = Pow e | exponent=-0.5
         out y",
        "x = activation 8
         z = Mul x x
         y = Pow z | exponent=0.5
         out y",
        "the rule wants -0.5",
    ),
    case(
        "reciprocal_power",
        "x = activation 8
         z = Exp x
         y = Pow z | exponent=-1.0
         out y",
        "x = activation 8
         z = Exp x
         y = Pow z | exponent=2.0
         out y",
        "the rule wants -1.0",
    ),
    case(
        "one_over_root",
        "x = activation 8
         z = Exp x
         r = Sqrt z
         y = Div 1 r
         out y",
        "x = activation 8
         z = Exp x
         r = Sqrt z
         y = Div 2 r
         out y",
        "reads the number 2.0; the rule wants 1.0",
    ),
    case(
        "reciprocal_of_root",
        "x = activation 8
         z = Exp x
         r = Sqrt z
         y = Reciprocal r
         out y",
        "x = activation 8
         z = Exp x
         r = Sqrt z
         y = Reciprocal r
         out y r",
        "\"r\" is also an output of the graph",
    ),
    case(
        "rms_norm",
        "x = activation 8
         s = Mul x x
         m = ReduceMean s
         e = Add m 0.001
         r = Rsqrt e
         y = Mul r x
         out y",
        "x = activation 8
         eps = weight 1
         s = Mul x x
         m = ReduceMean s
         e = Add m eps
         r = Rsqrt e
         y = Mul r x
         out y",
        "so Literal(\"eps\") does not hold",
    ),
    case(
        "rms_norm_divide",
        "x = activation 8
         s = Mul x x
         m = ReduceMean s
         e = Add m 0.001
         r = Sqrt e
         y = Div x r
         out y",
        "x = activation 8
         s = Mul x x
         m = ReduceMean s
         e = Add m 0.001
         r = Sqrt e
         y = Div r x
         out y",
        "",
    ),
    case(
        "layer_norm",
        "x = activation 8
         m = ReduceMean x
         d = Sub x m
         y = RmsNorm d | eps=0.001
         out y",
        "x = activation 8
         z = activation 8
         m = ReduceMean z
         d = Sub x m
         y = RmsNorm d
         out y",
        "where the rule wants",
    ),
    case(
        "rms_norm_gain",
        "x = activation 8
         g = weight 8
         n = RmsNorm x | eps=0.001
         y = Mul g n
         out y",
        "x = activation 8
         z = activation 8
         n = RmsNorm x
         y = Mul n z
         out y",
        "IsWeight(\"g\") does not hold",
    ),
    case(
        "layer_norm_gain",
        "x = activation 8
         g = weight 8
         one = Add g 1
         n = LayerNorm x | eps=0.001
         y = Mul n one
         out y",
        "x = activation 8
         g = weight 1
         n = LayerNorm x
         y = Mul n g
         out y",
        "what the rule emits does not fit",
    ),
    case(
        "layer_norm_bias",
        "x = activation 8
         g = weight 8
         b = weight 8
         n = LayerNorm x g | eps=0.001
         y = Add b n
         out y",
        "x = activation 8
         g = weight 8
         b = weight 8
         n = LayerNorm x g b
         y = Add n b
         out y",
        "the rule wants none",
    ),
    case(
        "softmax",
        "x = activation 8
         m = ReduceMax x
         d = Sub x m
         e = Exp d
         t = ReduceSum e
         y = Div e t
         out y",
        "x = activation 8
         m = ReduceMax x
         d = Sub x m
         e = Exp d
         t = ReduceSum d
         y = Div e t
         out y",
        "where the rule wants",
    ),
    case(
        "softmax_reciprocal",
        "x = activation 8
         m = ReduceMax x
         d = Sub x m
         e = Exp d
         t = ReduceSum e
         r = Reciprocal t
         y = Mul r e
         out y",
        "x = activation 8
         m = ReduceMax x
         d = Sub x m
         e = Exp d
         t = ReduceMean e
         r = Reciprocal t
         y = Mul e r
         out y",
        "\"t\" is ReduceMean where the rule wants ReduceSum",
    ),
    case(
        "sigmoid",
        "x = activation 8
         n = Neg x
         e = Exp n
         d = Add 1 e
         y = Div 1 d
         out y",
        "x = activation 8
         n = Neg x
         e = Exp n
         d = Add e 2
         y = Div 1 d
         out y",
        "reads the number 2.0; the rule wants 1.0",
    ),
    case(
        "sigmoid_reciprocal",
        "x = activation 8
         n = Neg x
         e = Exp n
         d = Add 1 e
         y = Reciprocal d
         out y",
        "x = activation 8
         n = Neg x
         e = Exp x
         d = Add e 1
         y = Reciprocal d
         out y n",
        "where the rule wants Neg",
    ),
    case(
        "silu_divide",
        "x = activation 8
         n = Neg x
         e = Exp n
         d = Add 1 e
         y = Div x d
         out y",
        "z = activation 8
         x = activation 8
         n = Neg x
         e = Exp n
         d = Add 1 e
         y = Div z d
         out y",
        "where the rule wants",
    ),
    case(
        "silu",
        "x = activation 8
         s = Sigmoid x
         y = Mul s x
         out y",
        "x = activation 8
         z = Mul x 1.702
         s = Sigmoid z
         y = Mul x s
         out y",
        "where the rule wants",
    ),
    case(
        "scaled_cube",
        "x = activation 8
         p = Mul 0.044715 x
         q = Mul p x
         y = Mul q x
         out y",
        "x = activation 8
         g = weight 8
         p = Mul x g
         q = Mul p x
         y = Mul q x
         out y",
        "so Literal(\"c\") does not hold",
    ),
    case(
        "gelu_argument",
        "x = activation 8
         s = Mul x x
         q = Mul 0.044715 s
         a = Add 1 q
         p = Mul x 0.7978845608028654
         y = Mul p a
         out y",
        "x = activation 8
         s = Mul x x
         q = Mul 0.0447 s
         a = Add 1 q
         p = Mul x 0.7978845608028654
         y = Mul p a
         out y",
        "reads the number 0.0447; the rule wants 0.044715",
    ),
    case(
        "gelu_argument_in_order",
        "x = activation 8
         s = Mul 0.044715 x
         q = Mul s x
         a = Add 1 q
         p = Mul x 0.7978845608028654
         y = Mul a p
         out y",
        "x = activation 8
         s = Mul 0.044715 x
         q = Mul s x
         a = Add 2 q
         p = Mul x 0.7978845608028654
         y = Mul p a
         out y",
        "reads the number 2.0; the rule wants 1.0",
    ),
    case(
        "gelu_tanh_half_first",
        "x = activation 8
         c = Pow x | exponent=3.0
         i = Mul 0.044715 c
         s = Add x i
         u = Mul 0.79788456 s
         t = Tanh u
         o = Add 1 t
         h = Mul 0.5 x
         y = Mul h o
         out y",
        "x = activation 8
         c = Pow x | exponent=3.0
         i = Mul 0.044715 c
         s = Add x i
         u = Mul 0.8 s
         t = Tanh u
         o = Add 1 t
         h = Mul 0.5 x
         y = Mul h o
         out y",
        "reads the number 0.8; the rule wants 0.7978",
    ),
    case(
        "gelu_tanh_half_last",
        "x = activation 8
         c = Pow x | exponent=3.0
         i = Mul 0.044715 c
         s = Add x i
         u = Mul 0.79788456 s
         t = Tanh u
         o = Add 1 t
         p = Mul x o
         y = Mul 0.5 p
         out y",
        "x = activation 8
         c = Pow x | exponent=3.0
         i = Mul 0.0447 c
         s = Add x i
         u = Mul 0.79788456 s
         t = Tanh u
         o = Add 1 t
         p = Mul x o
         y = Mul 0.5 p
         out y",
        "reads the number 0.0447; the rule wants 0.044715",
    ),
    case(
        "gelu_tanh_half_inside",
        "x = activation 8
         c = Pow x | exponent=3.0
         i = Mul 0.044715 c
         s = Add x i
         u = Mul 0.79788456 s
         t = Tanh u
         o = Add 1 t
         h = Mul 0.5 o
         y = Mul x h
         out y",
        "z = activation 8
         x = activation 8
         c = Pow x | exponent=3.0
         i = Mul 0.044715 c
         s = Add x i
         u = Mul 0.79788456 s
         t = Tanh u
         o = Add 1 t
         h = Mul 0.5 o
         y = Mul z h
         out y",
        "",
    ),
    case(
        "erf_divide",
        "x = activation 8
         d = Div x 1.41421356
         y = Erf d
         out y",
        "x = activation 8
         d = Div x 1.5
         y = Erf d
         out y",
        "reads the number 1.5; the rule wants 1.414",
    ),
    case(
        "gelu_erf_half_first",
        "x = activation 8
         d = Mul 0.70710678 x
         t = Erf d
         o = Add t 1
         h = Mul 0.5 x
         y = Mul h o
         out y",
        "x = activation 8
         d = Mul 0.7 x
         t = Erf d
         o = Add t 1
         h = Mul 0.5 x
         y = Mul h o
         out y",
        "reads the number 0.7; the rule wants 0.707",
    ),
    case(
        "gelu_erf_half_last",
        "x = activation 8
         d = Mul 0.70710678 x
         t = Erf d
         o = Add t 1
         p = Mul x o
         y = Mul 0.5 p
         out y",
        "x = activation 8
         d = Mul 0.70710678 x
         t = Erf d
         o = Add t 1
         p = Mul x o
         y = Mul 0.25 p
         out y",
        "reads the number 0.25; the rule wants 0.5",
    ),
    case(
        "gelu_erf_half_inside",
        "x = activation 8
         d = Mul 0.70710678 x
         t = Erf d
         o = Add t 1
         h = Mul 0.5 o
         y = Mul x h
         out y",
        "z = activation 8
         x = activation 8
         d = Mul 0.70710678 x
         t = Erf d
         o = Add t 1
         h = Mul 0.5 o
         y = Mul z h
         out y",
        "where the rule wants",
    ),
];
