//! Room for datagrams. macOS sends none that is longer than 2 KB unless it is told to, and keeps 4 KB.

use std::os::unix::net::UnixDatagram;

use nix::sys::socket::sockopt::{RcvBuf, SndBuf};
use nix::sys::socket::{getsockopt, setsockopt, SetSockOpt};

/// Lets the socket send datagrams of up to `bytes`.
pub fn room_to_send(socket: &UnixDatagram, bytes: usize) {
    raise(socket, SndBuf, getsockopt(socket, SndBuf), bytes);
}

/// Lets the socket keep `bytes` that were not received yet.
pub fn room_to_receive(socket: &UnixDatagram, bytes: usize) {
    raise(socket, RcvBuf, getsockopt(socket, RcvBuf), bytes);
}

/// If the system has a lower limit, that limit stays.
fn raise(socket: &UnixDatagram, room: impl SetSockOpt<Val = usize>, has: nix::Result<usize>, bytes: usize) {
    if has.is_ok_and(|has| has < bytes) {
        let _ = setsockopt(socket, room, &bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_passes_that_was_too_long_before() {
        let (sender, receiver) = UnixDatagram::pair().unwrap();
        let long = vec![b'x'; 16 * 1024];
        setsockopt(&sender, SndBuf, &2048).unwrap();
        assert!(sender.send(&long).is_err());
        room_to_send(&sender, long.len());
        room_to_receive(&receiver, long.len());
        assert_eq!(sender.send(&long).unwrap(), long.len());
        assert_eq!(receiver.recv(&mut vec![0; long.len()]).unwrap(), long.len());
    }

    #[test]
    fn more_room_than_that_stays() {
        let (sender, _receiver) = UnixDatagram::pair().unwrap();
        setsockopt(&sender, SndBuf, &20_000).unwrap();
        let before = getsockopt(&sender, SndBuf).unwrap();
        room_to_send(&sender, 10_000);
        assert_eq!(getsockopt(&sender, SndBuf).unwrap(), before);
    }
}
