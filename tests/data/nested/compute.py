"""Writes src/model/text_model_defaults.ron: what transformers 5 takes for the keys that the configuration of a text model
leaves out, where it stands in the configuration of a model that reads images or sounds too. Writes expected.json beside
this script: what transformers makes of some such configurations. Needs the package transformers."""

import copy
import dataclasses
import json
import pathlib

from transformers.configuration_utils import PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

FOLDER = pathlib.Path(__file__).parent
TABLE = FOLDER.parents[2] / "src/model/text_model_defaults.ron"
# The types that built-in graph files describe.
TYPES = ["bert", "gemma", "gemma3_text", "gpt2", "llama", "mistral", "olmo", "olmo2", "phi", "qwen2", "qwen2_5_omni_text", "qwen3"]
COMMENT = """\
// The values that transformers 5 uses for keys that the configuration of a text model lacks, if that configuration is inside the
// configuration of a model that also reads images or sounds: such configurations are written without their class's default values.
// Values that a class computes from other keys are absent. Written by tests/data/nested/compute.py.
"""
# Configurations that leave keys out, as they stand in a file.
CASES = {
    "gemma3": {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "eos_token_id": [1, 106],
        "model_type": "gemma3",
        "text_config": {
            "hidden_size": 2560,
            "intermediate_size": 10240,
            "model_type": "gemma3_text",
            "num_hidden_layers": 8,
            "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
            "sliding_window": 1024,
        },
        "vision_config": {"model_type": "siglip_vision_model"},
    },
    "gemma3 without a type": {"model_type": "gemma3", "text_config": {"num_hidden_layers": 7, "num_key_value_heads": 8}},
    "gemma3 of version 5": {
        "model_type": "gemma3",
        "text_config": {
            "model_type": "gemma3_text",
            "num_hidden_layers": 2,
            "layer_types": ["full_attention", "sliding_attention"],
            "rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 4.0}, "sliding_attention": {"rope_theta": 5000.0}},
        },
    },
    "llava": {
        "architectures": ["LlavaForConditionalGeneration"],
        "hidden_size": 1,
        "model_type": "llava",
        "num_attention_heads": 3,
        "rope_theta": 7.0,
        "text_config": {"architectures": ["LlamaForCausalLM"], "max_position_embeddings": 4096, "model_type": "llama", "rms_norm_eps": 1e-05, "vocab_size": 32064},
        "tie_word_embeddings": False,
        "vision_config": {"model_type": "clip_vision_model"},
    },
    "llava without a type": {"model_type": "llava", "text_config": {"num_hidden_layers": 2, "hidden_size": 2048, "eos_token_id": 5}},
    "llava of mistral": {
        "model_type": "llava_next",
        "text_config": {"model_type": "mistral", "intermediate_size": 14336, "max_position_embeddings": 32768, "rope_theta": 1000000.0, "sliding_window": None},
        "bos_token_id": 3,
    },
    "mistral3": {
        "model_type": "mistral3",
        "text_config": {"model_type": "mistral", "head_dim": 128, "hidden_size": 5120, "num_hidden_layers": 3, "rope_theta": 1000000000.0},
        "tie_word_embeddings": True,
    },
    "paligemma": {
        "hidden_size": 2048,
        "model_type": "paligemma",
        "text_config": {"hidden_size": 2048, "intermediate_size": 16384, "model_type": "gemma", "num_attention_heads": 8, "num_hidden_layers": 3, "num_key_value_heads": 1, "vocab_size": 257216},
        "vocab_size": 257152,
    },
    "internvl": {"model_type": "internvl", "text_config": {"model_type": "qwen2", "num_hidden_layers": 30, "use_sliding_window": True, "rope_theta": 1000000.0}},
    "qwen2.5-omni": {
        "model_type": "qwen2_5_omni",
        "talker_config": {"model_type": "qwen2_5_omni_talker", "hidden_size": 896},
        "thinker_config": {
            "bos_token_id": 151644,
            "eos_token_id": 151645,
            "model_type": "qwen2_5_omni_thinker",
            "text_config": {
                "hidden_size": 2048,
                "intermediate_size": 11008,
                "model_type": "qwen2_5_omni_text",
                "num_attention_heads": 16,
                "num_hidden_layers": 3,
                "num_key_value_heads": 2,
                "rope_scaling": {"mrope_section": [16, 24, 24], "rope_type": "default", "type": "default"},
            },
        },
    },
    "qwen2.5-omni without a type": {
        "eos_token_id": 7,
        "model_type": "qwen2_5_omni",
        "thinker_config": {"eos_token_id": 8, "model_type": "qwen2_5_omni_thinker", "text_config": {"num_hidden_layers": 2, "eos_token_id": 9}},
    },
    "qwen2.5-omni's thinker alone": {"model_type": "qwen2_5_omni_thinker", "text_config": {"num_hidden_layers": 2, "num_key_value_heads": 7}},
    "lighton_ocr": {"model_type": "lighton_ocr", "text_config": {"hidden_size": 1024, "num_attention_heads": 16, "num_key_value_heads": 8}},
}
# What is compared, besides the rotary settings.
COMPARED = [
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
    "max_position_embeddings", "rms_norm_eps", "hidden_act", "hidden_activation", "query_pre_attn_scalar", "sliding_window",
    "layer_types",
]


