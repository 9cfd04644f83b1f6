//! What a command works with: the terminal, the session, and the API in the targeted space.

use std::sync::Arc;

use cfx_process::clock::Clock;

use crate::client::resource::{App, NamedResource};
use crate::client::{Api, query};
use crate::environment::Environment;
use crate::failure::{Failure, Outcome};
use crate::output::Terminal;
use crate::session::{Named, SessionFile};

#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) environment: Environment,
    pub(crate) terminal: Arc<Terminal>,
    pub(crate) clock: Clock,
    pub(crate) session: SessionFile,
    pub(crate) verbose: bool,
}

/// The API, as somebody who is logged in.
#[derive(Debug)]
pub(crate) struct LoggedIn {
    pub(crate) api: Api,
    pub(crate) user: String,
}

/// The API, and the org that commands work in.
#[derive(Debug)]
pub(crate) struct InOrg {
    pub(crate) api: Api,
    pub(crate) user: String,
    pub(crate) org: Named,
}

/// The API, and the space that commands work in.
#[derive(Debug)]
pub(crate) struct InSpace {
    pub(crate) api: Api,
    pub(crate) user: String,
    pub(crate) org: Named,
    pub(crate) space: Named,
}

impl Context {
    pub(crate) fn new(environment: Environment, terminal: Arc<Terminal>, verbose: bool) -> Self {
        Self {
            session: SessionFile::under(&environment.home),
            clock: Clock::system(),
            environment,
            terminal,
            verbose,
        }
    }

    pub(crate) fn logged_in(&self) -> Outcome<LoggedIn> {
        let session = self.session.load()?;
        let Some(target) = session.target.clone() else {
            return Err(Failure::new("no platform is targeted")
                .next("start one with `cfx up`, or point at one with `cfx login -a URL`"));
        };
        let Some(tokens) = &session.tokens else {
            return Err(Failure::new(format!("not logged in to {}", target.url))
                .next("log in: `cfx login`"));
        };
        let user = tokens.user_name();
        let api = Api::new(
            &session,
            target,
            self.session.clone(),
            self.clock.clone(),
            Arc::clone(&self.terminal),
        )?;
        Ok(LoggedIn { api, user })
    }

    pub(crate) fn in_org(&self) -> Outcome<InOrg> {
        let LoggedIn { api, user } = self.logged_in()?;
        match self.session.load()?.org {
            Some(org) => Ok(InOrg { api, user, org }),
            None => Err(Failure::new("no org is targeted")
                .next("choose one: `cfx target -o ORG` (`cfx orgs` lists them)")),
        }
    }

    pub(crate) fn in_space(&self) -> Outcome<InSpace> {
        let InOrg { api, user, org } = self.in_org()?;
        match self.session.load()?.space {
            Some(space) => Ok(InSpace {
                api,
                user,
                org,
                space,
            }),
            None => Err(Failure::new("no space is targeted")
                .next("choose one: `cfx target -s SPACE` (`cfx spaces` lists them)")),
        }
    }
}

impl InSpace {
    /// `org demo / space dev as admin`.
    pub(crate) fn place(&self) -> String {
        format!(
            "org {} / space {} as {}",
            self.org.name, self.space.name, self.user
        )
    }

    pub(crate) async fn find_app(&self, name: &str) -> Outcome<Option<App>> {
        let path = query::with(
            "/v3/apps",
            &[("names", name), ("space_guids", &self.space.guid)],
        );
        Ok(self.api.list::<App>(&path).await?.into_iter().next())
    }

    pub(crate) async fn app(&self, name: &str) -> Outcome<App> {
        self.find_app(name).await?.ok_or_else(|| {
            Failure::new(format!(
                "there is no app `{name}` in org {} / space {}",
                self.org.name, self.space.name
            ))
            .next("`cfx apps` lists the apps; `cfx target` shows or changes the space")
        })
    }
}

/// An org by its name.
pub(crate) async fn find_org(api: &Api, name: &str) -> Outcome<Named> {
    let path = query::with("/v3/organizations", &[("names", name)]);
    first(api, &path).await?.ok_or_else(|| {
        Failure::new(format!("there is no org `{name}`"))
            .next("`cfx orgs` lists them; `cfx create-org` makes one")
    })
}

/// A space of an org by its name.
pub(crate) async fn find_space(api: &Api, org: &Named, name: &str) -> Outcome<Named> {
    let pairs = [("names", name), ("organization_guids", org.guid.as_str())];
    let path = query::with("/v3/spaces", &pairs);
    first(api, &path).await?.ok_or_else(|| {
        Failure::new(format!("there is no space `{name}` in org {}", org.name))
            .next("`cfx spaces` lists them; `cfx create-space` makes one")
    })
}

async fn first(api: &Api, path: &str) -> Outcome<Option<Named>> {
    let found = api.list::<NamedResource>(path).await?.into_iter().next();
    Ok(found.map(Named::from))
}

impl From<NamedResource> for Named {
    fn from(resource: NamedResource) -> Self {
        Self {
            guid: resource.guid,
            name: resource.name,
        }
    }
}
