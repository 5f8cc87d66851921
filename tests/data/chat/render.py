"""Writes NAME.json beside each NAME.jinja: what Jinja 3.1 makes of the conversations of conversations.json, set up as
transformers sets it up for chat templates. Needs the package jinja2."""

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


def main():
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = lambda x, indent=None: json.dumps(x, ensure_ascii=False, indent=indent)
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = datetime.datetime(2024, 7, 25, 23, 59, 59).strftime
    conversations = json.loads((FOLDER / "conversations.json").read_text(encoding="utf-8"))
    for path in sorted(FOLDER.glob("*.jinja")):
        template = environment.from_string(path.read_text())
        results = []
        for messages in conversations:
            for prompt in [True, False]:
                try:
                    results.append(
                        template.render(
                            messages=messages, add_generation_prompt=prompt, tools=None, documents=None,
                            bos_token="<s>", eos_token="</s>",
                        )
                    )
                except Refused as refused:
                    results.append({"refused": str(refused)})
        path.with_suffix(".json").write_text(json.dumps(results, ensure_ascii=False, indent=1) + "\n")


main()
