//! Cistern keeps a copy of a GitLab instance's CI data (logs, test reports, artifacts), cached within seconds
//! of a job's end and served without a call to GitLab.
//!
//! The modules, in the order in which an event meets them: [`webhook`] verifies it and takes its identity,
//! [`queue`] records and coalesces it, [`worker`] leases it, [`ingest`] reads the facts from [`gitlab`] and writes
//! them to the [`store`], [`api`] reads them. [`reconcile`] finds what events missed and offers it to the same
//! queue. [`app`] starts and stops all of them.

pub mod access;
pub mod admin;
pub mod api;
pub mod app;
pub mod archive;
pub mod cli;
pub mod config;
pub mod demo;
pub mod derive;
pub mod domain;
pub mod gitlab;
pub mod hooks;
pub mod ingest;
pub mod log;
pub mod loopback;
pub mod masking;
pub mod parts;
pub mod progress;
pub mod queue;
pub mod reconcile;
pub mod retention;
pub mod scratch;
pub mod store;
pub mod telemetry;
pub mod webhook;
pub mod work;
pub mod worker;
