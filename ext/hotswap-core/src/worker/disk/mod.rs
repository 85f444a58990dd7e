//! Writing files next to a live database without slowing down the application that uses the same disk.

pub(super) mod call;
pub(super) mod flusher;
pub(super) mod pipe;
pub(super) mod space;
pub(super) mod staged;
pub(super) mod writeback;
