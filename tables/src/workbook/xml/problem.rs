//! Why XML is rejected.

use crate::error::Fault;

/// Why XML is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    LimitExceeded(&'static str),
    Malformed(&'static str),
    NotUtf8,
    Dtd,
}

impl Problem {
    pub(super) fn in_part(self, part: &str) -> Fault {
        match self {
            Self::LimitExceeded(what) => Fault::TooLarge(format!("part {part} has {what}")),
            Self::Malformed(how) => Fault::Damaged(format!("part {part} {how}")),
            Self::NotUtf8 => Fault::Damaged(format!("part {part} is not UTF-8")),
            Self::Dtd => Fault::Dtd { part: part.to_owned() },
        }
    }
}
