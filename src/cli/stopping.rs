//! How a process is asked to stop: by a signal, or by a person through the store.

use std::time::Duration;

use crate::ids::RunId;
use crate::runner::{ApplyOptions, Keeper};

/// Awaits Ctrl-C, or SIGTERM, by which runners of pipelines and containers stop a program; gives the exit code of a program
/// that it ends.
///
/// # Errors
/// Where signals cannot be listened for.
pub(super) async fn asked_to_stop() -> std::io::Result<i32> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            pressed = tokio::signal::ctrl_c() => pressed.map(|()| 130),
            _ = terminate.recv() => Ok(143),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await.map(|()| 130)
}

/// The first Ctrl-C, or SIGTERM, stops before the next statement, the second at once.
pub(super) fn on_ctrl_c(options: &ApplyOptions) {
    let cancel = options.cancel.clone();
    tokio::spawn(async move {
        let Ok(_) = asked_to_stop().await else { return };
        cancel.cancel();
        anstream::eprintln!("stopping before the next statement; press Ctrl-C again to stop at once");
        if let Ok(code) = asked_to_stop().await {
            std::process::exit(code);
        }
    });
}

/// Listens for `godwit cancel`, or `/godwit cancel` in a comment, while a run goes on. What keeps no store is stopped by
/// Ctrl-C alone.
pub(super) fn on_cancel(keeper: &Keeper, options: &mut ApplyOptions) {
    let Some(store) = keeper.if_open().cloned() else { return };
    let (run, cancel) = (RunId::generate(), options.cancel.clone());
    options.run = Some(run.clone());
    tokio::spawn(async move {
        // A store that fails is told by the run itself.
        while let Ok(asked) = store.asked_to_stop(&run).await {
            if let Some(by) = asked {
                anstream::eprintln!("{by} asks this run to stop: it ends before its next statement");
                return cancel.cancel();
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
}
