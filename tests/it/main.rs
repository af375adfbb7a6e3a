//! The integration tests: one binary, the real edges, real files, the fake GitLab at the other end of a socket.

mod architecture;
mod archive;
mod converge;
mod fake;
mod log;
mod passes;
mod plan;
mod process;
mod queue;
mod readme;
mod reads;
mod report;
mod replicas;
mod rig;
mod smoke;
mod store;
mod throttle;
mod verify;
mod view;
mod webhook;
