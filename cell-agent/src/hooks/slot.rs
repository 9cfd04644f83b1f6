//! Fourth step: the folder through which agent and launcher speak. It lies on the volume.

use super::{HookError, Made};
use crate::slot::Slot;

pub(super) async fn make(made: &Made) -> Result<(), HookError> {
    Slot::create(made.disk()?.slot.clone(), made.user)?;
    Ok(())
}
