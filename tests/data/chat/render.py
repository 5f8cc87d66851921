"""Writes NAME.json beside each NAME.jinja, and known.json for the templates that the library knows by name: what Jinja 3.1
makes of the conversations of conversations.json, set up as transformers sets it up for chat templates. And with_tools.out.json:
what the templates of this folder make of with_tools.json, or null where they fail. Needs the package jinja2."""

import json
import pathlib
import sys

FOLDER = pathlib.Path(__file__).parent
sys.path.append(str(FOLDER.parent / "jinja"))

from as_transformers import Refused, environment  # noqa: E402 (it is in another folder)


def main():
    made = environment()
    tokens = {"bos_token": "<s>", "eos_token": "</s>"}

    def all_texts(template, variables):
        for messages in conversations:
            for prompt in [True, False]:
                try:
                    yield template.render(messages=messages, add_generation_prompt=prompt, **variables)
                except Refused as refused:
                    yield {"refused": str(refused)}

    def text(template, variables):
        try:
            return template.render(**({"tools": None, "documents": None} | tokens | variables))
        except Exception:
            return None

    def write(name, results):
        (FOLDER / name).write_text(json.dumps(results, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    def read(path):
        return made.from_string(path.read_text(encoding="utf-8"))

    conversations = json.loads((FOLDER / "conversations.json").read_text(encoding="utf-8"))
    with_tools = json.loads((FOLDER / "with_tools.json").read_text(encoding="utf-8"))
    tool_texts = {}
    for path in sorted(FOLDER.glob("*.jinja")):
        template = read(path)
        write(f"{path.stem}.json", list(all_texts(template, tokens | {"tools": None, "documents": None})))
        tool_texts[path.stem] = [
            text(template, variables | {"add_generation_prompt": prompt}) for variables in with_tools for prompt in [True, False]
        ]
    write("with_tools.out.json", tool_texts)
    known = FOLDER.parents[2] / "src/text/templates"
    write("known.json", {path.stem: list(all_texts(read(path), tokens)) for path in sorted(known.glob("*.jinja"))})


main()
