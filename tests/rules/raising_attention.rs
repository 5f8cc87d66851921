//! Like `cases`, for the rules that raise rotation and scaled attention that are spelled out in primitives.

use super::cases::{Case, case};

/// All cases.
pub const RAISING_ATTENTION: &[Case] = &[
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
