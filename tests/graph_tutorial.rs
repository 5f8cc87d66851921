//! Does graphs/README.md tell of every op, and do its examples load?

use smallmind::load::syntax;
use smallmind::ops::table;

const README: &str = include_str!("../graphs/README.md");

#[test]
fn every_op_and_attribute_is_in_the_table() {
    let (_, ops) = README.split_once("## Ops").unwrap();
    for op in table() {
        let cell = format!("`{}`", op.name);
        let row = ops.lines().find(|line| {
            let first = line.trim_start_matches("| ").split(" | ").next();
            first.is_some_and(|first| first.contains(&cell))
        });
        let row = row.unwrap_or_else(|| panic!("{cell} has no row"));
        for attribute in op.attributes {
            let told = row.contains(&format!("`{}`", attribute.name)) || row.contains("as `Rope`");
            assert!(told, "{cell} does not tell of {}", attribute.name);
        }
    }
}

#[test]
fn the_first_step_of_the_tutorial_is_a_graph_file() {
    let (_, rest) = README.split_once("```ron\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    syntax::parse("olmo.ron", example).unwrap();
}
