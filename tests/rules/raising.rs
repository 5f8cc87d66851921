//! As `cases`, for the rules that raise what is spelled out in primitives.

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
    case(
        "rotate_half",
        "x = activation 3 4
         table = RotaryTable positions | base=10000.0 dims=4
         t = Reshape table | shape=[0,1,-1]
         c = Slice t | axis=-1 start=0 end=2
         s = Slice t | axis=-1 start=2
         cos = Concat c c | axis=-1
         sin = Concat s s | axis=-1
         a = Slice x | axis=-1 start=0 end=2
         b = Slice x | axis=-1 start=2
         n = Neg b
         r = Concat n a | axis=-1
         xc = Mul x cos
         rs = Mul sin r
         y = Add rs xc
         out y",
        "x = activation 3 4
         table = RotaryTable positions | base=10000.0 dims=4
         t = Reshape table | shape=[0,1,-1]
         c = Slice t | axis=-1 start=0 end=2
         s = Slice t | axis=-1 start=2
         cos = Concat c c | axis=-1
         sin = Concat s s | axis=-1
         a = Slice x | axis=-1 start=0 end=2
         b = Slice x | axis=-1 start=2
         n = Neg b
         r = Concat a n | axis=-1
         xc = Mul x cos
         rs = Mul sin r
         y = Add rs xc
         out y",
        "",
    ),
    case(
        "rotate_halves_apart",
        "x = activation 3 4
         table = RotaryTable positions | base=10000.0 dims=4
         t = Reshape table | shape=[0,1,-1]
         c = Slice t | axis=-1 start=0 end=2
         s = Slice t | axis=-1 start=2
         a = Slice x | axis=-1 start=0 end=2
         b = Slice x | axis=-1 start=2
         ac = Mul a c
         bs = Mul b s
         bc = Mul c b
         as = Mul s a
         first = Sub ac bs
         second = Add as bc
         y = Concat first second | axis=-1
         out y",
        "x = activation 3 4
         table = RotaryTable positions | base=10000.0 dims=4
         t = Reshape table | shape=[0,1,-1]
         c = Slice t | axis=-1 start=0 end=2
         s = Slice t | axis=-1 start=2
         a = Slice x | axis=-1 start=0 end=2
         b = Slice x | axis=-1 start=2
         ac = Mul a c
         bs = Mul b s
         bc = Mul c b
         as = Mul s a
         first = Sub bs ac
         second = Add as bc
         y = Concat first second | axis=-1
         out y",
        "",
    ),
    case(
        "scores_scaled_query",
        "q = activation 4 2
         k = activation 2 2
         keys values = Cache k k
         qt = Transpose q | perm=[1,0,2]
         qs = Mul qt 0.5
         kt = Transpose keys | perm=[1,0,2]
         s = MatMul qs kt
         out s",
        "q = activation 4 2
         k = activation 2 2
         keys values = Cache k k
         qt = Transpose q | perm=[1,0,2]
         g = weight 2
         qs = Mul qt g
         kt = Transpose keys | perm=[1,0,2]
         s = MatMul qs kt
         out s",
        "so Literal(\"c\") does not hold",
    ),
    case(
        "scores_scaled_both",
        "q = activation 4 2
         k = activation 2 2
         keys values = Cache k k
         qt = Transpose q | perm=[1,0,2]
         qs = Mul qt 0.5
         kt = Transpose keys | perm=[1,0,2]
         ks = Mul kt 0.25
         s = MatMul qs ks
         out s",
        "q = activation 4 2
         k = activation 2 2
         keys values = Cache k k
         qt = Transpose q | perm=[1,0,2]
         qs = Mul qt 0.5
         kt = Transpose keys | perm=[1,0,2]
         ks = Mul kt 0.25
         s = MatMul qs ks
         out s ks",
        "\"ks\" is also an output of the graph",
    ),
    case(
        "scores_transposed",
        "q = activation 4 2
         k = activation 2 2
         keys values = Cache k k
         qt = Transpose q | perm=[1,0,2]
         kt = Transpose keys | perm=[1,2,0]
         s = MatMul qt kt | transpose_b=false
         out s",
        "q = activation 4 2
         qt = Transpose q | perm=[1,0,2]
         k = weight 3 2 2
         kt = Transpose k | perm=[1,2,0]
         s = MatMul qt kt | transpose_b=false
         out s",
        "so IsActivation(\"k\") does not hold",
    ),
    case(
        "scores_transposed_scaled_query",
        "q = activation 4 2
         k = activation 2 2
         keys values = Cache k k
         qt = Transpose q | perm=[1,0,2]
         qs = Mul qt 0.5
         kt = Transpose keys | perm=[1,2,0]
         s = MatMul qs kt | transpose_b=false
         out s",
        "q = activation 4 2
         k = activation 2 2
         keys values = Cache k k
         qt = Transpose q | perm=[1,0,2]
         qs = Mul qt qt
         kt = Transpose keys | perm=[1,2,0]
         s = MatMul qs kt | transpose_b=false
         out s",
        "",
    ),
    case(
        "scores_transposed_scaled_both",
        "q = activation 4 2
         k = activation 2 2
         keys values = Cache k k
         qt = Transpose q | perm=[1,0,2]
         qs = Mul qt 0.5
         kt = Transpose keys | perm=[1,2,0]
         ks = Mul 0.5 kt
         s = MatMul qs ks | transpose_b=false
         out s",
        "q = activation 4 2
         k = activation 2 2
         keys values = Cache k k
         qt = Transpose q | perm=[1,0,2]
         qs = Mul qt 0.5
         kt = Transpose keys | perm=[1,2,0]
         g = weight 2 1
         ks = Mul kt g
         s = MatMul qs ks | transpose_b=false
         out s",
        "so Literal(\"d\") does not hold",
    ),
    case(
        "query_scale",
        "q = activation 4 2
         k = activation 2 2
         qs = Mul 0.5 q
         s = AttentionScores qs k | scale=0.25 softcap=20.0
         out s",
        "q = activation 4 2
         k = activation 2 2
         g = weight 2
         qs = Mul q g
         s = AttentionScores qs k
         out s",
        "so Literal(\"c\") does not hold",
    ),
    case(
        "query_divide",
        "q = activation 4 2
         k = activation 2 2
         qs = Div q 2
         s = AttentionScores qs k | scale=0.25
         out s",
        "q = activation 4 2
         k = activation 2 2
         qs = Div q 0
         s = AttentionScores qs k
         out s",
        "so Not(Equal(\"c\", \"0\")) does not hold",
    ),
    case(
        "key_scale",
        "q = activation 4 2
         k = activation 2 2
         ks = Mul 0.5 k
         s = AttentionScores q ks | scale=0.25 softcap=20.0
         out s",
        "q = activation 4 2
         k = activation 2 2
         g = weight 2
         ks = Mul k g
         s = AttentionScores q ks
         out s",
        "so Literal(\"c\") does not hold",
    ),
    case(
        "key_divide",
        "q = activation 4 2
         k = activation 2 2
         ks = Div k 2
         s = AttentionScores q ks | scale=0.25
         out s",
        "q = activation 4 2
         k = activation 2 2
         ks = Div k 0
         s = AttentionScores q ks
         out s",
        "so Not(Equal(\"c\", \"0\")) does not hold",
    ),
];
