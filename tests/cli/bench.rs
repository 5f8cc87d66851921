//! Does `smallmind bench` print the rows that were asked for?

use serde_json::Value;

use super::{json, output, stdout};

#[test]
fn bench_rows_have_the_columns_of_llama_bench() {
    let arguments = [
        "-p",
        "8,0",
        "-n",
        "4",
        "-t",
        "1,2",
        "-r",
        "2",
        "-o",
        "json",
        "--without",
        "in_place,gate",
        "--isa",
        "scalar",
    ];
    let rows = json(["bench", "-m", "demo"].iter().chain(&arguments));
    let rows = rows.as_array().unwrap();
    let tests: Vec<[u64; 3]> = rows
        .iter()
        .map(|row| ["n_threads", "n_prompt", "n_gen"].map(|name| row[name].as_u64().unwrap()))
        .collect();
    assert_eq!(tests, [[1, 8, 0], [1, 0, 4], [2, 8, 0], [2, 0, 4]]);
    for row in rows {
        assert_eq!(
            (&row["model"], &row["isa"]),
            (&Value::from("demo"), &Value::from("scalar"))
        );
        assert_eq!(row["passes_off"], serde_json::json!(["in_place", "gate"]));
        let samples: Vec<f64> = row["samples_ts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|x| x.as_f64().unwrap())
            .collect();
        let (mean, half) = (
            (samples[0] + samples[1]) / 2.0,
            (samples[0] - samples[1]).abs() / 2.0,
        );
        assert!((row["avg_ts"].as_f64().unwrap() / mean - 1.0).abs() < 1e-9);
        assert!((row["stddev_ts"].as_f64().unwrap() - half * 2f64.sqrt()).abs() < 1e-6 * mean);
    }
}

#[test]
fn bench_prints_tables() {
    let table = stdout(["bench", "-p", "8", "-n", "0", "-r", "1"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert_eq!(
        lines[0],
        "| model | size | params | isa | threads | test | t/s |"
    );
    assert!(
        lines[2].starts_with("| demo | 1.76 MiB | 0.46 M | ") && lines[2].contains(" | pp8 | "),
        "{table}"
    );
    let csv = stdout(["bench", "-p", "0", "-n", "4", "-r", "1", "-o", "csv"]);
    assert_eq!(csv.lines().count(), 2, "{csv}");
}

#[test]
fn bench_rows_state_activations_and_weights_and_tables_only_chosen_ones() {
    let bench = ["bench", "-p", "8", "-n", "0", "-r", "1"];
    let chosen = ["--activations", "f32", "--weights", "q8_0"];
    let options = |arguments: &[&str]| {
        let rows = json(bench.iter().chain(arguments).chain(&["-o", "json"]));
        ["activations", "weights"].map(|name| rows[0][name].clone())
    };
    assert_eq!(options(&[]), [Value::from("int8"), Value::Null]);
    assert_eq!(options(&chosen), ["f32", "q8_0"].map(Value::from));

    let csv = stdout(bench.iter().chain(&chosen).chain(&["-o", "csv"]));
    let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    for (name, value) in [("activations", "\"f32\""), ("weights", "\"q8_0\"")] {
        let column = lines[0].iter().position(|&head| head == name).unwrap();
        assert_eq!(lines[1][column], value, "{csv}");
    }

    let head = "| model | size | params | isa | threads | ";
    for (arguments, columns, value) in [
        (&chosen[..2], "activations | ", " | f32 | pp8 | "),
        (&chosen[2..], "weights | ", " | q8_0 | pp8 | "),
        (
            &chosen,
            "activations | weights | ",
            " | f32 | q8_0 | pp8 | ",
        ),
    ] {
        let table = stdout(bench.iter().chain(arguments));
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0], format!("{head}{columns}test | t/s |"));
        assert!(lines[2].contains(value), "{table}");
        let bars = |line: &str| line.matches('|').count();
        assert_eq!(bars(lines[1]), bars(lines[0]), "{table}");
    }
}

#[test]
fn bench_repeats_what_the_context_cannot_hold() {
    let output = output(["bench", "-p", "300", "-n", "0", "-r", "1", "-o", "json"]);
    assert!(output.status.success());
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("the context has 256 positions")
    );
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rows[0]["n_prompt"], 300);
}

#[test]
fn bench_runs_sequences_side_by_side_in_the_columns_of_llama_batched_bench() {
    let arguments = ["bench", "demo", "-p", "20", "-n", "3", "-r", "1", "-t", "1"];
    let more = ["--parallel", "1,4", "-o", "json"];
    let rows = json(arguments.iter().chain(&more));
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for (row, pl) in rows.iter().zip([1, 4]) {
        let numbers = ["pp", "tg", "pl", "n_kv"].map(|name| row[name].as_u64().unwrap());
        assert_eq!(numbers, [20, 3, pl, pl * 23]);
        let times = ["t_pp", "t_tg", "t"].map(|name| row[name].as_f64().unwrap());
        assert_eq!(times[0] + times[1], times[2]);
        let rates = ["speed_pp", "speed_tg", "speed"].map(|name| row[name].as_f64().unwrap());
        let tokens = [20 * pl, 3 * pl, 23 * pl];
        for ((rate, time), tokens) in rates.iter().zip(times).zip(tokens) {
            assert!((rate * time / tokens as f64 - 1.0).abs() < 1e-9);
        }
    }
    let table = stdout(arguments.iter().chain(&["--parallel", "2"]));
    assert_eq!(table.lines().count(), 3, "{table}");
    let refused = super::failure(["bench", "demo", "-p", "0", "--parallel", "2"]);
    assert!(refused.contains("must not be 0"), "{refused}");
}

#[test]
fn bench_reads_batches_of_prompts_with_encoders() {
    let bert = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/bert");
    let arguments = [
        "bench", "-m", bert, "-p", "16,40", "-r", "1", "--chunk", "100",
    ];
    let rows = json(arguments.iter().chain(&["--batch", "5", "-o", "json"]));
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for (row, prompt) in rows.iter().zip([16, 40]) {
        let [tokens, batch] =
            ["n_prompt", "n_batch_prompts"].map(|name| row[name].as_u64().unwrap());
        assert_eq!((tokens, batch, &row["n_gen"]), (prompt, 5, &Value::from(0)));
        let seconds = row["samples_ns"][0].as_f64().unwrap() / 1e9;
        let rate = row["samples_ts"][0].as_f64().unwrap();
        assert!((rate * seconds / (5.0 * prompt as f64) - 1.0).abs() < 1e-9);
    }
    let table = stdout(["bench", "-m", bert, "-p", "8", "-r", "1", "--batch", "3"]);
    assert!(table.contains(" | pp8×3 | "), "{table}");
    let refused = super::failure([
        "bench", "-m", "demo", "-p", "8", "--batch", "2", "-o", "json",
    ]);
    assert!(refused.contains("reads texts token by token"), "{refused}");
}
