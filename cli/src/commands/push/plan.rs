//! What is to be pushed: the manifest, the flags over it, the secrets it needs.

use std::path::PathBuf;

use crate::args::PushArgs;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::manifest::{self, Manifest, Variables, parse_assignment};

/// The manifest with the flags' words in it.
pub(super) fn manifest(args: &PushArgs) -> Outcome<Manifest> {
    check_buildpacks(args)?;
    let base = base(args)?;
    let manifest = manifest::apply(base, &args.overrides())?;
    for app in &manifest.apps {
        let docker = app.docker("image").is_some();
        if let Some(path) = app.path.as_ref().filter(|_| !docker)
            && !path.exists()
        {
            let message = format!("app {}: there is no {}", app.name, path.display());
            return Err(Failure::new(message).next("correct `path`, or give -p PATH"));
        }
    }
    Ok(manifest)
}

fn check_buildpacks(args: &PushArgs) -> Outcome {
    let is_reset = |word: &String| matches!(word.as_str(), "null" | "default");
    if args.buildpack.len() > 1 && args.buildpack.iter().any(is_reset) {
        return Err(
            Failure::new("`default` and `null` stand alone, not among buildpacks")
                .next("name buildpacks only, or -b default alone"),
        );
    }
    Ok(())
}

fn base(args: &PushArgs) -> Outcome<Manifest> {
    let unnamed = || Manifest::of_name(args.app.as_deref().unwrap_or_default());
    if args.no_manifest {
        return Ok(unnamed());
    }
    let place = match &args.manifest {
        Some(path) => path.clone(),
        None => current_folder()?,
    };
    let Some(path) = manifest::locate(&place)? else {
        return Ok(unnamed());
    };
    let assignments = args.var.iter().map(|text| parse_assignment(text));
    let assignments: Vec<(String, String)> = assignments.collect::<Result<_, _>>()?;
    let variables = Variables::load(&args.vars_file, &assignments)?;
    Ok(manifest::load(&path, &variables)?)
}

pub(super) fn current_folder() -> Outcome<PathBuf> {
    std::env::current_dir().map_err(|error| {
        Failure::new(format!("the current folder cannot be read: {error}"))
            .next("go to a folder that exists, or give -p PATH")
    })
}

/// The password of the image registry, when an app names a user there.
pub(super) fn docker_password(context: &Context, manifest: &Manifest) -> Outcome<Option<String>> {
    if !manifest
        .apps
        .iter()
        .any(|app| app.docker("username").is_some())
    {
        return Ok(None);
    }
    let given = context.environment.docker_password.clone();
    let password = given.or_else(|| context.terminal.ask_secret("Docker password"));
    match password {
        Some(password) => Ok(Some(password)),
        None => Err(Failure::new("the image registry needs a password")
            .next("give it in the variable CF_DOCKER_PASSWORD")),
    }
}
