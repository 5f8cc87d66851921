"""Writes expected.json: the ids that transformers 5 returns for a text, where other files add tokens to tokenizer.json.
Needs the package transformers."""

import json
import pathlib
import tempfile

from transformers import AutoTokenizer

FOLDER = pathlib.Path(__file__).parent
TEXT = "hi<|im_end|> <a> x <b>y<c> z"
CONFIG = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "tokenizer_class": "PreTrainedTokenizerFast",
}


def token(text, **flags):
    flags = {"special": True, "lstrip": False, "rstrip": False, "single_word": False, "normalized": False} | flags
    return {"content": text} | flags


def spelled(text, **flags):
    return token(text, **flags) | {"__type": "AddedToken"}


def config(**keys):
    return {"tokenizer_config.json": CONFIG | keys}


CASES = {
    "none": config(),
    "decoder": config(added_tokens_decoder={"298": token("<a>"), "299": token("<|im_end|>")}),
    "decoder in another order": config(added_tokens_decoder={"299": token("<a>"), "298": token("<|im_end|>")}),
    "flags": config(
        added_tokens_decoder={
            "298": token("<a>", lstrip=True),
            "299": token("<b>", rstrip=True),
            "300": token("<c>", single_word=True),
        }
    ),
    "not special": config(added_tokens_decoder={"298": token("<a>", special=False, normalized=True)}),
    "no flags": config(added_tokens_decoder={"298": {"content": "<a>"}}),
    "decoder before added_tokens.json": config(added_tokens_decoder={"298": token("<a>")})
    | {"added_tokens.json": {"<b>": 299}},
    "added_tokens.json": config() | {"added_tokens.json": {"<a>": 298, "<|im_end|>": 299}},
    "added_tokens.json in another order": config() | {"added_tokens.json": {"<a>": 299, "<|im_end|>": 298}},
    "added_tokens.json alone": {"added_tokens.json": {"<a>": 298, "<|im_end|>": 299}},
    "added_tokens.json with a special token": config(pad_token="<a>")
    | {"added_tokens.json": {"<a>": 298, "<|im_end|>": 299}},
    "additional": config(additional_special_tokens=["<a>", "<b>"]),
    "additional records": config(additional_special_tokens=[spelled("<a>", lstrip=True), "<b>"]),
    "extra list": config(extra_special_tokens=["<a>", "<b>"]),
    "extra map": config(extra_special_tokens={"image_token": "<a>", "x": "<b>"}),
    "extra before additional": config(extra_special_tokens=["<a>"], additional_special_tokens=["<b>"]),
    "extra map and additional": config(extra_special_tokens={"x": "<a>"}, additional_special_tokens=["<b>"]),
    "pad": config(pad_token="<a>"),
    "pad record": config(pad_token=spelled("<a>", lstrip=True)),
    "another name": config(image_token="<a>"),
    "special_tokens_map.json": config()
    | {"special_tokens_map.json": {"pad_token": "<a>", "additional_special_tokens": ["<b>"]}},
    "special_tokens_map.json with a record": config()
    | {"special_tokens_map.json": {"pad_token": token("<a>", lstrip=True)}},
    "decoder before special_tokens_map.json": config(added_tokens_decoder={"298": token("<c>")})
    | {"special_tokens_map.json": {"pad_token": "<a>"}},
    "order of names": {
        "tokenizer_config.json": {"additional_special_tokens": ["<c>"], "mask_token": "<b>", "pad_token": "<a>"} | CONFIG
    },
    "null": config(pad_token=None, additional_special_tokens=None),
    "a word of the vocabulary": config(pad_token="hi"),
    "flags that tokenizer.json decides": config(add_bos_token=False, add_eos_token=True, add_prefix_space=True),
    "flags of a known token": config(added_tokens_decoder={"2": token("</s>", lstrip=True)}),
}


def main():
    results = []
    for name, files in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "tokenizer.json").write_text((FOLDER / "tokenizer.json").read_text())
            (folder / "config.json").write_text('{"model_type": "llama"}')
            for file, contents in files.items():
                (folder / file).write_text(json.dumps(contents))
            tokenizer = AutoTokenizer.from_pretrained(folder)
            text = "a </s>" if name == "flags of a known token" else TEXT
            ids = tokenizer(text).input_ids
            shown = tokenizer.decode(ids, skip_special_tokens=True)
        results.append({"name": name, "files": files, "text": text, "ids": ids, "shown": shown})
    lines = ",\n ".join(json.dumps(result) for result in results)
    (FOLDER / "expected.json").write_text(f"[\n {lines}\n]\n")


main()
