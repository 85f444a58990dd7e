//! Writing files beside a live database without slowing down the application that uses the same disk.

pub mod call;
pub mod flusher;
pub mod pipe;
pub mod space;
pub mod staged;
pub mod writeback;
