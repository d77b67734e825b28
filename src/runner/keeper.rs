//! The store of a run, opened only when there is something to record.

use std::future::Future;
use std::pin::Pin;

use tokio::sync::OnceCell;

use super::RunError;
use crate::store::Store;

/// Opens the store.
pub type OpenStore = dyn Fn() -> Pin<Box<dyn Future<Output = Result<Store, RunError>> + Send>> + Send + Sync;

/// A store, or how to open it.
pub struct Keeper {
    open: Option<Box<OpenStore>>,
    store: OnceCell<Store>,
}

impl Keeper {
    /// A store that is open.
    pub fn opened(store: &Store) -> Self {
        Self { open: None, store: OnceCell::new_with(Some(store.clone())) }
    }

    /// A store that is opened when it is needed.
    pub fn later(open: Box<OpenStore>) -> Self {
        Self { open: Some(open), store: OnceCell::new() }
    }

    /// A store that is open, of which nothing is asked before it is needed.
    pub fn at_need(store: &Store) -> Self {
        let store = store.clone();
        Self::later(Box::new(move || {
            let store = store.clone();
            Box::pin(async move { Ok(store) })
        }))
    }

    /// None: for what records nothing.
    pub fn none() -> Self {
        Self { open: None, store: OnceCell::new() }
    }

    /// The store.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn open(&self) -> Result<&Store, RunError> {
        self.store
            .get_or_try_init(|| async {
                match &self.open {
                    Some(open) => open().await,
                    None => Err(RunError::Store("no store was given".to_owned())),
                }
            })
            .await
    }

    /// The store, where one was given.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn open_if_any(&self) -> Result<Option<&Store>, RunError> {
        if self.open.is_none() && self.store.get().is_none() {
            return Ok(None);
        }
        self.open().await.map(Some)
    }

    /// The store if it was needed.
    pub fn if_open(&self) -> Option<&Store> {
        self.store.get()
    }
}
