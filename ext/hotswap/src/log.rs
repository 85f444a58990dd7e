//! Passes the core's `tracing` events to the application's logger, and what commands did to its subscribers, through
//! the mailbox.

use std::fmt::{Debug, Write};
use std::sync::Once;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::runtime;

/// Lines for the log.
const LINES: &str = "hotswap";
/// What commands did, as JSON.
const EVENTS: &str = "hotswap::event";

struct ToMailbox;

/// Installs the subscriber, once for a process and its children.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    // If another extension of the application has installed a subscriber, that one stays, and gets hotswap's events,
    // too.
    ONCE.call_once(|| drop(tracing::subscriber::set_global_default(ToMailbox)));
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            // Writing to a String cannot fail.
            let _ = write!(self.0, "{value:?}");
        }
    }
}

impl Subscriber for ToMailbox {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && [LINES, EVENTS].contains(&metadata.target())
    }

    fn event(&self, event: &Event<'_>) {
        let Some(runtime) = runtime::existing() else {
            return;
        };
        let mut message = Message(String::new());
        event.record(&mut message);
        if event.metadata().target() == EVENTS {
            return runtime.mailbox.event(message.0);
        }
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            _ => "debug",
        };
        runtime.mailbox.log(level, message.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
