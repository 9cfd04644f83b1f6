//! Who may do what: the one table. Rows are what is done, columns are who does it.
//!
//! Handlers ask `Access` (access.rs); nothing else in the controller decides about rights.

/// Columns of the table, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Holders(u16);

impl Holders {
    pub(crate) const ADMIN: Self = Self(1);
    pub(crate) const ADMIN_READ_ONLY: Self = Self(1 << 1);
    pub(crate) const GLOBAL_AUDITOR: Self = Self(1 << 2);
    pub(crate) const ORG_MANAGER: Self = Self(1 << 3);
    pub(crate) const ORG_AUDITOR: Self = Self(1 << 4);
    pub(crate) const ORG_BILLING: Self = Self(1 << 5);
    pub(crate) const ORG_USER: Self = Self(1 << 6);
    pub(crate) const SPACE_MANAGER: Self = Self(1 << 7);
    pub(crate) const SPACE_DEVELOPER: Self = Self(1 << 8);
    pub(crate) const SPACE_AUDITOR: Self = Self(1 << 9);
    pub(crate) const SPACE_SUPPORTER: Self = Self(1 << 10);

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    const fn column(index: usize, holds: bool) -> Self {
        Self((holds as u16) << index)
    }
}

macro_rules! holds {
    (Y) => {
        true
    };
    (n) => {
        false
    };
}

macro_rules! permissions {
    ($($kind:ident $action:ident: $($cell:ident)+;)+) => {
        /// What a caller wants to do to something.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Action {
            $($action,)+
        }

        impl Action {
            #[cfg(test)]
            pub(crate) const ALL: &'static [Action] = &[$(Action::$action,)+];

            /// Who may.
            pub(crate) const fn holders(self) -> Holders {
                match self {
                    $(Self::$action => {
                        let cells = [$(holds!($cell)),+];
                        assert!(cells.len() == 11);
                        let mut holders = Holders(0);
                        let mut index = 0;
                        while index < cells.len() {
                            holders = holders.with(Holders::column(index, cells[index]));
                            index += 1;
                        }
                        holders
                    })+
                }
            }

            /// A refused read answers as if there were nothing; a refused write is forbidden.
            pub(crate) const fn is_read(self) -> bool {
                match self {
                    $(Self::$action => kind!($kind),)+
                }
            }
        }
    };
}

macro_rules! kind {
    (see) => {
        true
    };
    (do_) => {
        false
    };
}

permissions! {
//  what is done                  admin        | organization           | space
//                                all ro audit   mgr aud bill user        mgr dev aud supp
    see OrganizationRead:         Y   Y  Y       Y   Y   Y    Y           n   n   n   n;
    do_ OrganizationCreate:       Y   n  n       n   n   n    n           n   n   n   n;
    do_ OrganizationUpdate:       Y   n  n       Y   n   n    n           n   n   n   n;
    do_ OrganizationSuspend:      Y   n  n       n   n   n    n           n   n   n   n;
    do_ OrganizationDelete:       Y   n  n       n   n   n    n           n   n   n   n;
    do_ OrganizationRoleWrite:    Y   n  n       Y   n   n    n           n   n   n   n;
    see SpaceRead:                Y   Y  Y       Y   n   n    n           Y   Y   Y   Y;
    do_ SpaceCreate:              Y   n  n       Y   n   n    n           n   n   n   n;
    do_ SpaceUpdate:              Y   n  n       Y   n   n    n           Y   n   n   n;
    do_ SpaceDelete:              Y   n  n       Y   n   n    n           n   n   n   n;
    do_ SpaceRoleWrite:           Y   n  n       Y   n   n    n           Y   n   n   n;
    see DomainRead:               Y   Y  Y       Y   Y   n    n           Y   Y   Y   Y;
    do_ DomainPrivateWrite:       Y   n  n       Y   n   n    n           n   n   n   n;
    do_ DomainSharedWrite:        Y   n  n       n   n   n    n           n   n   n   n;
    see AppRead:                  Y   Y  Y       Y   n   n    n           Y   Y   Y   Y;
    see AppSecretsRead:           Y   Y  n       n   n   n    n           n   Y   n   n;
    do_ AppWrite:                 Y   n  n       n   n   n    n           n   Y   n   n;
    do_ AppManage:                Y   n  n       n   n   n    n           n   Y   n   Y;
    see RouteRead:                Y   Y  Y       Y   n   n    n           Y   Y   Y   Y;
    do_ RouteWrite:               Y   n  n       n   n   n    n           n   Y   n   Y;
    see ServiceRead:              Y   Y  Y       Y   n   n    n           Y   Y   Y   Y;
    see ServiceSecretsRead:       Y   Y  n       n   n   n    n           n   Y   n   n;
    do_ ServiceWrite:             Y   n  n       n   n   n    n           n   Y   n   n;
    do_ ServiceBind:              Y   n  n       n   n   n    n           n   Y   n   Y;
    see AuditEventRead:           Y   Y  Y       n   Y   n    n           n   Y   Y   Y;
    see PlatformRead:             Y   Y  Y       n   n   n    n           n   n   n   n;
    do_ PlatformWrite:            Y   n  n       n   n   n    n           n   n   n   n;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_may_do_everything_and_those_who_only_read_nothing_but_read() {
        for action in Action::ALL {
            assert!(action.holders().meets(Holders::ADMIN), "{action:?}");
            if !action.is_read() {
                let readers = Holders::ADMIN_READ_ONLY.with(Holders::GLOBAL_AUDITOR);
                assert!(!action.holders().meets(readers), "{action:?}");
                let auditors = Holders::ORG_AUDITOR
                    .with(Holders::ORG_BILLING)
                    .with(Holders::ORG_USER)
                    .with(Holders::SPACE_AUDITOR);
                assert!(!action.holders().meets(auditors), "{action:?}");
            }
        }
    }

    #[test]
    fn an_auditor_never_sees_secrets() {
        for action in [Action::AppSecretsRead, Action::ServiceSecretsRead] {
            let auditors = Holders::GLOBAL_AUDITOR
                .with(Holders::ORG_AUDITOR)
                .with(Holders::SPACE_AUDITOR);
            assert!(!action.holders().meets(auditors));
        }
    }
}
