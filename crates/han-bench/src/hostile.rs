//! `hostile`: the time to reject documents over the limits, compared with the smallest valid document.

use std::time::Instant;

use clap::Args;
use serde_json::json;

use crate::figure::{Figure, median};
use crate::target::Target;

/// Options of `hostile`.
#[derive(Args)]
pub(crate) struct Options {
    /// The number of requests of each kind.
    #[arg(long, default_value_t = 400)]
    requests: usize,
}

pub(crate) async fn run(options: Options) -> Figure {
    let target = Target::start("han_bench_hostile").await;
    let client = reqwest::Client::new();
    let deep = format!("{}__typename{}", "{ node(id: \"x\") ".repeat(200), "}".repeat(200));
    let wide: String = (0..2000).map(|n| format!("a{n}: __typename ")).collect();
    let one = json!({"query": "{ __typename }"});
    let bodies = [
        ("{ __typename }", one.to_string()),
        ("depth 200", json!({ "query": deep }).to_string()),
        ("2,000 aliases", json!({ "query": format!("{{ {wide} }}") }).to_string()),
        ("1,000 operations", serde_json::Value::Array(vec![one; 1000]).to_string()),
    ];
    let mut times = vec![Vec::with_capacity(options.requests); bodies.len()];
    // Alternate, so that load on the machine affects all kinds equally.
    for _ in 0..options.requests {
        for ((_, body), times) in bodies.iter().zip(&mut times) {
            let start = Instant::now();
            let response = client
                .post(format!("{}/graphql", target.url))
                .bearer_auth(&target.key)
                .header("content-type", "application/json")
                .body(body.clone())
                .send()
                .await
                .expect("the server answers");
            let text = response.text().await.expect("an answer");
            times.push(start.elapsed().as_secs_f64() * 1000.0);
            assert!(text.contains("LIMIT_EXCEEDED") || text.contains(r#"{"__typename":"Query"}"#), "{text}");
        }
    }
    let base = median(&times[0]);
    println!("{:>18} {:>9} {:>7}", "", "p50 ms", "ratio");
    let mut worst = 0f64;
    for ((name, _), times) in bodies.iter().zip(&times) {
        let p50 = median(times);
        println!("{name:>18} {p50:>9.2} {:>6.2}x", p50 / base);
        worst = worst.max(p50 / base);
    }
    Figure::at_most("hostile", worst, 3.0)
}
