//! What the end of a connection, or its not coming about, says of the peer.
//!
//! Only two things speak of a dead process: the kernel on the other side ended an
//! established connection, and it refuses new ones. Whatever can also happen to a
//! living peer (a time-out of ours, no route, no free descriptor here, a name that
//! can't be looked up) is silence, and so is everything that is not understood.

use std::{fmt, io};

/// How a connection ended, or an attempt to make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ended {
    /// The peer reset or closed a connection on which it had spoken.
    ByPeer,
    /// The peer refused a new connection, or ended it before its first byte.
    Refused,
    /// This side closed it right after the peer had spoken: it said goodbye in good order.
    Farewell,
    /// Nothing that the peer did.
    Silent(Silence),
}

/// Why nothing is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Silence {
    /// Nothing came in time.
    Timeout,
    /// The network says that there is no way.
    Unreachable,
    /// Own lack of something, own decision, or not understood.
    Other,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ByPeer => "ended by the peer",
            Self::Refused => "refused",
            Self::Farewell => "closed in good order",
            Self::Silent(Silence::Timeout) => "no answer in time",
            Self::Silent(Silence::Unreachable) => "unreachable",
            Self::Silent(Silence::Other) => "ended here",
        })
    }
}

impl Ended {
    /// An attempt to connect ended with this.
    pub fn of_dial(kind: io::ErrorKind) -> Self {
        match kind {
            // A peer that answers the handshake and then resets or closes refuses, too.
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::UnexpectedEof => Self::Refused,
            kind => Self::Silent(silence(kind)),
        }
    }

    /// An established connection ended with this; the peer's FIN shows as `UnexpectedEof`.
    pub fn of_stream(kind: io::ErrorKind) -> Self {
        match kind {
            io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => Self::ByPeer,
            kind => Self::Silent(silence(kind)),
        }
    }
}

fn silence(kind: io::ErrorKind) -> Silence {
    match kind {
        io::ErrorKind::TimedOut => Silence::Timeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => {
            Silence::Unreachable
        }
        _ => Silence::Other,
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    const OTHER: Ended = Ended::Silent(Silence::Other);
    const TIMEOUT: Ended = Ended::Silent(Silence::Timeout);
    const UNREACHABLE: Ended = Ended::Silent(Silence::Unreachable);

    #[test]
    fn what_the_operating_system_says() {
        let table = [
            (Errno::ECONNREFUSED, Ended::Refused, OTHER),
            (Errno::ECONNRESET, Ended::Refused, Ended::ByPeer),
            (Errno::ETIMEDOUT, TIMEOUT, TIMEOUT),
            (Errno::EHOSTUNREACH, UNREACHABLE, UNREACHABLE),
            (Errno::ENETUNREACH, UNREACHABLE, UNREACHABLE),
            (Errno::ENETDOWN, UNREACHABLE, UNREACHABLE),
            (Errno::EMFILE, OTHER, OTHER),
            (Errno::ENFILE, OTHER, OTHER),
            (Errno::EADDRNOTAVAIL, OTHER, OTHER),
            (Errno::ENOBUFS, OTHER, OTHER),
            (Errno::ECONNABORTED, OTHER, OTHER),
            (Errno::EPIPE, OTHER, OTHER),
            (Errno::EPERM, OTHER, OTHER),
            (Errno::EACCES, OTHER, OTHER),
            (Errno::EINVAL, OTHER, OTHER),
        ];
        for (errno, at_dial, on_stream) in table {
            let kind = io::Error::from_raw_os_error(errno as i32).kind();
            assert_eq!(Ended::of_dial(kind), at_dial, "{errno} while connecting");
            assert_eq!(Ended::of_stream(kind), on_stream, "{errno} on a connection");
        }
    }
}
