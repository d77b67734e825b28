//! From a set and a history to a plan, or to the reasons why there is none. Pure.
