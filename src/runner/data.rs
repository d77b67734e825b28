//! The data of a target: emptied, and filled with an environment's own (DECISIONS 16). Both with its lock held.

use std::borrow::Cow;

use super::by_hand::not_applied;
use super::connect::with_driver;
use super::sealed::{Keys, Opened, open_seed};
use super::target::{give_back, refusal_of};
use super::{Actor, RunError, Target};
use crate::backup::meta::Scope;
use crate::backup::{self, BackupError, Subject};
use crate::drivers::{Driver, DriverError, Session, SessionOptions};
use crate::ids::{Engine, Epoch, RunId};
use crate::plan::{HistoryRow, MigrationState, Refusal};

/// Why a target was not emptied or filled.
#[derive(Debug, thiserror::Error)]
pub enum NotCleared {
    /// The target is busy or in a state that forbids it.
    #[error("{}; {}", .0.message, .0.what_to_do)]
    Refused(Refusal),
    /// The server did not do it.
    #[error(transparent)]
    Failed(#[from] BackupError),
}

/// Whether a target of this kind is one database, which can be emptied as a whole. Others may use the same server.
pub fn is_whole(engine: Engine) -> bool {
    match engine {
        Engine::Postgresql | Engine::Sqlite | Engine::Mongodb => true,
        Engine::Redis | Engine::Elasticsearch => false,
    }
}

/// Empties a target. A database loses what migrations made and what was put into it, Godwit's own tables with it. Of a
/// server that others may use too, the keys or indices that `only` names go, and every migration counts as not applied.
///
/// # Errors
/// The first: when the target cannot be reached. The second: why it was not done.
pub async fn empty(target: &Target, actor: &Actor, only: &[String]) -> Result<Result<(), NotCleared>, RunError> {
    let emptying = Emptying { target, actor, only, run: RunId::generate() };
    let options = SessionOptions::new(emptying.run.clone(), &actor.by, &target.name);
    with_driver!(target, driver => emptying.with(driver, &options).await)
}

struct Emptying<'a> {
    target: &'a Target,
    actor: &'a Actor,
    only: &'a [String],
    run: RunId,
}

impl Emptying<'_> {
    async fn with<D: Driver>(&self, driver: D, options: &SessionOptions) -> Result<Result<(), NotCleared>, RunError> {
        let mut session = match driver.lock(options).await {
            Ok(session) => session,
            Err(error) => return Ok(Err(NotCleared::Refused(refusal_of(error)?))),
        };
        let done = self.locked(&mut session).await;
        give_back(session).await;
        done
    }

    async fn locked<S: Session>(&self, session: &mut S) -> Result<Result<(), NotCleared>, RunError> {
        let target = self.target;
        let subject = Subject {
            environment: target.environment.clone(),
            region: None,
            name: target.name.clone(),
            engine: target.engine,
            url: target.url.clone(),
        };
        if is_whole(target.engine) {
            return Ok(backup::clear(&subject, &Scope::All).await.map_err(NotCleared::Failed));
        }
        // The history stands beside the data there, so it is told by rows; whoever was overtaken writes no more.
        let rows = match self.fenced(session).await {
            Ok(rows) => rows,
            Err(error) => return Ok(Err(NotCleared::Refused(refusal_of(error)?))),
        };
        if let Err(error) = backup::clear(&subject, &Scope::Only(self.only.to_vec())).await {
            return Ok(Err(NotCleared::Failed(error)));
        }
        for row in &rows {
            if let Err(error) = session.write_row(row).await {
                return Ok(Err(NotCleared::Refused(refusal_of(error)?)));
            }
        }
        Ok(Ok(()))
    }

    /// Raises the fence; gives the rows of what is applied as they read afterwards.
    async fn fenced<S: Session>(&self, session: &mut S) -> Result<Vec<HistoryRow>, DriverError> {
        let history = session.history().await?;
        let epoch = session.fence(history.iter().map(|r| r.epoch).fold(Epoch(0), Epoch::max)).await?;
        let gone = |row| not_applied(row, &self.run, self.actor, "its data was taken away by `godwit reset-data`");
        Ok(history
            .into_iter()
            .filter(|r| r.state != MigrationState::RolledBack)
            .map(|row| HistoryRow { epoch, ..gone(row) })
            .collect())
    }
}

/// A file of seed data, and its text.
pub type SeedFile = (String, String);

/// Puts files of seed data into a target, in the form of its engine; their sealed values are opened with `keys`. Gives how
/// many were taken, and what was said against the one after those.
///
/// # Errors
/// The first: when the target cannot be reached. The second: why nothing may run.
pub async fn seed(
    target: &Target,
    actor: &Actor,
    files: &[SeedFile],
    keys: &Keys,
) -> Result<Result<(usize, Option<String>), Refusal>, RunError> {
    let mut opened = Vec::with_capacity(files.len());
    for (file, text) in files {
        match open_seed(target.engine, (file, text), keys) {
            Ok((text, values)) => opened.push((file.as_str(), text, values)),
            Err(refusal) => return Ok(Err(refusal)),
        }
    }
    let options = SessionOptions::new(RunId::generate(), &actor.by, &target.name);
    with_driver!(target, driver => {
        let mut session = match driver.lock(&options).await {
            Ok(session) => session,
            Err(error) => return Ok(Err(refusal_of(error)?)),
        };
        let ended = fill(&mut session, &opened).await;
        give_back(session).await;
        ended
    })
}

async fn fill<S: Session>(
    session: &mut S,
    files: &[(&str, Cow<'_, str>, Opened)],
) -> Result<Result<(usize, Option<String>), Refusal>, RunError> {
    if let Err(error) = session.fence(Epoch(0)).await {
        return Ok(Err(refusal_of(error)?));
    }
    for (done, (file, text, values)) in files.iter().enumerate() {
        match session.fill(text).await {
            Ok(()) => {}
            Err(DriverError::Statement(failure)) => {
                let line = failure.line.map_or(String::new(), |line| format!(":{line}"));
                let code = failure.code.map_or(String::new(), |code| format!(" ({code})"));
                let hint = failure.hint.map_or(String::new(), |hint| format!(": {hint}"));
                let said = values.blot(&format!("{}{code}{hint}", failure.message));
                return Ok(Ok((done, Some(format!("{file}{line}: {said}")))));
            }
            Err(error) => return Ok(Err(refusal_of(error)?)),
        }
    }
    Ok(Ok((files.len(), None)))
}
