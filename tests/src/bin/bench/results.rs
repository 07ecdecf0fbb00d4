//! Everything that is known after a run, as results.json has it.

use serde::Serialize;
use serde_json::{Value, json};

use crate::bounds::Bound;
use crate::machine::Machine;
use crate::samples::{Samples, Spread};

/// A contender that could not be measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LeftOut {
    pub(crate) what: String,
    pub(crate) reason: String,
}

/// A finished run.
#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) plan: &'static str,
    pub(crate) rounds: u32,
    pub(crate) seconds: f64,
    pub(crate) machine: Machine,
    pub(crate) samples: Samples,
    pub(crate) left_out: Vec<LeftOut>,
    pub(crate) bounds: Vec<Bound>,
}

impl Results {
    pub(crate) fn json(&self) -> Value {
        let Self {
            plan,
            rounds,
            seconds,
            machine,
            samples,
            left_out,
            bounds,
        } = self;
        let sample = |(subject, values): (&crate::samples::Subject, &[f64])| {
            let spread = Spread::of(values);
            json!({
                "metric": subject.metric,
                "unit": subject.metric.unit(),
                "services": subject.services,
                "name": subject.name,
                "least": spread.map(|it| it.least),
                "median": spread.map(|it| it.median),
                "most": spread.map(|it| it.most),
                "samples": values,
            })
        };
        json!({
            "format": 1,
            "plan": plan,
            "rounds": rounds,
            "seconds": seconds,
            "machine": machine,
            "measured": samples.all().map(sample).collect::<Vec<_>>(),
            "left_out": left_out,
            "bounds": bounds,
        })
    }
}
