//! Images: those that apps name, and those that stacks are made of.

use std::collections::HashMap;

use bollard::auth::DockerCredentials;
use bollard::models::{ImageConfig, ImageInspect};
use bollard::query_parameters::{CreateImageOptionsBuilder, ListImagesOptionsBuilder};
use futures_util::StreamExt;

use super::host_image::{self, HostImage};
use super::{Docker, call};
use crate::runtime::host_stack;
use crate::runtime::{ImageDefaults, Mount, RuntimeError};

/// Images with this name are stacks: `cfx/stack-<name>`, as `deploy/stack/` builds them.
const STACK_REPOSITORY: &str = "cfx/stack-";

impl Docker {
    pub(super) async fn list_stacks(&self) -> Result<Vec<String>, RuntimeError> {
        let mut stacks: Vec<String> = self
            .images(&format!("{STACK_REPOSITORY}*"))
            .await?
            .iter()
            .filter_map(|(tag, _)| {
                let name = tag.strip_prefix(STACK_REPOSITORY)?;
                Some(name.split(':').next().unwrap_or(name).to_owned())
            })
            .collect();
        if self.config.host_stack {
            stacks.push(host_stack::NAME.to_owned());
        }
        stacks.sort();
        stacks.dedup();
        Ok(stacks)
    }

    /// The image of a stack, and what of the machine goes into it.
    pub(super) async fn stack_image(
        &self,
        stack: &str,
    ) -> Result<(String, Vec<Mount>), RuntimeError> {
        if let Some(host) = self.host_image_if(stack).await? {
            return Ok((host.image.clone(), host.mounts.clone()));
        }
        Ok((self.newest(stack).await?.0, Vec::new()))
    }

    /// What tells one build of a stack from the next.
    pub(super) async fn stack_build(&self, stack: &str) -> Result<String, RuntimeError> {
        if let Some(host) = self.host_image_if(stack).await? {
            return Ok(host.image.clone());
        }
        let (tag, created) = self.newest(stack).await?;
        Ok(format!("{tag} {created}"))
    }

    /// The newest image of a stack, and when it was built.
    async fn newest(&self, stack: &str) -> Result<(String, i64), RuntimeError> {
        let images = self.images(&format!("{STACK_REPOSITORY}{stack}")).await?;
        let newest = images.into_iter().max_by_key(|(_, created)| *created);
        newest.ok_or_else(|| RuntimeError::NoRoot {
            what: format!("stack `{stack}`"),
            detail: format!("there is no image {STACK_REPOSITORY}{stack}"),
        })
    }

    async fn host_image_if(&self, stack: &str) -> Result<Option<&HostImage>, RuntimeError> {
        if stack != host_stack::NAME || !self.config.host_stack {
            return Ok(None);
        }
        self.host_image().await.map(Some)
    }

    async fn host_image(&self) -> Result<&HostImage, RuntimeError> {
        self.host_image
            .get_or_try_init(|| host_image::ensure(&self.engine))
            .await
    }

    async fn images(&self, reference: &str) -> Result<Vec<(String, i64)>, RuntimeError> {
        let filters = HashMap::from([("reference", vec![reference.to_owned()])]);
        let options = ListImagesOptionsBuilder::default()
            .filters(&filters)
            .build();
        let images = call::bounded(
            "list images",
            call::LIST,
            self.engine.list_images(Some(options)),
        )
        .await?;
        Ok(images
            .into_iter()
            .flat_map(|image| {
                let created = image.created;
                image.repo_tags.into_iter().map(move |tag| (tag, created))
            })
            .collect())
    }

    /// What is there is used as it is; only what is missing is pulled.
    pub(super) async fn ensure_image(
        &self,
        reference: &str,
        credentials: Option<(&str, &str)>,
    ) -> Result<ImageConfig, RuntimeError> {
        if let Some(found) = self.local_image(reference).await? {
            return Ok(found.config.unwrap_or_default());
        }
        self.pull(reference, credentials).await?;
        let pulled = self.local_image(reference).await?;
        let pulled = pulled.ok_or_else(|| RuntimeError::NoRoot {
            what: format!("image {reference}"),
            detail: "it is not there after it was pulled".to_owned(),
        })?;
        Ok(pulled.config.unwrap_or_default())
    }

    async fn local_image(&self, reference: &str) -> Result<Option<ImageInspect>, RuntimeError> {
        let action = "inspect an image";
        let found = call::plain(action, call::INSPECT, self.engine.inspect_image(reference));
        match found.await? {
            Ok(image) => Ok(Some(image)),
            Err(error) if call::status(&error) == Some(404) => Ok(None),
            Err(error) => Err(call::failed(action, &error)),
        }
    }

    async fn pull(
        &self,
        reference: &str,
        credentials: Option<(&str, &str)>,
    ) -> Result<(), RuntimeError> {
        let (name, tag) = split_reference(reference);
        let options = CreateImageOptionsBuilder::default()
            .from_image(name)
            .tag(tag)
            .build();
        let credentials = credentials.map(|(username, password)| DockerCredentials {
            username: Some(username.to_owned()),
            password: Some(password.to_owned()),
            ..DockerCredentials::default()
        });
        let mut progress = self.engine.create_image(Some(options), None, credentials);
        let all = async {
            while let Some(step) = progress.next().await {
                step?;
            }
            Ok(())
        };
        call::plain("pull an image", call::PULL, all)
            .await?
            .map_err(|error| RuntimeError::NoRoot {
                what: format!("image {reference}"),
                detail: error.to_string(),
            })
    }
}

/// Name and tag; a digest stays with the name, and a colon before a slash is a registry's port.
fn split_reference(reference: &str) -> (&str, &str) {
    if reference.contains('@') {
        return (reference, "");
    }
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (reference, "latest"),
    }
}

pub(super) fn defaults(config: ImageConfig) -> ImageDefaults {
    let mut exposed_ports: Vec<u16> = config
        .exposed_ports
        .unwrap_or_default()
        .iter()
        .filter_map(|port| {
            // `8080/tcp`; other protocols are not routed.
            let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
            (protocol == "tcp").then(|| number.parse().ok())?
        })
        .collect();
    exposed_ports.sort_unstable();
    ImageDefaults {
        entrypoint: config.entrypoint.unwrap_or_default(),
        command: config.cmd.unwrap_or_default(),
        env: config.env.unwrap_or_default(),
        working_dir: config.working_dir.unwrap_or_default(),
        user: config.user.unwrap_or_default(),
        exposed_ports,
    }
}

#[cfg(test)]
mod tests {
    use super::split_reference;

    #[test]
    fn a_registry_s_port_is_no_tag() {
        for (reference, expected) in [
            ("busybox", ("busybox", "latest")),
            ("busybox:1.36", ("busybox", "1.36")),
            ("localhost:5000/shop", ("localhost:5000/shop", "latest")),
            ("localhost:5000/shop:v2", ("localhost:5000/shop", "v2")),
            ("shop@sha256:ab", ("shop@sha256:ab", "")),
        ] {
            assert_eq!(split_reference(reference), expected);
        }
    }
}
