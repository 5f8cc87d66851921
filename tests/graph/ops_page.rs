//! Does the page of ops agree with the table of ops?
//!
//! `SMALLMIND_BLESS=1 cargo test --release --test ops_page` writes the page again.

use std::fmt::Write;
use std::path::Path;

use smallmind::ops::{Arity, Attribute, Form, OpDef, table};

const HEAD: &str = "# Ops

Every op that a graph file can name, made from the ops table (`src/ops/`) by `tests/graph/ops_page.rs`, which also checks that this page is current.

`T` is the number of tokens in a step, `R` the number of tokens whose outputs are wanted, `S` the context so far. An operand in *italics* may be absent (`\"\"`). An attribute without a default must be given.

";

fn form(form: Form) -> &'static str {
    match form {
        Form::TensorOrInt8 => "f32 or int8 blocks, computed from the tokens",
        Form::Tensor => "f32, computed from the tokens",
        Form::Any => "f32: computed, a weight or a literal",
        Form::Constant => "a weight or literal",
        Form::Packed => "a weight [out, in]",
        Form::PackedOrTensor => "a weight [out, in], or f32 computed from the tokens",
        Form::Table => "a weight [rows, width]",
        Form::Ints => "i32: an input, or computed from tokens or positions",
        Form::AnyOrInts => "f32 or i32: computed, a weight or a literal",
    }
}

fn default(value: &Attribute, required: bool) -> String {
    match value {
        _ if required => "".to_string(),
        Attribute::Absent => "absent".to_string(),
        Attribute::Text(text) => text.to_string(),
        other => other.to_string(),
    }
}

fn section(page: &mut String, op: &OpDef) {
    writeln!(
        page,
        "## {}\n\n{}.\n",
        op.name,
        op.formula.trim_end_matches('.')
    )
    .unwrap();
    let many = match op.arity {
        Arity::Fixed => "",
        Arity::Variadic => " (one or more)",
        Arity::Segments => " (`segments` times, except for the first)",
    };
    let outputs: Vec<String> = op
        .outputs
        .iter()
        .map(|output| format!("`{output}`"))
        .collect();
    let inputs: Vec<String> = op
        .inputs
        .iter()
        .map(|input| match input.optional {
            true => format!("*{}* ({})", input.name, form(input.form)),
            false => format!("{} ({})", input.name, form(input.form)),
        })
        .collect();
    writeln!(
        page,
        "- operands{many}: {}\n- outputs: {}",
        inputs.join("; "),
        outputs.join(", ")
    )
    .unwrap();
    if !op.attributes.is_empty() {
        writeln!(
            page,
            "\n| attribute | is | default | |\n| --- | --- | --- | --- |"
        )
        .unwrap();
        for attribute in op.attributes {
            let (name, kind, doc) = (attribute.name, attribute.kind, attribute.doc);
            let default = default(&attribute.default, attribute.required);
            writeln!(page, "| `{name}` | {kind} | {default} | {doc} |").unwrap();
        }
    }
    page.push('\n');
}

#[test]
fn the_page_of_ops_is_current() {
    let mut page = HEAD.to_string();
    for op in table() {
        section(&mut page, op);
    }
    let page = page.trim_end().to_string() + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/guide/ops.md");
    if std::env::var_os("SMALLMIND_BLESS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "src/guide/ops.md is not what the ops table says: run with SMALLMIND_BLESS=1"
    );
}

#[test]
fn every_op_says_what_it_computes() {
    for op in table() {
        assert!(!op.formula.is_empty(), "{}", op.name);
        assert!(
            op.attributes
                .iter()
                .all(|attribute| !attribute.doc.is_empty()),
            "{}",
            op.name
        );
    }
}
