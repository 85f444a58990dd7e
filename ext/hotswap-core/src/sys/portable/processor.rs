//! Whether the calling thread gets a processor: unknown.

/// How a thread has spent its time.
#[derive(Debug)]
pub struct Processor;

impl Processor {
    /// The processor time of the calling thread.
    pub fn of_this_thread() -> Self {
        Self
    }

    /// Whether the calling thread waited for a processor longer than it ran.
    pub fn is_awaited(&mut self) -> bool {
        false
    }
}
