//! What nearly every rule about Redis uses.

pub(super) use crate::ids::Risk;
pub(super) use crate::lint::operations::{Call, Lua};
pub(super) use crate::lint::rules::operation::{Check, Example, OperationRule, Told};
pub(super) use crate::lint::table::{Applies, RuleInfo};
pub(super) use crate::lint::{Category, Severity};
pub(super) use crate::migration::operations::redis::Operation;
