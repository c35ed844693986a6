//! Runs scenarios by their seeds.

use milvus_coord::election::rules::Rules;
use milvus_coord_sim::scenario::run::{Script, run};

fn main() {
    let seed = std::env::args().nth(1).and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let script = Script::draw(seed, Rules::default());
    let begin = std::time::Instant::now();
    let report = run(&script);
    for line in &report.trace {
        println!("{line}");
    }
    println!("{:?}", script.stage);
    println!(
        "{:?} terms {} faults {} calls {} answered {} digest {:x} in {:?}",
        report.violation,
        report.terms,
        report.faults,
        report.calls,
        report.answered,
        report.digest,
        begin.elapsed()
    );
}
