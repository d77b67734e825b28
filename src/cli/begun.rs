//! The beginning of a run: while the connection to the one PostgreSQL database that was named is made, its folder is listed,
//! looked at, and read.

#[cfg(feature = "postgres")]
use std::path::PathBuf;
#[cfg(feature = "postgres")]
use std::time::Instant;

#[cfg(feature = "postgres")]
use anyhow::Context as _;
#[cfg(feature = "postgres")]
use secrecy::SecretString;

use super::Global;
use super::targets::{Gathered, Place};
#[cfg(feature = "postgres")]
use super::targets::{ad_hoc_target, check_url, engine_of};
#[cfg(feature = "postgres")]
use super::tree::{Reading, Tree};
#[cfg(feature = "postgres")]
use super::unchanged::{Folder, Known, recall};
#[cfg(feature = "postgres")]
use crate::ids::{Engine, RunId, TargetName};
use crate::plan::RunReport;
#[cfg(feature = "postgres")]
use crate::runner::{Ahead, First};

/// What a run is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// Whatever is pending: it may be nothing.
    Everything,
    /// A part of it, or to be told about it.
    Part,
}

impl Place {
    /// The same for a run, in two parts: while the connection to the one PostgreSQL database that was named is made, its
    /// folder is listed, and looked at where all of it is asked for. Needs a runtime around it.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub async fn begin(self, global: &Global, asked: Asked) -> anyhow::Result<Begun> {
        #[cfg(feature = "postgres")]
        if let Some(url) = &self.url
            && engine_of(url).is_ok_and(|engine| engine == Engine::Postgresql && check_url(engine, url).is_ok())
        {
            let begun = Instant::now();
            let (dir, target) = (self.folder(global)?, ad_hoc_target(url)?.name);
            let asked = if self.service.is_none() { asked } else { Asked::Part };
            let known = if asked == Asked::Everything { recall(&dir, &target) } else { None };
            let first = if known.is_some() { First::Summary } else { First::History };
            let ahead = Ahead::start(&SecretString::from(url.clone()), first);
            let (below, looks) = (dir.clone(), asked == Asked::Everything);
            let listed = move || -> anyhow::Result<_> {
                let tree = Tree::list(&below)?;
                let folder = if looks { Folder::of(&below, &tree) } else { None };
                Ok((tree, folder))
            };
            let (tree, folder) = off_thread(listed).await??;
            return Ok(Begun { place: self, listed: Some(Listed { begun, dir, tree, ahead, target, known, folder }) });
        }
        #[cfg(not(feature = "postgres"))]
        let _ = (global, asked);
        Ok(Begun {
            place: self,
            #[cfg(feature = "postgres")]
            listed: None,
        })
    }
}

/// A run that is being prepared; see [`Place::begin`].
pub(super) struct Begun {
    place: Place,
    #[cfg(feature = "postgres")]
    listed: Option<Listed>,
}

/// A PostgreSQL database that is being connected to, and what is in the folder for it.
#[cfg(feature = "postgres")]
struct Listed {
    begun: Instant,
    dir: PathBuf,
    tree: Tree,
    ahead: Ahead,
    target: TargetName,
    /// What is remembered of the folder.
    known: Option<Known>,
    /// The folder as it looks, where all of it is asked for.
    folder: Option<Folder>,
}

impl Begun {
    /// The report of a run, where it is known that the database holds all of the folder as it is.
    #[cfg(feature = "postgres")]
    pub async fn known(&mut self) -> Option<RunReport> {
        let listed = self.listed.as_mut()?;
        let (known, folder) = (listed.known.as_ref()?, listed.folder.as_ref()?);
        let fits = known.is(folder) && listed.ahead.summary().await.is_some_and(|history| known.fits(&history));
        fits.then(|| RunReport {
            duration_ms: u64::try_from(listed.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            ..RunReport::nothing(known.digest.clone(), RunId::generate())
        })
    }

    /// The same where no database is connected to beforehand: nothing is known.
    #[cfg(not(feature = "postgres"))]
    pub async fn known(&mut self) -> Option<RunReport> {
        None
    }

    /// Reads files and configuration. Long scripts for the one PostgreSQL database that was named are not held.
    ///
    /// # Errors
    /// As [`Place::gather`].
    pub async fn gather(self, global: &Global) -> anyhow::Result<Gathered> {
        #[cfg(feature = "postgres")]
        if let (Some(listed), Some(url)) = (self.listed, &self.place.url) {
            let (url, place) = (url.clone(), self.place);
            let Listed { dir, tree, ahead, target, folder, .. } = listed;
            let gathered = off_thread(move || place.of_service(place.ad_hoc(&url, &dir, &tree, Reading::InPieces)?));
            let mut gathered = gathered.await??;
            if let Some(folder) = folder {
                gathered.whole = ahead.look(|history| folder.holds(&gathered.set, &target, history)).await;
            }
            return Ok(Gathered { ahead, ..gathered });
        }
        self.place.gather(global)
    }
}

#[cfg(feature = "postgres")]
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await.context("a thread that reads files ended early")
}
