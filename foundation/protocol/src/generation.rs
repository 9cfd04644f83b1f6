//! The token that stamps every command and every table. Receivers refuse older ones.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::ClusterGuid;

/// Where a controller stood when it said something.
///
/// Invariant: `(epoch, revision)` of one cluster only grows. The epoch is a durable boot counter
/// (sled) or the leader key's create-revision (etcd); a restore raises it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub cluster: ClusterGuid,
    pub epoch: u64,
    pub revision: u64,
}

/// Why a receiver does not follow a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("it comes from another cluster, {offered}; this one follows {followed}")]
    OtherCluster {
        offered: ClusterGuid,
        followed: ClusterGuid,
    },
    #[error("it is older than what was followed before")]
    Older,
}

impl Token {
    /// May a receiver that last followed `self` follow `offered`? Equal is allowed: the same
    /// table may be sent again.
    pub fn admit(self, offered: Token) -> Result<(), Refused> {
        if offered.cluster != self.cluster {
            return Err(Refused::OtherCluster {
                offered: offered.cluster,
                followed: self.cluster,
            });
        }
        if (offered.epoch, offered.revision) < (self.epoch, self.revision) {
            return Err(Refused::Older);
        }
        Ok(())
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.revision)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn token(cluster: u128, epoch: u64, revision: u64) -> Token {
        Token {
            cluster: ClusterGuid(Uuid::from_u128(cluster)),
            epoch,
            revision,
        }
    }

    #[test]
    fn an_older_token_is_refused_and_a_newer_epoch_wins_over_any_revision() {
        let followed = token(1, 2, 50);
        assert_eq!(followed.admit(token(1, 2, 50)), Ok(()));
        assert_eq!(followed.admit(token(1, 2, 51)), Ok(()));
        assert_eq!(followed.admit(token(1, 3, 1)), Ok(()));
        assert_eq!(followed.admit(token(1, 2, 49)), Err(Refused::Older));
        assert_eq!(followed.admit(token(1, 1, 900)), Err(Refused::Older));
        assert!(matches!(
            followed.admit(token(9, 9, 9)),
            Err(Refused::OtherCluster { .. })
        ));
    }
}
