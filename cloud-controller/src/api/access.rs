//! What one caller holds, and what of it follows for organisations and spaces.

use std::collections::BTreeMap;

use cfx_protocol::id::{OrgGuid, SpaceGuid};

use super::permission::{Action, Holders};
use crate::auth::Caller;
use crate::state::organization::Organization;
use crate::state::role::{RoleAssignment, RoleTarget, RoleType};
use crate::state::space::Space;
use crate::state::{Link, State};

/// Where something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Platform,
    Organization(OrgGuid),
    Space(SpaceGuid),
}

/// All that a caller holds at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Access {
    everywhere: Holders,
    organizations: BTreeMap<OrgGuid, Holders>,
    spaces: BTreeMap<SpaceGuid, Holders>,
}

impl Access {
    pub(crate) fn of(caller: &Caller, state: &State) -> Self {
        let mut access = Self::default();
        for (scope, holder) in [
            ("cloud_controller.admin", Holders::ADMIN),
            ("cloud_controller.admin_read_only", Holders::ADMIN_READ_ONLY),
            ("cloud_controller.global_auditor", Holders::GLOBAL_AUDITOR),
        ] {
            if caller.has_scope(scope) {
                access.everywhere = access.everywhere.with(holder);
            }
        }
        for role in state.linked::<RoleAssignment>(Link::RolesOf(caller.guid.0)) {
            let held = match role.target {
                RoleTarget::Organization(guid) => access.organizations.entry(guid).or_default(),
                RoleTarget::Space(guid) => access.spaces.entry(guid).or_default(),
            };
            *held = held.with(holder(role.role));
        }
        access
    }

    pub(crate) fn is_admin(&self) -> bool {
        self.everywhere.meets(Holders::ADMIN)
    }

    pub(crate) fn reads_everything(&self) -> bool {
        Action::PlatformRead.holders().meets(self.everywhere)
    }

    /// May it be done there? Knows nothing of suspension.
    pub(crate) fn allows(&self, state: &State, action: Action, scope: Scope) -> bool {
        action.holders().meets(self.holds(state, scope))
    }

    fn holds(&self, state: &State, scope: Scope) -> Holders {
        let in_organization =
            |guid: &OrgGuid| self.organizations.get(guid).copied().unwrap_or_default();
        let there = match scope {
            Scope::Platform => Holders::default(),
            Scope::Organization(guid) => in_organization(&guid),
            Scope::Space(guid) => {
                let here = self.spaces.get(&guid).copied().unwrap_or_default();
                match state.get::<Space>(&guid) {
                    Some(space) => here.with(in_organization(&space.organization)),
                    None => here,
                }
            }
        };
        self.everywhere.with(there)
    }
}

/// Is the organisation, or that of the space, suspended?
pub(crate) fn is_suspended(state: &State, scope: Scope) -> bool {
    let organization = match scope {
        Scope::Platform => None,
        Scope::Organization(guid) => Some(guid),
        Scope::Space(guid) => state.get::<Space>(&guid).map(|space| space.organization),
    };
    organization
        .and_then(|guid| state.get::<Organization>(&guid))
        .is_some_and(|organization| organization.suspended)
}

fn holder(role: RoleType) -> Holders {
    match role {
        RoleType::OrganizationUser => Holders::ORG_USER,
        RoleType::OrganizationAuditor => Holders::ORG_AUDITOR,
        RoleType::OrganizationManager => Holders::ORG_MANAGER,
        RoleType::OrganizationBillingManager => Holders::ORG_BILLING,
        RoleType::SpaceAuditor => Holders::SPACE_AUDITOR,
        RoleType::SpaceDeveloper => Holders::SPACE_DEVELOPER,
        RoleType::SpaceManager => Holders::SPACE_MANAGER,
        RoleType::SpaceSupporter => Holders::SPACE_SUPPORTER,
    }
}
