//! Operations of Redis: the scripts among them are taken apart in [`super::lua`].

use std::ops::Range;

use super::{Look, Place, lua};
use crate::lint::rules::operation::{Check, asked};
use crate::migration::Script;
use crate::migration::operations::redis::Operation;

pub(super) fn check(look: &mut Look<'_>, at: &Range<usize>, operation: &Operation, script: &Script) {
    if let Operation::Script { lua: source, .. } = operation {
        let found = lua::check(source);
        // Of a `.lua` file the findings have its own lines; within JSON they stand at the operation.
        if script.path.ends_with(".lua") {
            look.lua.push(Place { script: Script::whole(&script.path, source.as_str()), found });
        } else {
            look.found.extend(found.into_iter().map(|mut f| {
                let line = 1 + source[..f.range.start.min(source.len())].matches('\n').count();
                f.message = format!("line {line} of the script: {}", f.message);
                f.range = at.clone();
                f
            }));
        }
    }
    look.found.extend(asked(at, |check, told| {
        if let Check::Redis(check) = check {
            check(operation, told);
        }
    }));
}
