//! sqlx's folders: named as golang-migrate's, one file or a pair; a first line `-- no-transaction` switches the
//! transaction off.

use super::{Folder, Reader, numbered};

pub(super) fn read(folder: &Folder<'_>, reader: &mut Reader<'_>) {
    let before = reader.set.migrations.len();
    numbered::read(folder, reader);
    for migration in &mut reader.set.migrations[before..] {
        migration.directives.no_transaction |= migration.up.text.starts_with("-- no-transaction");
    }
}
