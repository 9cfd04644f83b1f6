//! Identifiers. Each kind of thing has its own type, so that an app's guid can never be handed
//! to a function that wants a space's. New ids come from `process::entropy::IdSource`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The text is not a guid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a guid: expected 8-4-4-4-12 hexadecimal digits")]
pub struct InvalidGuid(pub String);

macro_rules! guids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// The all-zero guid, for tests and for "nobody".
            pub const NIL: Self = Self(Uuid::nil());
        }

        impl From<Uuid> for $name {
            fn from(guid: Uuid) -> Self {
                Self(guid)
            }
        }

        impl FromStr for $name {
            type Err = InvalidGuid;

            fn from_str(text: &str) -> Result<Self, InvalidGuid> {
                // Only the hyphenated form: `uuid` accepts others, which would give one thing
                // several names.
                if text.len() != 36 {
                    return Err(InvalidGuid(text.chars().take(64).collect()));
                }
                Uuid::try_parse(text)
                    .map(Self)
                    .map_err(|_| InvalidGuid(text.chars().take(64).collect()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    )+};
}

guids! {
    /// An organisation: the tenant.
    OrgGuid,
    /// A space inside an organisation.
    SpaceGuid,
    /// A user, or the client of a client-credentials token.
    UserGuid,
    /// A role assignment.
    RoleGuid,
    /// An app.
    AppGuid,
    /// A process of an app: `web`, `worker`, ...
    ProcessGuid,
    /// An uploaded source, or a reference to a docker image.
    PackageGuid,
    /// One attempt to stage a package.
    BuildGuid,
    /// What staging made: the thing that runs.
    DropletGuid,
    /// A rolling replacement of an app's instances.
    DeploymentGuid,
    /// A one-off run of a command.
    TaskGuid,
    /// A route: host, domain, path.
    RouteGuid,
    /// What a route points at: a process type and port of an app.
    DestinationGuid,
    /// A domain that routes live under.
    DomainGuid,
    /// An asynchronous operation of the API.
    JobGuid,
    /// An audit event.
    EventGuid,
    /// A buildpack.
    BuildpackGuid,
    /// A stack: a root file system.
    StackGuid,
    /// A service instance, user-provided or managed.
    ServiceInstanceGuid,
    /// A binding of a service instance to an app.
    ServiceBindingGuid,
    /// A quota of an organisation or a space.
    QuotaGuid,
    /// A security group.
    SecurityGroupGuid,
    /// An assignment: one instance index of one process on one cell. It owns one address and
    /// outlives local crash restarts.
    AssignmentGuid,
    /// One start of one instance. A crash restart has a new one.
    InstanceGuid,
    /// A cell: one agent on one machine.
    CellGuid,
    /// A router.
    RouterGuid,
    /// One installation of the platform: every token carries it.
    ClusterGuid,
}

impl AssignmentGuid {
    /// The guid of the `start`-th start of this assignment. Derived, so that a cell that no
    /// controller answers can restart an instance under a new name that everybody agrees on.
    #[must_use]
    pub fn instance(self, start: u32) -> InstanceGuid {
        if start == 0 {
            return InstanceGuid(self.0);
        }
        InstanceGuid(Uuid::new_v5(&self.0, &start.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hyphenated_form_is_a_guid() {
        let text = "6f1f33a4-5a04-4d9c-b9b2-b6a3a7c0a001";
        assert_eq!(
            text.parse::<AppGuid>().expect("hyphenated").to_string(),
            text
        );
        for wrong in [
            "",
            "6f1f33a45a044d9cb9b2b6a3a7c0a001",
            "{6f1f33a4-5a04-4d9c-b9b2-b6a3a7c0a001}",
            "../../etc/passwd",
        ] {
            assert!(wrong.parse::<AppGuid>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_start_of_an_assignment_has_its_own_guid() {
        let assignment = AssignmentGuid(Uuid::from_u128(7));
        assert_eq!(assignment.instance(0).0, assignment.0);
        assert_ne!(assignment.instance(1), assignment.instance(2));
        assert_eq!(assignment.instance(3), assignment.instance(3));
    }
}
