//! Integration tests: one binary, since each further one would link every dependency again.
//! Databases are real servers (`scripts/test` brings them up), git is real git, GitHub is the stand-in or `emulate`.
#![allow(missing_docs, clippy::unwrap_used)]

mod action;
mod apply;
mod approval;
mod audit;
mod backfill;
mod backup;
mod bot;
mod chaos;
mod cli;
mod config;
mod contract;
mod demo;
mod doctor;
mod drift;
mod drivers;
mod emulate;
mod environments;
mod git;
mod health;
mod house;
mod kill;
mod layouts;
mod lint;
mod manager;
mod new;
mod readers;
mod rehearse;
mod replicas;
mod sandbox;
mod servers;
mod store;
mod support;
mod webhook;
