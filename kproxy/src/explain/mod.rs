//! What would happen to a packet, and why.
//!
//! The datapath library itself decides, on the maps of this node or on those that manifests lead to; nothing here knows
//! better than it. What is read out besides: the frontend that it found, all backends that it could have chosen, and the
//! names of things.
//!
//! * [`question`](Question), [`answer`](Answer): what is asked and answered
//! * [`explainer`](Explainer): from one to the other; `doors` runs the library, `replay` keeps its hands off the maps and
//!   notes what it looks at, `outcome` and `steps` put that into words
//! * [`offline`](Paper), [`live`]: where the maps come from
//! * [`cases`](answer_cases): many questions at once

mod answer;
mod cases;
mod doors;
mod explainer;
mod frame;
mod live;
mod names;
mod offline;
mod outcome;
mod question;
mod replay;
mod steps;
mod surroundings;

pub use answer::{Answer, ClientKind, FrontendKind, SourceAddress, Verdict};
pub use cases::{BadCases, answer_cases};
pub use explainer::Explainer;
pub use live::{LiveExplainer, live};
pub use names::Names;
pub use offline::{Paper, PaperExplainer, Worked};
pub use question::{Question, QuestionError, Sender, Target, Via};
pub use surroundings::Surroundings;
