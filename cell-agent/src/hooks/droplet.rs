//! First step: what the instance is to run. A droplet from the cache, the inputs of a staging, or
//! a docker image.

use cfx_protocol::desired::{Root, Work};

use super::{HookError, Made, Order, Tools, ports};

pub(super) async fn make(tools: &Tools, order: &Order, made: &mut Made) -> Result<(), HookError> {
    match &order.spec.root {
        Root::Image {
            reference,
            username,
            password,
        } => {
            let credentials = username.as_deref().zip(password.as_deref());
            made.image = Some(tools.runtime.image(reference, credentials).await?);
        }
        Root::Stack {
            droplet: Some(droplet),
            ..
        } => {
            made.droplet = Some(tools.droplets.pin(order.name(), droplet).await?);
        }
        Root::Stack { droplet: None, .. } => {}
    }
    if let Work::Staging(work) = &order.spec.work {
        tools
            .stager
            .fetch(order.name(), &order.spec.owner, work)
            .await?;
    }
    made.ports = ports(&order.spec, made.image.as_ref());
    Ok(())
}

/// The same for a start that runs already: nothing is downloaded.
pub(super) async fn find(tools: &Tools, order: &Order, made: &mut Made) -> Result<(), HookError> {
    match &order.spec.root {
        Root::Image { reference, .. } => {
            made.image = Some(tools.runtime.image(reference, None).await?);
        }
        Root::Stack {
            droplet: Some(droplet),
            ..
        } => {
            tools.droplets.pin_adopted(order.name(), &droplet.sha256);
        }
        Root::Stack { droplet: None, .. } => {}
    }
    made.ports = ports(&order.spec, made.image.as_ref());
    Ok(())
}
