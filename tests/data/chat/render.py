"""Writes NAME.json beside each NAME.jinja, and known.json for the templates that the library knows by name: what Jinja 3.1
makes of the conversations of conversations.json, set up as transformers sets it up for chat templates. And with_tools.out.json:
what the templates of this folder make of with_tools.json, or null where they fail. Needs the package jinja2."""

import datetime
import json
import pathlib

import jinja2
import jinja2.ext
import jinja2.sandbox

FOLDER = pathlib.Path(__file__).parent


class Generation(jinja2.ext.Extension):
    """{% generation %}, which marks what the assistant says."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_render"), [], [], body).set_lineno(line)

    def _render(self, caller):
        return caller()


class Refused(Exception):
    pass


def refuse(message):
    raise Refused(message)


def to_json(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def main():
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = datetime.datetime(2024, 7, 25, 23, 59, 59).strftime
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
        return environment.from_string(path.read_text(encoding="utf-8"))

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
