//! Prints as JSON what entering and leaving the gate costs, in nanoseconds: the median of several runs.

use std::hint::black_box;
use std::time::Instant;

use hotswap_core::gate::Gate;

const RUNS: usize = 9;
const PASSES: u32 = 1_000_000;

fn main() {
    let gate = Gate::new().expect("an eventfd");
    let alone = median(|| pass(&gate));
    let contended = median(|| {
        std::thread::scope(|scope| {
            let other = scope.spawn(|| pass(&gate));
            let here = pass(&gate);
            here.max(other.join().expect("the other thread"))
        })
    });
    println!(r#"{{"runs":{RUNS},"alone":{alone:.1},"contended":{contended:.1}}}"#);
}

fn pass(gate: &Gate) -> f64 {
    let began = Instant::now();
    for _ in 0..PASSES {
        let pass = black_box(gate).enter().expect("an open gate");
        gate.leave(black_box(&pass));
    }
    began.elapsed().as_nanos() as f64 / f64::from(PASSES)
}

fn median(mut run: impl FnMut() -> f64) -> f64 {
    let mut runs: Vec<f64> = (0..RUNS).map(|_| run()).collect();
    runs.sort_by(f64::total_cmp);
    runs[RUNS / 2]
}
