//! kube-proxy's flags of the log, which win over its file (semantics 10.06).

#![expect(clippy::doc_markdown, reason = "these comments are the help that users read")]

use clap::Args;
use clap::builder::BoolishValueParser;
use serde_json::Value;

use crate::config::GoDuration;
use crate::config::document::{FlushFrequency, Logging, OutputRouting, VerbosityOf};

/// The flags.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "The log")]
pub struct LoggingFlags {
    /// How much is logged: 4 and 5 for debugging, 6 and more to trace; $RUST_LOG goes before it [default: 0].
    #[arg(short = 'v', long = "v", value_name = "LEVEL")]
    pub v: Option<u32>,
    /// Other levels for single modules of kproxy, such as devices=4.
    #[arg(long, value_name = "MODULE=LEVEL,...", value_delimiter = ',')]
    pub vmodule: Option<Vec<VerbosityOf>>,
    /// text or json; --log-format goes before it.
    #[arg(long, value_name = "FORMAT")]
    pub logging_format: Option<String>,
    /// How often buffered lines are written; kproxy buffers none.
    #[arg(long, value_name = "DURATION", hide = true)]
    pub log_flush_frequency: Option<GoDuration>,
    /// Whether only errors go to standard error.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(), hide = true)]
    pub log_text_split_stream: Option<bool>,
    /// Bytes that may be held back.
    #[arg(long, value_name = "BYTES", hide = true)]
    pub log_text_info_buffer_size: Option<String>,
    /// Whether only errors go to standard error.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(), hide = true)]
    pub log_json_split_stream: Option<bool>,
    /// Bytes that may be held back.
    #[arg(long, value_name = "BYTES", hide = true)]
    pub log_json_info_buffer_size: Option<String>,
}

impl LoggingFlags {
    /// Puts them over what the file says; the lists of modules are joined, the flag's first.
    pub fn apply(&self, logging: &mut Logging) {
        let Self {
            v,
            vmodule,
            logging_format,
            log_flush_frequency,
            log_text_split_stream,
            log_text_info_buffer_size,
            log_json_split_stream,
            log_json_info_buffer_size,
        } = self.clone();
        logging.verbosity = v.unwrap_or(logging.verbosity);
        logging.vmodule.splice(..0, vmodule.into_iter().flatten());
        if let Some(format) = logging_format {
            logging.format = format;
        }
        if let Some(frequency) = log_flush_frequency {
            logging.flush_frequency = FlushFrequency::Duration(frequency);
        }
        let route = |routing: &mut OutputRouting, split: Option<bool>, size: Option<String>| {
            routing.split_stream = split.unwrap_or(routing.split_stream);
            routing.info_buffer_size = size.map_or(routing.info_buffer_size.take(), Value::from);
        };
        let options = &mut logging.options;
        route(
            &mut options.text,
            log_text_split_stream,
            log_text_info_buffer_size,
        );
        route(
            &mut options.json,
            log_json_split_stream,
            log_json_info_buffer_size,
        );
    }
}