def keys(cls):
    """A class's values for missing keys."""
    of_all = {field.name for field in dataclasses.fields(PreTrainedConfig)}
    own = {field.name: field.default for field in dataclasses.fields(cls) if field.name not in of_all}
    # Version 4 had these beside each other; version 5 gathers them in a record, for each type of layers if these differ.
    rotary = getattr(cls(), "rope_parameters", None) or {}
    if "full_attention" in rotary:
        own["rope_local_base_freq"] = rotary["sliding_attention"]["rope_theta"]
        rotary = rotary["full_attention"]
    own |= {key: value for key, value in rotary.items() if key != "rope_type"}
    return {key: value for key, value in own.items() if value is not None}


def types_inside():
    """The type of a text model that states none, keyed by the type of the whole model."""
    inside = {}
    for whole in CONFIG_MAPPING:
        spec = CONFIG_MAPPING[whole].sub_configs_defaults.get("text_config")
        if spec is not None and spec.model_type in TYPES:
            inside[whole] = spec.model_type
    return dict(sorted(inside.items()))


def ron(value):
    return json.dumps(value)


def table():
    lines = ["("]
    lines.append("    // The type of a text model that states none, keyed by the type of the whole model.")
    lines.append("    inside: {")
    lines += [f"        {ron(whole)}: {ron(inner)}," for whole, inner in types_inside().items()]
    lines.append("    },")
    lines.append("    types: {")
    for name in TYPES:
        cls = CONFIG_MAPPING[name]
        lines.append(f"        {ron(name)}: (")
        if cls.attribute_map:
            lines.append("            // Other names of keys.")
            names = ", ".join(f"{ron(other)}: {ron(key)}" for other, key in cls.attribute_map.items())
            lines.append(f"            names: {{{names}}},")
        lines.append("            keys: {")
        lines += [f"                {ron(key)}: {ron(value)}," for key, value in keys(cls).items()]
        lines.append("            },")
        lines.append("        ),")
    lines += ["    },", ")"]
    return COMMENT + "\n".join(lines) + "\n"


def first(*values):
    return next((value for value in values if value is not None), None)


def expected(whole):
    cls = CONFIG_MAPPING[whole["model_type"]]
    config = cls(**copy.deepcopy(whole))
    text = config.get_text_config()
    # The whole first, then what is inside of what.
    parts = [config, getattr(config, "thinker_config", None), text]
    found = {key: getattr(text, key) for key in COMPARED if hasattr(text, key)}
    found["rope_parameters"] = text.rope_parameters
    # Tokens that begin and end texts are asked of the whole first.
    for key in ["bos_token_id", "eos_token_id"]:
        found[key] = first(*(getattr(part, key, None) for part in parts))
    return {"config": whole, "expected": found}


def main():
    TABLE.write_text(table())
    results = {name: expected(whole) for name, whole in CASES.items()}
    (FOLDER / "expected.json").write_text(json.dumps(results, indent=1) + "\n")


main()
