//! The platform's switches: which there are, what they are when nobody set them.

use std::sync::Arc;

use cfx_protocol::v3::feature_flag::FeatureFlagPatch;

use super::{Act, Refused};
use crate::state::feature_flag::FeatureFlag;
use crate::state::{Draft, State};

/// Names and defaults, as Cloud Foundry has them but for `diego_docker`.
pub const DEFAULTS: [(&str, bool); 19] = [
    ("app_bits_upload", true),
    ("app_scaling", true),
    ("diego_cnb", false),
    ("diego_docker", true),
    ("env_var_visibility", true),
    ("hash_based_routing", false),
    ("hide_marketplace_from_unauthenticated_users", false),
    ("private_domain_creation", true),
    ("resource_matching", true),
    ("route_creation", true),
    ("route_sharing", false),
    ("service_instance_creation", true),
    ("service_instance_sharing", false),
    ("set_roles_by_username", true),
    ("space_developer_env_var_visibility", true),
    ("space_scoped_private_broker_creation", true),
    ("task_creation", true),
    ("unset_roles_by_username", true),
    ("user_org_creation", false),
];

/// Longest message of an operator, characters.
const MESSAGE_MAX_CHARS: usize = 1_000;

/// A flag as it stands; none when there is no such flag.
#[must_use]
pub fn get(state: &State, name: &str) -> Option<FeatureFlag> {
    let (name, enabled) = DEFAULTS.iter().find(|(known, _)| *known == name)?;
    let set = state.get::<FeatureFlag>(&(*name).to_owned());
    Some(set.map_or_else(
        || FeatureFlag {
            name: (*name).to_owned(),
            enabled: *enabled,
            custom_error_message: None,
            updated_at: jiff::Timestamp::UNIX_EPOCH,
        },
        |flag| FeatureFlag::clone(flag),
    ))
}

#[must_use]
pub fn is_enabled(state: &State, name: &str) -> bool {
    get(state, name).is_some_and(|flag| flag.enabled)
}

/// Refuse what an operator has switched off. Administrators are not bound: do not ask for them.
pub fn require(state: &State, name: &str) -> Result<(), Refused> {
    match get(state, name) {
        Some(flag) if !flag.enabled => {
            let text = flag.custom_error_message.unwrap_or_else(|| name.to_owned());
            Err(Refused::FeatureDisabled(text))
        }
        _ => Ok(()),
    }
}

pub fn update(
    draft: &mut Draft,
    act: &Act<'_>,
    name: &str,
    patch: FeatureFlagPatch,
) -> Result<Arc<FeatureFlag>, Refused> {
    let mut flag = get(draft, name).ok_or(Refused::NotFound("Feature flag"))?;
    if let Some(enabled) = patch.enabled {
        flag.enabled = enabled;
    }
    if let Some(message) = patch.custom_error_message {
        if message
            .as_ref()
            .is_some_and(|text| text.chars().count() > MESSAGE_MAX_CHARS)
        {
            return Err(Refused::Unprocessable(format!(
                "Custom error message is too long (maximum is {MESSAGE_MAX_CHARS} characters)"
            )));
        }
        flag.custom_error_message = message;
    }
    flag.updated_at = act.now;
    Ok(draft.put(flag))
}
