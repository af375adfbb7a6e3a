//! The integration tests: one binary, the real edges, real files, the fake GitLab at the other end of a socket.

mod architecture;
mod archive;
mod chaos;
mod condition;
mod converge;
mod fake;
mod log;
mod network;
mod operate;
mod passes;
mod plan;
mod process;
mod queue;
mod readme;
mod reads;
mod replicas;
mod report;
mod rig;
mod smoke;
mod store;
mod throttle;
mod verify;
mod view;
mod webhook;
