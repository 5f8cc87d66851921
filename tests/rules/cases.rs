//! For every rule, a graph on which it fires once, and a graph on which it must not fire.

/// Examples for a rule.
pub struct Case {
    /// The rule.
    pub rule: &'static str,
    /// A graph on which it fires once.
    pub fires: &'static str,
    /// A graph on which it doesn't fire.
    pub stays: &'static str,
    /// A part of the report about the second graph; empty if the report says nothing.
    pub because: &'static str,
}

/// A case from its parts.
pub const fn case(
    rule: &'static str,
    fires: &'static str,
    stays: &'static str,
    because: &'static str,
) -> Case {
    Case {
        rule,
        fires,
        stays,
        because,
    }
}

/// All cases except the cases of `raising`.
pub const CASES: &[Case] = &[
    case(
        "scores",
        "q = activation 4 2
         k = activation 2 2
         keys values = Cache k k
         qt = Transpose q | perm=[1,0,2]
         kt = Transpose keys | perm=[1,0,2]
         s = MatMul qt kt
         out s",
        "q = activation 4 2
         k = activation 2 2
         keys values = Cache k k
         qt = Transpose q | perm=[1,0,2]
         kt = Transpose keys | perm=[1,2,0]
         s = MatMul qt kt | transpose_b=false
         out s",
        "",
    ),
    case(
        "scores_scale",
        "q = activation 4 2
         k = activation 2 2
         s = AttentionScores q k | scale=0.5
         y = Mul 0.25 s
         out y",
        "q = activation 4 2
         k = activation 2 2
         s = AttentionScores q k | softcap=50.0
         y = Mul s 0.25
         out y",
        "\"s\" is AttentionScores with softcap 50.0; the rule wants absent",
    ),
    case(
        "scores_divide",
        "q = activation 4 2
         k = activation 2 2
         s = AttentionScores q k
         y = Div s 8
         out y",
        "q = activation 4 2
         k = activation 2 2
         s = AttentionScores q k
         y = Div 8 s
         out y",
        "",
    ),
    case(
        "scores_softcap",
        "q = activation 4 2
         k = activation 2 2
         s = AttentionScores q k | scale=0.02
         t = Tanh s
         y = Mul t 50
         out y",
        "q = activation 4 2
         k = activation 2 2
         s = AttentionScores q k | causal=true
         t = Tanh s
         y = Mul t 50
         out y",
        "\"s\" is AttentionScores with causal true; the rule wants false",
    ),
    case(
        "scores_mask",
        "q = activation 4 2
         k = activation 2 2
         keys values = Cache k k
         s = AttentionScores q keys | scale=0.5 softcap=20.0
         y = CausalMask s | window=3
         out y",
        "q = activation 4 2
         k = activation 2 2
         keys values = Cache k k
         s = AttentionScores q keys | causal=true
         y = CausalMask s | window=3
         out y",
        "causal true; the rule wants false",
    ),
    case(
        "attention_values",
        "q = activation 4 2
         k = activation 2 2
         keys values = Cache k k
         s = AttentionScores q keys | scale=0.5 causal=true window=4
         p = Softmax s
         vt = Transpose values | perm=[1,0,2]
         o = MatMul p vt | transpose_b=false
         y = Transpose o | perm=[1,0,2]
         out y",
        "q = activation 4 2
         k = activation 2 2
         keys values = Cache k k
         s = AttentionScores q keys | causal=true
         p = Softmax s
         vt = Transpose values | perm=[1,0,2]
         o = MatMul p vt | transpose_b=false
         y = Transpose o | perm=[1,0,2]
         out y p",
        "\"p\" is also an output of the graph",
    ),
    case(
        "cached_attention",
        "q = activation 4 2
         k = activation 2 2
         v = activation 2 2
         keys values = Cache k v | window=3
         y = Attention q keys values | scale=0.5 softcap=30.0 window=3
         out y",
        "q = activation 4 2
         k = activation 2 2
         v = activation 2 2
         keys values = Cache k v | window=3
         y = Attention q keys values
         out y",
        "so Equal(\"keys.window\", \"y.window\") does not hold",
    ),
    case(
        "rotary_attention",
        "q = activation 4 2
         k = activation 2 2
         v = activation 2 2
         table = RotaryTable positions | base=10000.0 dims=2
         rq = ApplyRotary q table | pairs=adjacent
         rk = ApplyRotary k table | pairs=adjacent
         y = CachedAttention rq rk v | scale=0.5 window=5
         out y",
        "q = activation 4 2
         k = activation 2 2
         v = activation 2 2
         table = RotaryTable positions | base=10000.0 dims=2
         rq = ApplyRotary q table | pairs=adjacent
         rk = ApplyRotary k table
         y = CachedAttention rq rk v
         out y",
        "rq.pairs is 'adjacent' (rq being \"rq\") and rk.pairs is 'half' (rk being \"rk\")",
    ),
    case(
        "add_rms_norm",
        "x = activation 8
         r = activation 8
         g = weight 8
         s = Add x r
         y = RmsNorm s g | eps=0.001
         z = Mul s y
         out z s",
        "x = activation 8
         r = activation 1
         g = weight 8
         s = Add x r
         y = RmsNorm s g
         out y",
        "so SameType(\"x\", \"r\") does not hold",
    ),
    case(
        "add_layer_norm",
        "x = activation 8
         r = activation 8
         g = weight 8
         b = weight 8
         s = Add x r
         y = LayerNorm s g b | eps=0.001
         z = Mul s y
         out z",
        "x = activation 8
         b = weight 8
         g = weight 8
         s = Add x b
         y = LayerNorm s g b
         out y",
        "so SameType(\"x\", \"r\") does not hold",
    ),
    case(
        "lower_matmul",
        "x = activation 8
         w = weight 6 8
         y = MatMul x w
         out y",
        "x = activation 4 2
         k = activation 4 2
         y = MatMul x k
         out y",
        "\"k\" depends on a step's inputs, so IsWeight(\"w\") does not hold",
    ),
    case(
        "linear_bias",
        "x = activation 8
         w = weight 6 8
         b = weight 6
         l = Linear x w
         y = Add b l
         out y",
        "x = activation 8
         w = weight 6 8
         b = weight 1
         l = Linear x w
         y = Add l b
         out y",
        "what the rule emits does not fit: Linear: the bias of weight",
    ),
    case(
        "linear_gelu",
        "x = activation 8
         w = weight 6 8
         b = weight 6
         l = Linear x w b
         y = Gelu l
         out y",
        "x = activation 8
         w = weight 6 8
         l = Linear x w
         y = Gelu l | approximate=tanh
         out y",
        "\"y\" is Gelu with approximate 'tanh'; the rule wants 'none'",
    ),
    case(
        "linear_gelu_tanh",
        "x = activation 8
         w = weight 6 8
         l = Linear x w
         y = Gelu l | approximate=tanh
         out y",
        "x = activation 8
         w = weight 6 8
         r = activation 6
         l = Linear x w - r
         y = Gelu l | approximate=tanh
         out y",
        "\"l\" has the residual \"r\"; the rule wants none",
    ),
    case(
        "linear_silu",
        "x = activation 8
         w = weight 6 8
         l = Linear x w
         y = Silu l
         out y",
        "x = activation 8
         w = weight 6 8
         l = Linear x w
         y = Silu l
         z = Tanh l
         out y z",
        "\"l\" is also read by \"z\"",
    ),
    case(
        "linear_relu",
        "x = activation 8
         w = weight 6 8
         l = Linear x w
         y = Relu l
         out y",
        "x = activation 8
         w = weight 6 8
         l = Linear x w | activation=silu
         y = Relu l
         out y",
        "\"l\" is Linear with activation 'silu'; the rule wants 'none'",
    ),
    case(
        "linear_tanh",
        "x = activation 8
         w = weight 6 8
         l = Linear x w
         y = Tanh l
         out y",
        "x = activation 8
         w = weight 6 8
         l = Linear x w | activation=tanh
         y = Tanh l
         out y",
        "\"l\" is Linear with activation 'tanh'; the rule wants 'none'",
    ),
    case(
        "linear_sigmoid",
        "x = activation 8
         w = weight 6 8
         b = weight 6
         l = Linear x w b
         y = Sigmoid l
         out y",
        "x = activation 8
         w = weight 6 8
         l = MatMul x w
         y = Sigmoid l
         out y",
        "",
    ),
    case(
        "linear_residual",
        "x = activation 8
         w = weight 8 8
         b = weight 8
         l = Linear x w b | activation=silu
         y = Add x l
         out y",
        "x = activation 8
         w = weight 8 8
         l = Linear x w
         y = Add l 2
         out y",
        "so SameType(\"l\", \"r\") does not hold",
    ),
    case(
        "gated_linear",
        "x = activation 8
         wg = weight 6 8
         wu = weight 6 8
         b = weight 6
         u = Linear x wu b
         g = Linear x wg | activation=silu
         y = Mul u g
         out y",
        "x = activation 8
         z = activation 8
         wg = weight 6 8
         wu = weight 6 8
         g = Linear x wg | activation=silu
         u = Linear z wu
         y = Mul g u
         out y",
        "\"u\" has \"z\" where the rule wants \"x\"",
    ),
    case(
        "quantize_rms_norm",
        "x = activation 64
         g = weight 64
         w = weight 8 64
         b = Cast w | to=Q8_0
         n = RmsNorm x g | eps=0.001
         q = QuantizeActivations n
         y = MatMul q b
         out y",
        "x = activation 64
         w = weight 8 64
         b = Cast w | to=Q8_0
         n = RmsNorm x
         q = QuantizeActivations n
         y = MatMul q b
         z = Neg n
         out y z",
        "\"n\" is also read by",
    ),
    case(
        "quantize_layer_norm",
        "x = activation 32
         g = weight 32
         bias = weight 32
         w = weight 8 32
         b = Cast w | to=Q4_0
         n = LayerNorm x g bias
         q = QuantizeActivations n
         y = Linear q b
         out y",
        "x = activation 32
         w = weight 32 32
         b = Cast w | to=Q4_0
         n = LayerNorm x
         q = QuantizeActivations n
         y = Linear q b - n
         out y",
        "\"n\" is also read by",
    ),
    case(
        "quantize_add_rms_norm",
        "x = activation 32
         r = activation 32
         w = weight 32 32
         b = Cast w | to=Q5_0
         s n = AddRmsNorm x r
         q = QuantizeActivations n
         l = MatMul q b
         y = Add l s
         out y",
        "x = activation 32
         r = activation 32
         w = weight 32 32
         b = Cast w | to=Q5_0
         s n = AddRmsNorm x r
         q = QuantizeActivations s
         l = MatMul q b
         y = Add l n
         out y",
        "",
    ),
    case(
        "quantize_add_layer_norm",
        "x = activation 256
         r = activation 256
         g = weight 256
         w = weight 8 256
         b = Cast w | to=Q6_K
         s n = AddLayerNorm x r g
         q = QuantizeActivations n
         y = MatMul q b
         out y s",
        "x = activation 256
         r = activation 256
         w = weight 8 256
         b = Cast w | to=Q6_K
         s n = AddLayerNorm x r
         q = QuantizeActivations n
         y = MatMul q b
         out y n",
        "\"n\" is also an output of the graph",
    ),
];
